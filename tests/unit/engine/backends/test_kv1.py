"""KV version 1: the object that was stored and nothing else."""

import json
from typing import Any

import pytest

from tests.support.opened import context_for, fresh_barrier, request
from zvault.base.clock import ManualClock
from zvault.engine.api import Response
from zvault.engine.backends.kv import v1 as kv1
from zvault.engine.errors import InvalidRequestError, UnsupportedOperationError
from zvault.engine.userdata import EncodedData
from zvault.records import gojson
from zvault.records.mounts import MountEntry

MONTH = 768 * 3600


@pytest.fixture
async def backend() -> kv1.Kv1:
    clock = ManualClock()
    entry = MountEntry(path="legacy/", type="kv", uuid="u")
    backend = kv1.make(context_for(await fresh_barrier(clock=clock), entry, clock))
    await backend.start()
    return backend


async def call(backend: kv1.Kv1, operation: str, path: str, data: Any = None) -> Response | None:
    return await backend.handle(request(operation, path, data))


async def test_what_was_written_is_read_digit_for_digit(backend: kv1.Kv1) -> None:
    text = '{"big":123456789012345678901234567890,"f":1.0,"g":1e5,"s":"<&>é","z":null}'
    await call(backend, "create", "a", gojson.loads_object(text))
    answer = await call(backend, "read", "a")
    assert answer is not None
    assert isinstance(answer.data, EncodedData)
    assert answer.data.is_user_data
    stored = text.replace("<&>", "\\u003c\\u0026\\u003e")
    assert answer.data.encoded == stored.encode()
    assert answer.data == json.loads(text)
    assert (answer.lease_seconds, answer.lease_id, answer.renewable) == (MONTH, "", False)


@pytest.mark.parametrize(
    ("data", "seconds"),
    [
        ({"ttl": "30m"}, 1800),
        ({"ttl": 60}, 60),
        ({"lease": "1h"}, 3600),
        ({"ttl": "bad", "lease": "1h"}, MONTH),
        ({"lease": "bad"}, MONTH),
        ({"ttl": [1]}, MONTH),
        ({"ttl": -5}, -5),
        ({"x": 1}, MONTH),
    ],
)
async def test_ttl_and_lease_in_the_data_are_a_hint_for_readers(
    backend: kv1.Kv1, data: dict[str, Any], seconds: int
) -> None:
    await call(backend, "update", "a", data)
    answer = await call(backend, "read", "a")
    assert answer is not None
    assert answer.lease_seconds == seconds


async def test_nothing_is_no_secret(backend: kv1.Kv1) -> None:
    with pytest.raises(InvalidRequestError, match="missing data fields"):
        await call(backend, "update", "a", {})
    with pytest.raises(InvalidRequestError, match="cannot write to a path ending in '/'"):
        await call(backend, "update", "a/", {"x": 1})
    assert await call(backend, "read", "a") is None


async def test_a_secret_may_also_be_a_folder(backend: kv1.Kv1) -> None:
    for path in ("a", "a/b", "c"):
        await call(backend, "create", path, {"x": 1})
    listed = await call(backend, "list", "")
    assert listed is not None
    assert listed.data == {"keys": ["a", "a/", "c"]}
    below = await call(backend, "list", "a/")
    assert below is not None
    assert below.data == {"keys": ["b"]}
    assert await call(backend, "list", "none/") is None
    await call(backend, "delete", "a")
    assert await call(backend, "read", "a") is None
    assert await call(backend, "read", "a/b") is not None


async def test_deleting_what_is_not_there_is_fine(backend: kv1.Kv1) -> None:
    for path in ("no", "", "no/"):
        assert await call(backend, "delete", path) is None
        assert await call(backend, "read", path) is None


async def test_writing_what_is_not_there_is_creating_it(backend: kv1.Kv1) -> None:
    assert await backend.exists(request("update", "a")) is False
    await call(backend, "create", "a", {"x": 1})
    assert await backend.exists(request("update", "a")) is True
    assert await backend.exists(request("update", "a/")) is False


async def test_patch_is_not_for_version_one(backend: kv1.Kv1) -> None:
    with pytest.raises(UnsupportedOperationError):
        await call(backend, "patch", "a", {"x": 1})
