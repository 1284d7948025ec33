"""A Secret shows itself to nobody but who reveals it."""

import copy
import io
import json
import logging
import pickle
import traceback

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from zakupai_common.secret import REDACTED, Secret

VALUE = "hunter2-and-more"


class Model(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)
    password: Secret[str]
    limit: Secret[int] | None = None


def test_every_way_to_print_it_is_redacted() -> None:
    secret = Secret(VALUE)
    assert f"{secret}{secret!r}{secret:>20}" == f"{REDACTED}Secret({REDACTED}){REDACTED}"
    assert VALUE not in repr({"a": [secret]})
    with pytest.raises(TypeError):
        json.dumps(secret)
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_a_traceback_with_locals_and_a_log_do_not_hold_it() -> None:
    def fails(secret: Secret[str]) -> None:
        raise ValueError(f"cannot use {secret}")

    try:
        fails(Secret(VALUE))
    except ValueError as error:
        shown = "".join(
            traceback.TracebackException.from_exception(error, capture_locals=True).format()
        )
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.handle(logging.makeLogRecord({"msg": "%s %r", "args": (Secret(VALUE), error)}))
    assert REDACTED in shown
    assert VALUE not in shown
    assert VALUE not in stream.getvalue()


def test_equality_is_of_the_values_and_of_their_types() -> None:
    assert Secret(VALUE) == Secret(VALUE)
    assert hash(Secret(VALUE)) == hash(Secret(VALUE))
    assert Secret(VALUE) != Secret(VALUE + "x")
    assert Secret(1) != Secret(True)  # a KV value that became a boolean has changed
    assert Secret("a") != Secret(b"a")
    assert Secret(VALUE) != VALUE
    assert copy.deepcopy({"a": Secret(VALUE)}) == {"a": Secret(VALUE)}


def test_a_pydantic_model_takes_a_value_and_dumps_none() -> None:
    made = Model(password=VALUE, limit="7")  # type: ignore[arg-type]
    assert made.password.reveal() == VALUE
    assert made.limit is not None
    assert made.limit.reveal() == 7
    assert Model.model_validate_json(json.dumps({"password": VALUE})).password == Secret(VALUE)
    assert Model(password=Secret(VALUE)).password.reveal() == VALUE
    for shown in (made.model_dump_json(), repr(made), repr(made.model_dump())):
        assert VALUE not in shown
    assert made.model_dump()["password"] == REDACTED
    assert Model.model_json_schema()["properties"]["password"]["type"] == "string"


def test_a_model_that_hides_its_input_quotes_no_secret_in_errors() -> None:
    with pytest.raises(ValidationError) as caught:
        Model.model_validate({"password": [VALUE]})
    assert VALUE not in str(caught.value)
