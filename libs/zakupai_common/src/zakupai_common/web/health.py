"""Is it alive, is it ready: two questions with two answers.

What lives here: ``/health`` (the process answers, nothing else is asked), ``/ready`` (secrets,
PostgreSQL and its schema, Redis), ``/metrics``. What never does: a restart, or a value of a secret.
Invariant: ``/ready`` asks each part anew, all at once, and waits for none longer than
``CHECK_SECONDS``; a part that cannot be asked is not ready.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from zakupai_common.web.metrics import exposition

CHECK_SECONDS = 2.0
Check = Callable[[], Awaitable[str]]
"""Returns a sentence when the part is ready; raises NotReadyError otherwise."""
_log = logging.getLogger("zakupai.ready")


class NotReadyError(Exception):
    """A part of the service cannot be used; the text may be shown to whoever asks."""


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"
    service: str
    version: str


class PartState(BaseModel):
    """One thing the service needs."""

    ready: bool
    detail: str = Field(examples=["answers"])


class Readiness(BaseModel):
    """Every part, also when one is not ready."""

    ready: bool
    parts: dict[str, PartState]


async def readiness(checks: Mapping[str, Check]) -> Readiness:
    """Ask all parts at once."""
    names = list(checks)
    states = await asyncio.gather(*(_ask(name, checks[name]) for name in names))
    parts = dict(zip(names, states, strict=True))
    return Readiness(ready=all(state.ready for state in states), parts=parts)


async def _ask(name: str, check: Check) -> PartState:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return PartState(ready=True, detail=await check())
    except NotReadyError as error:
        return PartState(ready=False, detail=str(error))
    except TimeoutError:
        return PartState(ready=False, detail=f"no answer within {CHECK_SECONDS:.0f} s")
    except Exception:
        _log.exception("the check of %s failed", name)
        return PartState(ready=False, detail="the check failed; see the log")


def health_router(service: str, version: str) -> APIRouter:
    """The three open paths. Wants ``app.state.checks`` and ``app.state.registry``."""
    router = APIRouter(tags=["operation"])

    @router.get("/health", operation_id="health")
    async def health() -> Alive:
        """The process answers. Restart it when this fails, and only then."""
        return Alive(service=service, version=version)

    @router.get(
        "/ready",
        operation_id="ready",
        responses={503: {"model": Readiness, "description": "A part is not ready"}},
    )
    async def ready(request: Request, response: Response) -> Readiness:
        """Secrets present and young enough, PostgreSQL migrated, Redis there."""
        found = await readiness(request.app.state.checks)
        response.status_code = 200 if found.ready else 503
        return found

    @router.get(
        "/metrics",
        operation_id="metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics(request: Request) -> Any:
        """For Prometheus."""
        # In a thread: a collector may have to wait for the event loop.
        return await asyncio.to_thread(exposition, request.app.state.registry)

    return router
