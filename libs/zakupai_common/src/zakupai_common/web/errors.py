"""One shape for every error answer: RFC 9457 ``application/problem+json``.

What lives here: the error that carries an answer, its JSON, the handlers that FastAPI gets, the
pieces of OpenAPI that describe it. What never does: what can go wrong in one service.
Invariant: no answer repeats what the client sent or what an exception said; the sentence is written
by whoever raises ``ProblemError``, and an unforeseen exception shows only the request's id.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Send

from zakupai_common.web.request_id import current_request_id

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:zakupai:problem:"
_FIELDS, _FIELD_CHARACTERS = 50, 100


class FieldProblem(BaseModel):
    """One field of a request that is not as it must be."""

    field: str
    message: str


class Problem(BaseModel):
    """The answer of every failed request (RFC 9457)."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": TYPE_PREFIX + "invalid-request",
                    "title": "Unprocessable Entity",
                    "status": 422,
                    "detail": "fields that are not as they must be: 1",
                    "request_id": "2f1c4a2e5b7d4e0f8a6c1d3b5e7f9a0b",
                    "errors": [{"field": "body.amount", "message": "must be greater than 0"}],
                }
            ]
        },
    )

    type: str = Field(description="A stable name of the kind of problem")
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[FieldProblem] | None = None


class ProblemError(Exception):
    """Raise it anywhere below a route: the client gets exactly this.

    ``slug`` names the kind for programs, ``detail`` is one sentence for people. ``more`` are
    further members of the answer. Neither may carry a secret.
    """

    def __init__(
        self,
        status: int,
        slug: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.slug = slug
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = more

    def body(self) -> bytes:
        """The JSON of the answer."""
        members = {
            **self.more,
            "type": TYPE_PREFIX + self.slug,
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "request_id": current_request_id(),
        }
        return json.dumps(members).encode()

    def response(self) -> Response:
        """The answer for Starlette."""
        return Response(self.body(), self.status, self.headers, MEDIA_TYPE)

    async def send(self, send: Send) -> None:
        """The answer for a raw ASGI app."""
        body = self.body()
        named = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), **self.headers}
        headers = [(name.lower().encode(), value.encode()) for name, value in named.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def unavailable(what: str, retry_after_seconds: int = 1) -> ProblemError:
    """503: something this service needs does not answer; the client may try again."""
    return ProblemError(
        503,
        "unavailable",
        f"{what} does not answer; try again",
        headers={"Retry-After": str(retry_after_seconds)},
    )


def internal_error() -> ProblemError:
    """500: nobody foresaw this; the log has the traceback under the request's id."""
    return ProblemError(500, "internal", "an error of the service; it was logged under request_id")


async def _answer_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return error.response()


async def _answer_http_exception(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    slug = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    problem = ProblemError(error.status_code, slug, str(error.detail), headers=error.headers)
    return problem.response()


async def _answer_validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    errors = [
        {"field": ".".join(map(str, one["loc"]))[:_FIELD_CHARACTERS], "message": str(one["msg"])}
        for one in found[:_FIELDS]
    ]
    detail = f"fields that are not as they must be: {len(found)}"
    return ProblemError(422, "invalid-request", detail, errors=errors).response()


def install_error_answers(app: FastAPI) -> None:
    """Give every error of the app this shape."""
    app.add_exception_handler(ProblemError, _answer_problem)
    app.add_exception_handler(HTTPException, _answer_http_exception)
    app.add_exception_handler(RequestValidationError, _answer_validation_error)


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """``responses=`` of a route or app that may answer with these statuses."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": schema}},
        }
        for status in statuses
    }


def problem_schemas() -> dict[str, Any]:
    """What ``problem_responses`` points to: components of the OpenAPI document."""
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    parts: dict[str, Any] = schema.pop("$defs", {})
    return {**parts, "Problem": schema}
