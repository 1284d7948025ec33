"""A secret does not show up anywhere unless asked for by name."""

import logging
import pickle
import traceback

import pytest

from zvault.base.secret import Secret

VALUE = "s3cr3t-value"


def test_no_way_of_printing_gives_it_out(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(VALUE)
    logging.getLogger("t").warning("%s %r", secret, secret)
    printed = [str(secret), repr(secret), f"{secret}", f"{secret!r:>40}", str([secret])]
    printed.append(caplog.text)
    assert not [text for text in printed if VALUE in text]


def test_a_traceback_does_not_hold_it() -> None:
    secret = Secret(VALUE)
    try:
        raise ValueError(f"failed for {secret}")
    except ValueError:
        assert VALUE not in traceback.format_exc()


def test_it_cannot_be_pickled() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret(VALUE))


def test_it_is_what_went_in() -> None:
    assert Secret(VALUE).reveal() == VALUE.encode()
    assert Secret(VALUE).reveal_text() == VALUE
    assert Secret(VALUE) == Secret(VALUE.encode())
    assert Secret(VALUE) != Secret("other")
