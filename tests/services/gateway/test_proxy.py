"""The way to a service: what crosses, what is refused, what happens when the service fails."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.services.gateway.stand import GatewayStand, Seen, reply, standing_gateway
from tests.support.service_stand import Provided
from zakupai_common.web.identity import (
    PLAN,
    REQUEST_ID,
    SCOPES,
    SIGNATURE,
    USER,
    identity_headers,
)
from zakupai_gateway import leaving
from zakupai_gateway import passage as passages
from zakupai_gateway.charging import limit_headers
from zakupai_gateway.gateway import TRUSTED
from zakupai_gateway.limits.gcra import SECOND, Charge, Decision, Limit

MEGABYTE = 1 << 20


def kind(answer: httpx.Response) -> str:
    return str(answer.json()["type"]).removeprefix("urn:zakupai:problem:")


async def raw(stand: GatewayStand, request: bytes) -> bytes:
    """Bytes to the gateway, and all it says until it closes."""
    host, port = stand.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    with contextlib.suppress(ConnectionError):
        await writer.drain()
    answer = b""
    with contextlib.suppress(ConnectionError):
        answer = await reader.read(-1)
    writer.close()
    return answer


def head(stand: GatewayStand, line: str, *more: str) -> bytes:
    lines = [line, "Host: x", f"Authorization: Bearer {stand.token()}", "Connection: close", *more]
    return "\r\n".join([*lines, "", ""]).encode()


# -- who gets through -------------------------------------------------------------------------


async def test_without_a_login_nothing_reaches_a_service(stand: GatewayStand) -> None:
    answer = await stand.client.get("/api/calc/history")
    assert (answer.status_code, kind(answer)) == (401, "login-needed")
    assert answer.headers["www-authenticate"] == "Bearer"
    wrong = {"Authorization": "Bearer nonsense"}
    answer = await stand.client.get("/api/calc/history", headers=wrong)
    assert (answer.status_code, kind(answer)) == (401, "token-invalid")
    basic = {"Authorization": "Basic dTpw"}
    answer = await stand.client.get("/api/calc/history", headers=basic)
    assert (answer.status_code, kind(answer)) == (401, "scheme-unknown")
    both = {**stand.authorized(), "X-API-Key": "zk_x"}
    answer = await stand.client.get("/api/calc/history", headers=both)
    assert (answer.status_code, kind(answer)) == (400, "two-credentials")
    assert stand.calc.seen == []


async def test_what_is_public_needs_no_login_and_comes_from_nobody(stand: GatewayStand) -> None:
    answer = await stand.client.get("/api/billing/plans")
    assert answer.json() == {"caller": "anonymous"}
    for path in ("/api/billing/plans/", "/api/billing/pl%61ns", "/api/billing/payments"):
        assert (await stand.client.get(path)).status_code == 401
    assert (await stand.client.post("/api/billing/plans")).status_code == 401


async def test_forged_identity_headers_end_at_the_gateway(stand: GatewayStand) -> None:
    forged = identity_headers(
        b"guessed", "GET", "/x", user="admin", scopes=("billing:admin",), request_id="abcdefgh"
    )
    forged |= {"X_Zakupai_User": "admin", "x-zakupai-whatever": "1", "X-Forwarded-For": "6.6.6.6"}
    answer = await stand.client.get("/api/calc/x", headers={**stand.authorized("me"), **forged})
    assert answer.status_code == 200
    [seen] = stand.calc.seen
    assert seen.caller.user == "me"
    assert seen.caller.scopes == frozenset()
    assert seen.header("x-zakupai-user") == ["me"]
    assert not [name for name, _ in seen.headers if "_" in name or name == "x-zakupai-whatever"]
    assert seen.header("x-forwarded-for") == ["127.0.0.1"]
    assert seen.caller.request_id == "abcdefgh"  # a well-formed id is the client's to choose


async def test_a_service_takes_no_key_but_its_own(stand: GatewayStand) -> None:
    """What was signed for billing is worth nothing at calc."""
    keys = {stand.gateway.gate._identity_key(name): name for name in ("billing", "calc", "etl")}
    assert len(keys) == 3


@pytest.mark.parametrize(
    "path", ["/api/calc/../billing/x", "/api/calc/%2e%2e/x", "/api/calc//x", "/api/calc/a%2fb"]
)
async def test_a_path_with_two_meanings_reaches_nobody(stand: GatewayStand, path: str) -> None:
    answer = await raw(stand, head(stand, f"GET {path} HTTP/1.1"))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"path-refused" in answer
    assert stand.calc.seen == []


@pytest.mark.parametrize(
    "target", ["/api/calc/a%20b/%D0%BB?x=%zz&y=a%2Fb&&z", "/api/calc/?", "/api/calc"]
)
async def test_path_and_query_arrive_byte_for_byte(stand: GatewayStand, target: str) -> None:
    answer = await raw(stand, head(stand, f"GET {target} HTTP/1.1"))
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    wanted = target.removeprefix("/api/calc").rstrip("?") or "/"
    assert stand.calc.seen[0].target == wanted


@pytest.mark.parametrize("path", ["metrics", "ready", "%6detrics", "r%65ady"])
async def test_what_a_service_tells_its_operators_is_not_for_users(
    stand: GatewayStand, path: str
) -> None:
    answer = await stand.client.get(f"/api/calc/{path}", headers=stand.authorized())
    assert answer.status_code == 404


async def test_a_service_that_is_not_in_the_table_does_not_exist(stand: GatewayStand) -> None:
    for name in ("gateway", "127.0.0.1:9200", "calc@evil", "unknown"):
        answer = await stand.client.get(f"/api/{name}/x", headers=stand.authorized())
        assert answer.status_code in (400, 404)
    absent = await stand.client.get("/api/etl/x", headers=stand.authorized())
    assert (absent.status_code, kind(absent)) == (503, "service-absent")


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "LINK"])
async def test_a_method_that_no_service_has_is_refused(stand: GatewayStand, method: str) -> None:
    answer = await raw(stand, head(stand, f"{method} /api/calc/x HTTP/1.1"))
    assert answer.split(b" ")[1] in (b"405", b"400")
    assert stand.calc.seen == []


async def test_websockets_are_refused_in_words(stand: GatewayStand) -> None:
    wanted = ("Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    lines = [f"Authorization: Bearer {stand.token()}", "Host: x", "Connection: Upgrade", *wanted]
    request = "\r\n".join(
        ["GET /api/calc/x HTTP/1.1", *lines, "Sec-WebSocket-Version: 13", "", ""]
    ).encode()
    host, port = stand.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    answer = await reader.readuntil(b"}")
    writer.close()
    assert answer.startswith(b"HTTP/1.1 501 ")
    assert b"websocket-unsupported" in answer
    assert stand.calc.seen == []


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Content-Length: 5", "Content-Length: 6"),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
        ("Transfer-Encoding: xchunked",),
        ("Content-Length: -5",),
        ("Content-Length: +5",),
    ],
)
async def test_a_body_whose_length_is_ambiguous_reaches_nobody(
    stand: GatewayStand, lines: tuple[str, ...]
) -> None:
    smuggled = b"0\r\n\r\nGET /api/calc/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = await raw(stand, head(stand, "POST /api/calc/x HTTP/1.1", *lines) + smuggled)
    assert b" 200 " not in answer.split(b"\r\n")[0]
    assert not any("smuggled" in seen.target for seen in stand.calc.seen)


# -- limits -----------------------------------------------------------------------------------

NARROW = """
[limits]
ip = { requests = 40, seconds = 86400 }
user = { requests = 5, seconds = 86400 }
key = { requests = 3, seconds = 86400 }
lookup = { requests = 4, seconds = 86400 }
[login]
ip = { requests = 100, seconds = 86400 }
account = { requests = 5, seconds = 86400 }
account_and_ip = { requests = 3, seconds = 86400 }
redis_away = "closed"
[refresh]
ip = { requests = 4, seconds = 86400 }
[[service]]
name = "billing"
prefix = "/billing"
limit = { requests = 100, seconds = 86400 }
[[service]]
name = "calc"
limit = { requests = 100, seconds = 86400 }
"""


@pytest.fixture
async def narrow(provided: Provided, tmp_path: Path) -> AsyncIterator[GatewayStand]:
    async with standing_gateway(provided, tmp_path, table=NARROW) as made:
        await made.parts.redis.flushdb()
        yield made
        await made.parts.redis.flushdb()


async def test_every_user_has_a_limit_of_its_own_and_is_told_what_is_left(
    narrow: GatewayStand,
) -> None:
    left = []
    for _ in range(5):
        answer = await narrow.client.get("/api/calc/x", headers=narrow.authorized("a"))
        assert answer.status_code == 200
        left.append(int(answer.headers["ratelimit-remaining"]))
        assert answer.headers["ratelimit-limit"] == "5"
        assert 0 < int(answer.headers["ratelimit-reset"]) <= 86400
    assert left == [4, 3, 2, 1, 0]
    refused = await narrow.client.get("/api/calc/x", headers=narrow.authorized("a"))
    assert (refused.status_code, kind(refused)) == (429, "too-many-requests")
    assert refused.json()["limit"] == "user"
    assert 0 < int(refused.headers["retry-after"]) <= 86400 / 5
    assert refused.headers["ratelimit-remaining"] == "0"
    other = await narrow.client.get("/api/calc/x", headers=narrow.authorized("b"))
    assert other.status_code == 200
    assert len(narrow.calc.seen) == 6


async def test_who_is_not_believed_is_charged_by_address(narrow: GatewayStand) -> None:
    wrong = {"Authorization": "Bearer nonsense"}
    answers = [await narrow.client.get("/api/calc/x", headers=wrong) for _ in range(41)]
    assert [one.status_code for one in answers] == [401] * 40 + [429]


async def test_a_key_has_a_limit_of_its_own_below_its_users(narrow: GatewayStand) -> None:
    key, other = ({"X-API-Key": narrow.billing.make_key()} for _ in range(2))
    answers = [await narrow.client.get("/api/calc/x", headers=key) for _ in range(4)]
    assert [one.status_code for one in answers] == [200] * 3 + [429]
    assert answers[-1].json()["limit"] == "key"
    assert (await narrow.client.get("/api/calc/x", headers=other)).status_code == 200


async def test_an_address_shows_few_keys_that_billing_must_be_asked_about(
    narrow: GatewayStand,
) -> None:
    narrow.gateway.authenticator._keys._clock = lambda: 0.0
    known = {"X-API-Key": narrow.billing.make_key()}
    assert (await narrow.client.get("/api/calc/x", headers=known)).status_code == 200
    guesses = [{"X-API-Key": f"zk_{number:012}_{'x' * 49}"} for number in range(4)]
    answers = [await narrow.client.get("/api/calc/x", headers=guess) for guess in guesses]
    assert [one.status_code for one in answers] == [401] * 3 + [429]
    assert answers[-1].json()["limit"] == "lookup"
    assert narrow.billing.asked == 4
    assert (await narrow.client.get("/api/calc/x", headers=known)).status_code == 200


async def test_passwords_are_tried_a_few_times_only_also_the_right_one(
    narrow: GatewayStand,
) -> None:
    asked = {"email": "a@example.kz", "password": "wrong wrong wrong"}
    answers = [await narrow.client.post("/auth/login", json=asked) for _ in range(4)]
    assert [one.status_code for one in answers] == [401, 401, 401, 429]
    assert answers[-1].json()["limit"] == "account"
    other = {**asked, "email": "b@example.kz"}
    assert (await narrow.client.post("/auth/login", json=other)).status_code == 401
    assert not [key for key in await narrow.parts.redis.keys("*") if b"example" in key]


FEW = NARROW.replace("[login]\nip = { requests = 100,", "[login]\nip = { requests = 6,")


@pytest.fixture
async def far(provided: Provided, tmp_path: Path) -> AsyncIterator[GatewayStand]:
    """The test is a proxy of ours and says where its clients are."""
    trusted = {"options": {TRUSTED: "127.0.0.0/8"}}
    async with standing_gateway(provided, tmp_path, table=FEW, **trusted) as made:
        await made.parts.redis.flushdb()
        yield made
        await made.parts.redis.flushdb()


async def shown(stand: GatewayStand, path: str, asked: object, address: str) -> tuple[int, Any]:
    """The status, and which limit was reached."""
    headers = {"X-Forwarded-For": address}
    answer = await stand.client.post(path, json=asked, headers=headers)
    return answer.status_code, answer.json().get("limit")


async def test_passwords_of_one_account_are_few_wherever_they_come_from(far: GatewayStand) -> None:
    asked = {"email": "a@example.kz", "password": "wrong wrong wrong"}
    found = [await shown(far, "/auth/login", asked, f"9.9.9.{number}") for number in range(6)]
    assert found == [(401, None)] * 5 + [(429, "account")]


async def test_one_address_tries_few_passwords_and_invitations_whoever_they_belong_to(
    far: GatewayStand,
) -> None:
    for number in range(3):
        asked = {"email": f"a{number}@example.kz", "password": "wrong wrong wrong"}
        assert await shown(far, "/auth/login", asked, "9.9.9.9") == (401, None)
    for number in range(4):
        asked = {"invitation": f"zi_{number:043}", "password": "wrong wrong wrong"}
        expected = (401, None) if number < 3 else (429, "ip")
        assert await shown(far, "/auth/password", asked, "9.9.9.9") == expected
    assert await shown(far, "/auth/password", asked, "9.9.9.8") == (401, None)


@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/logout"])
async def test_one_address_shows_few_refresh_tokens(narrow: GatewayStand, path: str) -> None:
    asked = [{"refresh_token": f"zr_{number:043}"} for number in range(5)]
    answers = [await narrow.client.post(path, json=one) for one in asked]
    expected = 401 if path == "/auth/refresh" else 204
    assert [one.status_code for one in answers] == [expected] * 4 + [429]


@given(st.integers(1, 10**12))
def test_a_wait_that_is_told_is_never_shorter_than_it_is(microseconds: int) -> None:
    left = Decision(True, Charge("user", "user:1", Limit(1, 1.0)), 1, 0, microseconds)
    told = int(dict(limit_headers(left))[b"ratelimit-reset"]) * SECOND
    assert microseconds <= told < microseconds + SECOND


async def test_without_redis_passwords_are_not_tried_and_the_rest_goes_on(
    provided: Provided, tmp_path: Path
) -> None:
    async with standing_gateway(provided, tmp_path, table=NARROW, redis_port=1) as stand:
        answers = [
            await stand.client.get("/api/calc/x", headers=stand.authorized()) for _ in range(6)
        ]
        assert [one.status_code for one in answers] == [200] * 5 + [429]
        asked = {"email": "a@example.kz", "password": "wrong wrong wrong"}
        answer = await stand.client.post("/auth/login", json=asked)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        ready = await stand.client.get("/ready")
        assert ready.json()["parts"]["redis"]["ready"] is False


# -- bodies -----------------------------------------------------------------------------------


async def test_ten_megabytes_are_refused_before_they_are_read(stand: GatewayStand) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * MEGABYTE

    for body in (b"x" * (10 * MEGABYTE), pieces()):
        answer = await stand.client.post("/api/calc/vat", content=body, headers=stand.authorized())
        assert (answer.status_code, kind(answer)) == (413, "body-too-large")
    assert stand.calc.seen == []


async def test_a_body_that_lies_about_its_length_is_refused(stand: GatewayStand) -> None:
    chunk = b"%x\r\n%s\r\n" % (MEGABYTE, b"x" * MEGABYTE)
    request = head(stand, "POST /api/calc/x HTTP/1.1", "Transfer-Encoding: chunked") + chunk * 3
    assert b" 413 " in (await raw(stand, request)).split(b"\r\n")[0]


async def test_a_client_that_owes_its_body_too_long_is_told(
    stand: GatewayStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaving, "BODY_SILENCE_SECONDS", 0.2)
    for length in (100, 100_000):
        request = head(stand, "POST /api/calc/x HTTP/1.1", f"Content-Length: {length}") + b"begun"
        assert b" 408 " in (await raw(stand, request)).split(b"\r\n")[0]
    assert not passage(stand).breaker.is_open


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 2 * MEGABYTE])
async def test_a_body_arrives_whole_announced_or_in_pieces(stand: GatewayStand, size: int) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]

    async def pieces() -> AsyncIterator[bytes]:
        for place in range(0, len(body), 40_000):
            yield body[place : place + 40_000]

    for content in (body, pieces()):
        answer = await stand.client.put("/api/calc/x", content=content, headers=stand.authorized())
        assert answer.status_code == 200
        assert stand.calc.seen[-1].body == body
        assert stand.calc.seen[-1].method == "PUT"


# -- answers ----------------------------------------------------------------------------------


async def test_a_long_answer_is_a_stream_and_keeps_its_headers(stand: GatewayStand) -> None:
    go_on = asyncio.Event()

    async def slowly(seen: Seen, send: Any) -> None:
        headers = [(b"content-type", b"text/csv"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
        await send({"type": "http.response.start", "status": 206, "headers": headers})
        await send({"type": "http.response.body", "body": b"first,", "more_body": True})
        await go_on.wait()
        await send({"type": "http.response.body", "body": b"last"})

    stand.calc.answer = slowly
    async with stand.client.stream("GET", "/api/calc/x", headers=stand.authorized()) as answer:
        assert answer.status_code == 206
        assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
        pieces = answer.aiter_raw()
        assert await anext(pieces) == b"first,"
        go_on.set()
        assert b"".join([piece async for piece in pieces]) == b"last"


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
async def test_an_answer_without_a_body_keeps_none(
    stand: GatewayStand, method: str, status: int
) -> None:
    async def empty(seen: Seen, send: Any) -> None:
        headers = [(b"etag", b'"1"')]
        if method == "HEAD":
            headers.append((b"content-length", b"12345"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    stand.calc.answer = empty
    for _ in range(2):  # the connection is good for another one
        answer = await stand.client.request(method, "/api/calc/x", headers=stand.authorized())
        assert answer.status_code == status
        assert answer.content == b""
        assert answer.headers["etag"] == '"1"'


async def test_a_compressed_answer_stays_as_it_is(stand: GatewayStand) -> None:
    async def compressed(seen: Seen, send: Any) -> None:
        assert seen.header("accept-encoding") == ["gzip"]
        await reply(send, 200, "not really gzip", {"content-encoding": "gzip"})

    stand.calc.answer = compressed
    request = head(stand, "GET /api/calc/x HTTP/1.1", "Accept-Encoding: gzip")
    answer = await raw(stand, request)
    assert b"content-encoding: gzip" in answer
    assert answer.endswith(b'"not really gzip"')


@pytest.mark.parametrize("body", ["", "12345"])
async def test_a_service_sees_no_header_that_neither_its_client_nor_the_gateway_said(
    stand: GatewayStand, body: str
) -> None:
    told = ["Accept: x/y"] + ([f"Content-Length: {len(body)}"] if body else [])
    answer = await raw(stand, head(stand, "PUT /api/calc/x HTTP/1.1", *told) + body.encode())
    assert answer.startswith(b"HTTP/1.1 200")
    [seen] = stand.calc.seen
    assert seen.body == body.encode()
    names = sorted(name for name, _ in seen.headers)
    identity = [name.lower() for name in (USER, PLAN, SCOPES, REQUEST_ID, SIGNATURE)]
    forwarded = ["x-forwarded-for", "x-forwarded-proto"]
    assert names == sorted(["accept", "content-length", "host", *identity, *forwarded])


async def test_a_redirect_of_a_service_is_not_followed_and_names_no_inner_address(
    stand: GatewayStand,
) -> None:
    async def elsewhere(seen: Seen, send: Any) -> None:
        inner = next(value for name, value in seen.headers if name == "host")
        await reply(send, 307, {}, {"location": f"http://{inner}/history/7"})

    stand.calc.answer = elsewhere
    answer = await stand.client.get("/api/calc/x", headers=stand.authorized())
    assert answer.status_code == 307
    assert answer.headers["location"] == "/api/calc/history/7"
    assert len(stand.calc.seen) == 1


async def test_an_error_of_a_service_is_its_own_answer(stand: GatewayStand) -> None:
    async def broken(seen: Seen, send: Any) -> None:
        await reply(send, 500, {"type": "urn:zakupai:problem:internal"})

    stand.calc.answer = broken
    for _ in range(20):
        answer = await stand.client.get("/api/calc/x", headers=stand.authorized())
        assert (answer.status_code, kind(answer)) == (500, "internal")
    assert not passage(stand).breaker.is_open


# -- services that fail -----------------------------------------------------------------------

Played = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def passage(stand: GatewayStand) -> Any:
    return stand.gateway.gate._services["calc"]._app  # type: ignore[attr-defined]


@contextlib.asynccontextmanager
async def failing(
    provided: Provided, folder: Path, played: Played, calc_lines: str = ""
) -> AsyncIterator[GatewayStand]:
    """A gateway before a service that speaks in raw bytes."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await played(reader, writer)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        async with standing_gateway(
            provided, folder, calc_address=address, calc_lines=calc_lines
        ) as stand:
            yield stand
    finally:
        server.close()


async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(-1)


def saying(answer: bytes) -> Played:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    return say


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"this is not HTTP\r\n\r\n", "garbage"),
        (b"HTTP/1.1 2x0 OK\r\n\r\n", "garbage"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", "garbage"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n", "garbage"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "broke"),
        (b"", "broke"),
    ],
)
async def test_a_service_that_speaks_no_http_is_a_bad_gateway(
    provided: Provided, tmp_path: Path, answer: bytes, reason: str
) -> None:
    async with failing(provided, tmp_path, saying(answer)) as stand:
        got = await stand.client.post("/api/calc/x", headers=stand.authorized())
        assert (got.status_code, kind(got)) == (502, f"upstream-{reason}")
        assert "127.0.0.1" not in got.text
        counted = await stand.client.get("/metrics")
        line = f'gateway_upstream_failures_total{{reason="{reason}",service="calc"}} 1.0'
        assert line in counted.text


async def test_half_an_answer_never_looks_whole(provided: Provided, tmp_path: Path) -> None:
    broken = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"
    async with failing(provided, tmp_path, saying(broken)) as stand:
        answer = await raw(stand, head(stand, "GET /api/calc/x HTTP/1.1"))
        assert b"half" in answer
        assert not answer.endswith(b"0\r\n\r\n")
        with pytest.raises(httpx.RemoteProtocolError):
            await stand.client.get("/api/calc/x", headers=stand.authorized())


async def test_a_service_that_is_silent_is_given_up(provided: Provided, tmp_path: Path) -> None:
    async with failing(provided, tmp_path, hold, "answer_seconds = 0.3") as stand:
        got = await stand.client.get("/api/calc/x", headers=stand.authorized())
        assert (got.status_code, kind(got)) == (504, "upstream-slow")


async def test_a_dead_service_is_left_alone_and_the_others_are_not(
    provided: Provided, tmp_path: Path
) -> None:
    nowhere = "http://127.0.0.1:1"
    async with standing_gateway(provided, tmp_path, calc_address=nowhere) as stand:
        now = 0.0
        passage(stand).breaker._clock = lambda: now
        kinds = []
        for _ in range(7):
            got = await stand.client.get("/api/calc/x", headers=stand.authorized())
            kinds.append((got.status_code, kind(got)))
        unreachable, left_alone = (502, "upstream-unreachable"), (503, "upstream-open")
        assert kinds == [unreachable] * 5 + [left_alone] * 2
        assert int(got.headers["retry-after"]) in (2, 3)
        counted = (await stand.client.get("/metrics")).text
        assert 'gateway_breaker_open{service="calc"} 1.0' in counted
        billing = await stand.client.get("/api/billing/accounts/x", headers=stand.authorized())
        assert billing.status_code in (200, 404, 500)
        now = 10.0
        got = await stand.client.get("/api/calc/x", headers=stand.authorized())
        assert kind(got) == "upstream-unreachable"
        got = await stand.client.get("/api/calc/x", headers=stand.authorized())
        assert kind(got) == "upstream-open"


async def test_a_slow_service_takes_its_own_places_and_nobody_elses(
    stand: GatewayStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passages, "AT_ONCE", 2)
    go_on = asyncio.Event()

    async def slowly(seen: Seen, send: Any) -> None:
        await go_on.wait()
        await reply(send, 200, {})

    stand.calc.answer = slowly
    headers = stand.authorized()
    waiting = [
        asyncio.create_task(stand.client.get("/api/calc/x", headers=headers)) for _ in range(2)
    ]
    async with asyncio.timeout(60):
        while len(stand.calc.seen) < 2:  # noqa: ASYNC110 - the service tells nobody
            await asyncio.sleep(0.01)
    busy = await stand.client.get("/api/calc/x", headers=headers)
    assert (busy.status_code, kind(busy), busy.headers["retry-after"]) == (
        503,
        "upstream-busy",
        "1",
    )
    assert (await stand.client.get("/api/billing/plans")).status_code == 200
    go_on.set()
    assert [(await one).status_code for one in waiting] == [200, 200]
    assert (await stand.client.get("/api/calc/x", headers=headers)).status_code == 200


async def test_a_service_that_is_back_is_used_again(stand: GatewayStand) -> None:
    breaker = passage(stand).breaker
    for _ in range(5):
        breaker.failed()
    assert (await stand.client.get("/api/calc/x", headers=stand.authorized())).status_code == 503
    breaker._open_until = 0.0
    assert (await stand.client.get("/api/calc/x", headers=stand.authorized())).status_code == 200
    assert not breaker.is_open


async def test_what_is_done_for_a_client_ends_when_it_leaves(
    provided: Provided, tmp_path: Path
) -> None:
    asked, ended = asyncio.Event(), asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        assert await reader.read(-1) == b""
        ended.set()

    async with failing(provided, tmp_path, wait) as stand:
        request = asyncio.create_task(stand.client.get("/api/calc/x", headers=stand.authorized()))
        await asyncio.wait_for(asked.wait(), 30)
        request.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await request
        await asyncio.wait_for(ended.wait(), 30)
        assert not passage(stand).breaker.is_open
        assert passage(stand)._inside == 0


async def test_an_upload_is_handed_on_while_it_comes_and_ends_with_its_client(
    provided: Provided, tmp_path: Path
) -> None:
    first, ended = asyncio.Event(), asyncio.Event()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"first piece")
        first.set()
        with contextlib.suppress(ConnectionError):
            await reader.read(-1)
        ended.set()

    async with failing(provided, tmp_path, take) as stand:
        host, port = stand.address.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        chunk = b"b\r\nfirst piece\r\n"
        writer.write(head(stand, "POST /api/calc/x HTTP/1.1", "Transfer-Encoding: chunked") + chunk)
        await asyncio.wait_for(first.wait(), 30)
        writer.close()
        await asyncio.wait_for(ended.wait(), 30)


# -- what the gateway says itself -------------------------------------------------------------


async def test_operators_read_metrics_and_others_do_not(provided: Provided, tmp_path: Path) -> None:
    outside = {"ZAKUPAI_GATEWAY_TRUSTED_PROXIES": "127.0.0.1"}
    async with standing_gateway(provided, tmp_path, options=outside) as stand:
        for path in ("/metrics", "/ready"):
            from_outside = {"X-Forwarded-For": "203.0.113.9"}
            assert (await stand.client.get(path, headers=from_outside)).status_code == 404
            assert (await stand.client.get(path)).status_code == 200
        assert (await stand.client.get("/health", headers=from_outside)).status_code == 200
        await stand.client.get("/api/calc/x", headers={**stand.authorized(), **from_outside})
        assert stand.calc.seen[-1].header("x-forwarded-for") == ["203.0.113.9"]
        counted = (await stand.client.get("/metrics")).text
        assert 'endpoint="/api/calc"' in counted
        assert 'gateway_limit_checks_total{by="redis"} 1.0' in counted


async def test_nothing_but_the_gateways_own_paths_answers(stand: GatewayStand) -> None:
    for path in ("/", "/api", "/auth", "/admin", "/api/"):
        answer = await stand.client.get(path)
        assert answer.status_code == 404
        assert json.loads(answer.text)["status"] == 404
