"""Response wrapping: put away under a token that works once, and taken out again."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.running import Running, fresh, slow_down
from zvault.base.gotime import SECOND_NS
from zvault.engine.api import Operation, Response, WrapInfo
from zvault.engine.errors import (
    EngineError,
    InvalidRequestError,
    NotFoundInEngineError,
    PermissionDeniedError,
)
from zvault.records import gojson
from zvault.records.wrapping import (
    RESPONSE_KEY,
    WRAP_INFO_KEY,
    RawAnswer,
    encode_wrap_info,
    raw_answer,
    raw_data,
)
from zvault.storage.api import Operation as StorageOperation
from zvault.storage.api import Put
from zvault.storage.inmem import InMemStorage

INVALID = "wrapping token is not valid or does not exist"
UNWRAP = "sys/wrapping/unwrap"


async def wrapped(
    server: Running,
    operation: Operation,
    path: str,
    data: Mapping[str, Any] | None = None,
    token: str | None = None,
    ttl: int = 300,
) -> WrapInfo:
    """One request with its answer wrapped."""
    response = await server.call(operation, path, dict(data or {}), token, wrap_ttl_seconds=ttl)
    assert response is not None
    assert response.wrap_info is not None
    assert (response.data, response.auth, response.raw_body) == (None, None, None)
    return response.wrap_info


async def wrap(server: Running, ttl: int = 300, **data: Any) -> WrapInfo:
    """The user's own data, wrapped."""
    return await wrapped(server, Operation.UPDATE, "sys/wrapping/wrap", data, ttl=ttl)


async def unwrap(server: Running, token: str, by: str | None = None) -> Any:
    """The body of the answer: by the token itself, or handed in by ``by``."""
    if by is None:
        response = await server.write(UNWRAP, token)
    else:
        response = await hand_in(server, UNWRAP, token, by)
    return body_of(response)


def body_of(response: Response | None) -> Any:
    """What the client reads."""
    assert response is not None
    assert response.raw_body is not None
    return json.loads(response.raw_body)


async def hand_in(server: Running, path: str, token: str, by: str, **more: Any) -> Response | None:
    """Ask about a wrapping token in the body."""
    return await server.call(Operation.UPDATE, path, {"token": token}, by, **more)


async def test_what_is_unwrapped_is_the_answer_that_was_wrapped() -> None:
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv")
        await server.write("kv/a", f=gojson.loads("1.0"), n=12345678901234567890, t="<&>é")
        info = await wrapped(server, Operation.READ, "kv/a")
        assert (info.ttl_seconds, info.creation_path, info.wrapped_accessor) == (300, "kv/a", "")
        response = await server.write(UNWRAP, info.token)
        assert response is not None
        assert response.raw_body is not None
        assert b'"f":1.0,"n":12345678901234567890' in response.raw_body
        body = json.loads(response.raw_body)
        assert body["data"]["t"] == "<&>é"
        assert body["request_id"].startswith("request-")
        assert (body["wrap_info"], body["auth"]) == (None, None)


async def test_a_wrapping_token_works_once_and_for_unwrapping_only() -> None:
    async with fresh() as server:
        info = await wrap(server, a="b")
        lookup = await hand_in(server, "auth/token/lookup", info.token, server.root)
        assert lookup is not None
        assert lookup.data is not None
        wanted = {
            "policies": ["response-wrapping"],
            "num_uses": 1,
            "orphan": True,
            "ttl": 300,
            "explicit_max_ttl": 300,
            "path": "sys/wrapping/wrap",
            "renewable": False,
            "display_name": "",
        }
        assert {name: lookup.data[name] for name in wanted} == wanted
        assert (await unwrap(server, info.token))["data"] == {"a": "b"}
        for by in (None, server.root):
            with pytest.raises(InvalidRequestError, match=INVALID):
                await unwrap(server, info.token, by)
        other = await wrap(server, a="b")
        with pytest.raises(PermissionDeniedError):
            await server.read("sys/mounts", other.token)
        with pytest.raises(InvalidRequestError, match=INVALID):
            await unwrap(server, other.token)


async def test_somebody_else_hands_the_token_in() -> None:
    async with fresh() as server:
        info = await wrap(server, a="b")
        await server.policy("none", 'path "x" { capabilities = ["read"] }')
        powerless = await server.token(policies=["none"], no_default_policy=True)
        with pytest.raises(PermissionDeniedError, match="permission denied"):
            await hand_in(server, UNWRAP, info.token, powerless)
        with pytest.raises(PermissionDeniedError, match="permission denied"):
            await hand_in(server, UNWRAP, info.token, "")
        with pytest.raises(PermissionDeniedError, match="permission denied"):
            await hand_in(server, UNWRAP, info.token, "bogus")
        holder = await server.token(policies=["default"])
        body = body_of(await hand_in(server, UNWRAP, info.token, holder))
        assert body["data"] == {"a": "b"}
        with pytest.raises(InvalidRequestError, match=INVALID):
            await hand_in(server, UNWRAP, info.token, holder)
        assert await server.alive(holder)


async def test_a_token_that_hands_itself_in_unwraps() -> None:
    async with fresh() as server:
        info = await wrap(server, a="b")
        assert body_of(await hand_in(server, UNWRAP, info.token, info.token))["data"] == {"a": "b"}


@pytest.mark.parametrize(
    ("given", "caller", "kind", "text"),
    [
        ({}, "", PermissionDeniedError, "error validating wrapping token: token is empty"),
        ({"token": ""}, None, PermissionDeniedError, "empty token in request body"),
        ({"token": 5}, None, PermissionDeniedError, "could not decode token in request body"),
        ({"token": "nope"}, "", InvalidRequestError, INVALID),
        ({"token": "nope"}, None, InvalidRequestError, INVALID),
        ({}, None, InvalidRequestError, INVALID),
        ({"token": None}, None, InvalidRequestError, INVALID),
    ],
)
@pytest.mark.parametrize("name", ["lookup", "unwrap", "rewrap"])
async def test_what_is_no_wrapping_token_is_refused_before_anybody_is_asked(
    name: str, given: dict[str, Any], caller: str | None, kind: type[EngineError], text: str
) -> None:
    async with fresh() as server:
        with pytest.raises(kind, match=text):
            await server.call(Operation.UPDATE, f"sys/wrapping/{name}", given, caller)


async def test_what_a_user_wrapped_on_another_server_is_data_too() -> None:
    page = raw_data(RawAnswer(200, "text/html", b"<b>"))
    async with fresh() as server:
        info = await wrap(server, **page)
        drawers = server.open._drawers()
        (drawer,) = await drawers.list("")
        # As real servers store it, which do not say whose data it is.
        theirs = encode_wrap_info("sys/wrapping/wrap", 0, 300 * SECOND_NS, is_plain=False)
        await drawers.put(drawer + WRAP_INFO_KEY, theirs)
        response = await server.write(UNWRAP, info.token)
        assert response is not None
        assert response.raw_content_type != "text/html"
        assert body_of(response)["data"] == page


@pytest.mark.parametrize("name", ["lookup", "unwrap", "rewrap"])
async def test_a_token_that_wraps_nothing_loses_nothing_by_being_handed_in(name: str) -> None:
    async with fresh() as server:
        token = await server.token(policies=["default"], num_uses=3)
        for _ in range(5):
            with pytest.raises(InvalidRequestError, match=INVALID):
                await hand_in(server, f"sys/wrapping/{name}", token, server.root)
        found = await hand_in(server, "auth/token/lookup", token, server.root)
        assert found is not None
        assert found.data is not None
        assert found.data["num_uses"] == 3


async def test_looking_a_wrapping_token_up_takes_nothing_from_it() -> None:
    async with fresh() as server:
        info = await wrap(server, ttl=60, a="b")
        for _ in range(3):
            by_body = await hand_in(server, "sys/wrapping/lookup", info.token, "")
            by_header = await server.call(Operation.READ, "sys/wrapping/lookup", token=info.token)
            assert by_body is not None
            assert by_header is not None
            assert by_body.data == by_header.data
            assert by_body.data is not None
            assert by_body.data["creation_ttl"] == 60
            assert by_body.data["creation_path"] == "sys/wrapping/wrap"
        assert (await unwrap(server, info.token))["data"] == {"a": "b"}


async def test_wrapping_again_moves_the_content_to_a_new_token() -> None:
    async with fresh() as server:
        first = await wrap(server, ttl=100, a="b")
        response = await hand_in(server, "sys/wrapping/rewrap", first.token, server.root)
        assert response is not None
        second = response.wrap_info
        assert second is not None
        assert (second.ttl_seconds, second.creation_path) == (100, "sys/wrapping/wrap")
        with pytest.raises(InvalidRequestError, match=INVALID):
            await unwrap(server, first.token)
        for wished, granted in ((70, 70), (700, 70)):
            response = await hand_in(
                server, "sys/wrapping/rewrap", second.token, server.root, wrap_ttl_seconds=wished
            )
            assert response is not None
            second = response.wrap_info
            assert second is not None
            assert second.ttl_seconds == granted
        assert (await unwrap(server, second.token))["data"] == {"a": "b"}


async def test_a_wrapping_token_may_not_wrap_itself_again() -> None:
    async with fresh() as server:
        info = await wrap(server, a="b")
        with pytest.raises(PermissionDeniedError):
            await server.write("sys/wrapping/rewrap", info.token)


async def test_wrapping_needs_a_ttl() -> None:
    async with fresh() as server:
        with pytest.raises(InvalidRequestError, match="endpoint requires response wrapping"):
            await server.write("sys/wrapping/wrap", a="b")


async def test_nothing_and_failures_are_not_wrapped() -> None:
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv")
        call = server.call
        assert await call(Operation.READ, "kv/none", wrap_ttl_seconds=60) is None
        assert await call(Operation.UPDATE, "kv/a", {"v": 1}, wrap_ttl_seconds=60) is None
        with pytest.raises(NotFoundInEngineError, match="unsupported path"):
            await call(Operation.LIST, "kv/none/", wrap_ttl_seconds=60)
        with pytest.raises(InvalidRequestError):
            await call(Operation.UPDATE, "kv/a", {}, wrap_ttl_seconds=60)
        listed = await wrapped(server, Operation.LIST, "kv/")
        assert listed.creation_path == "kv/"
        assert (await unwrap(server, listed.token))["data"] == {"keys": ["a"]}
        left = [i async for i in server.open.leases.walk("")]
        assert left == []


async def test_logins_tokens_and_secret_ids_tell_the_accessor_inside() -> None:
    async with fresh() as server:
        await server.write("sys/auth/approle", type="approle")
        await server.write("auth/approle/role/r", token_policies=["default"])
        role = await server.read("auth/approle/role/r/role-id")
        assert role is not None
        info = await wrapped(server, Operation.UPDATE, "auth/approle/role/r/secret-id")
        assert info.creation_path == "auth/approle/role/r/secret-id"
        secret = (await unwrap(server, info.token))["data"]
        assert info.wrapped_accessor == secret["secret_id_accessor"]
        login = {"role_id": role["role_id"], "secret_id": secret["secret_id"]}
        info = await wrapped(server, Operation.UPDATE, "auth/approle/login", login, token="")
        again = await hand_in(server, "sys/wrapping/rewrap", info.token, server.root)
        assert again is not None
        assert again.wrap_info is not None
        auth = (await unwrap(server, again.wrap_info.token))["auth"]
        assert auth["accessor"] == info.wrapped_accessor == again.wrap_info.wrapped_accessor
        assert await server.alive(auth["client_token"])
        info = await wrapped(server, Operation.UPDATE, "auth/token/create", {"ttl": "1h"})
        await server.write("auth/token/revoke-accessor", accessor=info.wrapped_accessor)
        auth = (await unwrap(server, info.token))["auth"]
        assert not await server.alive(auth["client_token"])


async def test_an_answer_with_a_status_of_its_own_keeps_it() -> None:
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv-v2")
        await server.write("kv/data/a", data={"v": 1})
        await server.delete("kv/data/a")
        info = await wrapped(server, Operation.READ, "kv/data/a")
        response = await server.write(UNWRAP, info.token)
        assert response is not None
        assert response.status == 404
        assert body_of(response)["data"]["metadata"]["version"] == 1
        tidy = await wrapped(server, Operation.UPDATE, "sys/leases/tidy")
        again = await server.call(
            Operation.UPDATE, UNWRAP, {"token": tidy.token}, wrap_ttl_seconds=60
        )
        assert again is not None
        assert again.wrap_info is not None
        response = await server.write(UNWRAP, again.wrap_info.token)
        assert response is not None
        assert response.status == 202


async def test_users_cannot_wrap_a_status_or_a_page_of_their_own() -> None:
    page = {"http_raw_body": "PGI+", "http_status_code": 200, "http_content_type": "text/html"}
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv")
        await server.write("kv/page", **page)
        for info in (await wrap(server, **page), await wrapped(server, Operation.READ, "kv/page")):
            again = await hand_in(server, "sys/wrapping/rewrap", info.token, server.root)
            assert again is not None
            assert again.wrap_info is not None
            response = await server.write(UNWRAP, again.wrap_info.token)
            assert response is not None
            assert (response.status, response.raw_content_type) == (0, "application/json")
            assert body_of(response)["data"] == page


@pytest.mark.parametrize("body", [b"plain {", b"\xff\xfe", b"eGg=", b""])
def test_bodies_of_any_kind_come_back(body: bytes) -> None:
    answer = RawAnswer(404, "text/plain", body)
    assert raw_answer(raw_data(answer)) == answer


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"http_status_code": "x", "http_content_type": "a", "http_raw_body": ""},
        {"http_status_code": 99, "http_content_type": "a", "http_raw_body": ""},
        {"http_status_code": True, "http_content_type": "a", "http_raw_body": ""},
        {"http_status_code": 200, "http_content_type": "a\r\nx: y", "http_raw_body": ""},
        {"http_status_code": 200, "http_content_type": "a", "http_raw_body": 5},
        {"http_status_code": 200, "http_content_type": "a", "http_raw_body": "", "more": 1},
    ],
)
def test_what_only_looks_like_an_answer_is_data(data: Any) -> None:
    assert raw_answer(data) is None


async def test_policies_may_ask_for_wrapping_within_limits() -> None:
    rule = 'capabilities = ["read"] min_wrapping_ttl = "1m" max_wrapping_ttl = "10m"'
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv")
        await server.write("kv/a", v=1)
        await server.policy("p", f'path "kv/*" {{ {rule} }}')
        token = await server.token(policies=["p"])
        for ttl in (0, 59, 601):
            with pytest.raises(PermissionDeniedError):
                await server.call(Operation.READ, "kv/a", token=token, wrap_ttl_seconds=ttl)
        for ttl in (60, 600):
            info = await wrapped(server, Operation.READ, "kv/a", token=token, ttl=ttl)
            assert info.ttl_seconds == ttl


async def test_a_jwt_is_refused_before_anything_is_done() -> None:
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv")
        headers = {"x-vault-wrap-format": ["jwt"]}
        with pytest.raises(InvalidRequestError, match="JWT"):
            await server.call(
                Operation.UPDATE, "kv/a", {"v": 1}, wrap_ttl_seconds=60, headers=headers
            )
        assert await server.read("kv/a") is None


async def test_time_takes_token_and_content_away() -> None:
    async with fresh() as server:
        info = await wrap(server, ttl=10, a="b")
        assert len(await drawers(server)) == 2
        server.clock.advance(11)
        with pytest.raises(InvalidRequestError, match=INVALID):
            await unwrap(server, info.token)
        await server.core.tick()
        assert await drawers(server) == []


async def drawers(server: Running) -> list[str]:
    """Keys of everything that lies in any cubbyhole."""
    view = server.open._drawers()
    folders = await view.list("")
    return [folder + name for folder in folders for name in await view.list(folder)]


async def test_nothing_is_left_of_what_was_unwrapped() -> None:
    async with fresh() as server:
        for by in (None, server.root):
            info = await wrap(server, a="b")
            await unwrap(server, info.token, by)
        assert await drawers(server) == []
        assert [i async for i in server.open.leases.walk("")] == []


@pytest.mark.parametrize("third", [False, True])
async def test_of_many_who_unwrap_at_once_one_wins(third: bool) -> None:
    async with fresh() as server:
        info = await wrap(server, a="b")
        slow_down(server)
        by = server.root if third else None
        results = await asyncio.gather(
            *(unwrap(server, info.token, by) for _ in range(8)), return_exceptions=True
        )
        won = [result for result in results if isinstance(result, dict)]
        assert len(won) == 1
        assert all(isinstance(r, EngineError) for r in results if not isinstance(r, dict))


async def test_wrapping_again_and_unwrapping_at_once_have_one_winner() -> None:
    async with fresh() as server:
        info = await wrap(server, a="b")
        slow_down(server)
        results = await asyncio.gather(
            unwrap(server, info.token, server.root),
            hand_in(server, "sys/wrapping/rewrap", info.token, server.root),
            return_exceptions=True,
        )
        assert sum(not isinstance(result, BaseException) for result in results) == 1


async def test_the_old_way_through_the_cubbyhole_still_works() -> None:
    async with fresh() as server:
        info = await wrap(server, a="b")
        response = await server.call(Operation.READ, "cubbyhole/response", token=info.token)
        assert response is not None
        assert response.data is not None
        assert json.loads(response.data["response"])["data"] == {"a": "b"}
        assert "deprecated" in response.warnings[0]
        with pytest.raises(InvalidRequestError, match=INVALID):
            await unwrap(server, info.token)
        await server.write("cubbyhole/response", v=1)
        own = await server.call(Operation.READ, "cubbyhole/response")
        assert own is not None
        assert own.warnings == []


async def test_the_audit_log_shows_the_wrapping_and_the_unwrapped_answer(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    async with fresh() as server:
        options = {"file_path": str(log)}
        await server.write("sys/audit/file", type="file", options=options)
        await server.write("sys/mounts/kv", type="kv")
        await server.write("kv/a", v="top-secret-value")
        info = await wrapped(server, Operation.READ, "kv/a")
        with pytest.raises(EngineError):
            await unwrap(server, "nope", server.root)
        await unwrap(server, info.token)
        hashed = await server.write("sys/audit-hash/file", input=info.token)
        assert hashed is not None
        assert hashed.data is not None
        token_hash = hashed.data["hash"]
        hashed = await server.write("sys/audit-hash/file", input="top-secret-value")
        assert hashed is not None
        assert hashed.data is not None
        value_hash = hashed.data["hash"]
    text = log.read_text()
    for secret in ("top-secret-value", info.token, info.accessor):
        assert secret not in text
    found = [json.loads(line) for line in text.splitlines()]
    (shown,) = [r for r in found if "wrap_info" in r.get("response", {})]
    assert shown["request"]["wrap_ttl"] == 300
    assert shown["response"]["wrap_info"]["token"] == token_hash
    assert shown["response"]["wrap_info"]["creation_path"] == "kv/a"
    assert "data" not in shown["response"]
    answers = [r for r in found if r["request"]["path"] == UNWRAP and r["type"] == "response"]
    assert [r.get("error") for r in answers] == [INVALID, None]
    assert answers[1]["response"]["data"] == {"v": value_hash}


async def test_when_no_audit_device_can_be_written_nothing_is_unwrapped(tmp_path: Path) -> None:
    async with fresh() as server:
        info = await wrap(server, a="b")
        options = {"file_path": str(tmp_path / "audit.log")}
        await server.write("sys/audit/file", type="file", options=options)
        sinks = server.open.audit._sinks
        object.__setattr__(sinks[0], "file", _Full())
        with pytest.raises(EngineError, match="internal error"):
            await unwrap(server, info.token, server.root)
        server.open.audit._sinks = ()
        assert (await unwrap(server, info.token))["data"] == {"a": "b"}


class _Full:
    """A device whose disk is full."""

    def write(self, line: bytes) -> None:
        from zvault.engine.audit.file_device import AuditWriteError

        raise AuditWriteError("no space left")

    def close(self) -> None:
        pass


class PutsStorage(InMemStorage):
    """Remembers which keys each ``apply`` put."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[list[str]] = []

    async def apply(self, operations: Sequence[StorageOperation]) -> None:
        self.steps.append([op.key for op in operations if isinstance(op, Put)])
        await super().apply(operations)


async def test_a_wrapped_answer_is_stored_in_one_step_with_its_token() -> None:
    storage = PutsStorage()
    async with fresh(storage) as server:
        storage.steps.clear()
        info = await wrap(server, a=1)
        await hand_in(server, "sys/wrapping/rewrap", info.token, server.root)
        filled = [step for step in storage.steps if step and step[-1].endswith(WRAP_INFO_KEY)]
        assert len(filled) == 2
        for step in filled:
            assert any(key.startswith("sys/token/id/") for key in step)
            assert step[-2].endswith(f"/{RESPONSE_KEY}")


async def test_a_wrapping_token_lives_through_a_restart() -> None:
    async with fresh() as server:
        info = await wrap(server, a="b")
        await server.core.seal()
        await server.unseal()
        assert (await unwrap(server, info.token))["data"] == {"a": "b"}
