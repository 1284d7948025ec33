"""Bodies, errors and request ids: limits hold, answers have one shape and tell nothing twice."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict

from zakupai_common.web.answering import Answering
from zakupai_common.web.body_limit import BodyLimit
from zakupai_common.web.errors import MEDIA_TYPE, ProblemError, install_error_answers
from zakupai_common.web.request_id import RequestId, current_request_id

LIMIT = 1000


class Order(BaseModel):
    """Something to send."""

    amount: int


class StrictOrder(Order):
    """No other word is taken."""

    model_config = ConfigDict(extra="forbid")


def app(seen: list[int] | None = None) -> FastAPI:
    made = FastAPI()
    install_error_answers(made)

    @made.post("/orders")
    def order(asked: Order) -> int:
        return asked.amount

    @made.post("/strict")
    def strict(asked: StrictOrder) -> int:
        return asked.amount

    @made.post("/raw")
    @made.post("/large")
    async def raw(request: Request) -> int:
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if seen is not None:
                seen.append(len(chunk))
        return size

    @made.get("/id")
    def request_id() -> str:
        return current_request_id()

    @made.get("/broken")
    def broken() -> None:
        raise RuntimeError("the password is hunter2")

    @made.get("/problem")
    def problem() -> None:
        raise ProblemError(409, "taken", "somebody has it", holder="another")

    made.add_middleware(
        BodyLimit, default_bytes=LIMIT, paths={"/large": 3 * LIMIT, "/strict": 99 * LIMIT}
    )
    made.add_middleware(Answering)
    made.add_middleware(RequestId)
    return made


def client(made: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(made), base_url="http://service")


async def chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 100):
        yield b"x" * 100


@pytest.mark.parametrize(("path", "limit"), [("/raw", LIMIT), ("/large", 3 * LIMIT)])
async def test_a_body_at_the_limit_passes_and_one_byte_more_does_not(path: str, limit: int) -> None:
    async with client(app()) as to:
        assert (await to.post(path, content=b"x" * limit)).json() == limit
        refused = await to.post(path, content=b"x" * (limit + 1))
        assert refused.status_code == 413
        assert refused.json()["limit_bytes"] == limit


async def test_a_body_without_a_length_is_cut_off_while_it_comes() -> None:
    seen: list[int] = []
    async with client(app(seen)) as to:
        refused = await to.post("/raw", content=chunks(100 * LIMIT))
    assert refused.status_code == 413
    assert sum(seen) <= LIMIT


async def test_a_length_that_lies_does_not_help() -> None:
    async with client(app()) as to:
        refused = await to.post("/raw", content=chunks(2 * LIMIT), headers={"Content-Length": "5"})
    assert refused.status_code == 413


async def test_a_large_body_that_nobody_asked_for_is_refused_for_routes_with_models() -> None:
    async with client(app()) as to:
        body = json.dumps({"amount": 1, "padding": "x" * LIMIT}).encode()

        async def slowly() -> AsyncIterator[bytes]:
            yield body

        assert (await to.post("/orders", content=slowly())).status_code == 413


async def test_an_unforeseen_error_shows_only_the_request_id(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with client(app()) as to:
        answer = await to.get("/broken", headers={"X-Request-Id": "request-42"})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert "hunter2" not in answer.text
    assert answer.json()["request_id"] == "request-42"
    assert "unforeseen error" in caplog.text


async def test_an_answer_does_not_repeat_what_was_sent() -> None:
    async with client(app()) as to:
        answer = await to.post("/orders", json={"amount": "hunter2"})
        assert answer.status_code == 422
        assert "hunter2" not in answer.text
        assert answer.json()["errors"][0]["field"] == "body.amount"
        for body in (b'{"amount": hunter2}', b"\xff\xfe", b"[" * 900, b'{"\\ud800": 1}'):
            odd = await to.post(
                "/orders", content=body, headers={"Content-Type": "application/json"}
            )
            assert odd.status_code in (400, 422), body
            assert odd.headers["content-type"] == MEDIA_TYPE


async def test_an_answer_lists_a_few_of_many_wrong_fields_and_a_part_of_their_names() -> None:
    async with client(app()) as to:
        body = {"amount": 1, **{"x" * 500 + str(number): 1 for number in range(60)}}
        answer = await to.post("/strict", json=body)
    assert answer.status_code == 422
    found = answer.json()
    assert found["detail"] == "fields that are not as they must be: 60"
    assert len(found["errors"]) == 50
    assert all(len(one["field"]) <= 100 for one in found["errors"])


async def test_every_refusal_has_the_same_shape() -> None:
    async with client(app()) as to:
        for answer, status in (
            (await to.get("/nowhere"), 404),
            (await to.get("/orders"), 405),
            (await to.get("/problem"), 409),
        ):
            found = answer.json()
            assert answer.status_code == found["status"] == status
            assert {"type", "title", "detail", "request_id"} <= set(found)
        assert answer.json()["holder"] == "another"
        assert (await to.get("/orders")).headers["allow"] == "POST"


async def test_a_well_formed_request_id_is_kept_and_any_other_replaced() -> None:
    async with client(app()) as to:
        kept = await to.get("/id", headers={"X-Request-Id": "abcDEF-12_3.4"})
        assert kept.json() == kept.headers["x-request-id"] == "abcDEF-12_3.4"
        for odd in ("short", "x" * 65, "with space in", 'quote"quote'):
            made = await to.get("/id", headers={"X-Request-Id": odd})
            assert made.json() == made.headers["x-request-id"]
            assert made.json() != odd
            assert len(made.json()) == 32
