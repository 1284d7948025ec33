"""Whether a service is ready: each part is asked, none is waited for long, none is believed."""

import asyncio
from collections.abc import Sequence

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zakupai_common.web import health
from zakupai_common.web.answering import Answering
from zakupai_common.web.errors import ProblemError
from zakupai_common.web.health import NotReadyError, readiness


async def good() -> str:
    return "answers"


async def away() -> str:
    raise NotReadyError("does not answer")


async def broken() -> str:
    raise RuntimeError("hunter2")


async def late() -> str:
    await asyncio.sleep(1)
    return "answers"


async def test_one_part_that_is_not_ready_is_named_and_the_others_are_told_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "CHECK_SECONDS", 0.05)
    assert (await readiness({"a": good, "b": good})).ready
    found = await readiness({"good": good, "away": away, "broken": broken, "late": late})
    assert not found.ready
    assert {name: (part.ready, part.detail) for name, part in found.parts.items()} == {
        "good": (True, "answers"),
        "away": (False, "does not answer"),
        "broken": (False, "the check failed; see the log"),
        "late": (False, "no answer within 0 s"),
    }


async def in_order(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def refuses(scope: Scope, receive: Receive, send: Send) -> None:
    raise ProblemError(409, "taken", "somebody has it")


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError


async def fails_half_way(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise RuntimeError


async def goes_away(scope: Scope, receive: Receive, send: Send) -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("app", "status", "sent"),
    [
        (in_order, 204, [204]),
        (refuses, 409, [409]),
        (fails, 500, [500]),
        (fails_half_way, 200, [200]),
        (goes_away, 0, []),
    ],
)
async def test_every_request_is_told_to_every_observer_once(
    app: ASGIApp, status: int, sent: Sequence[int]
) -> None:
    seen: list[int] = []
    heads: list[int] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            heads.append(message["status"])

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    def observer(_: Scope, status: int, seconds: float) -> None:
        assert seconds >= 0
        seen.append(status)

    scope = {"type": "http", "method": "GET", "path": "/x", "headers": []}
    try:
        await Answering(app, (observer, observer))(scope, receive, send)
    except (RuntimeError, asyncio.CancelledError):
        assert app in (fails_half_way, goes_away)
    assert seen == [status, status]
    assert heads == sent
