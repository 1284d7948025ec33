"""Calls to billing, in the gateway's own name.

What lives here: who a user is there, whether a key may be used. What never does: a memory.
Invariant: whatever makes billing unusable becomes one answer, 503 with ``Retry-After``.
"""

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from zakupai_common.breaker import Breaker
from zakupai_common.secret import Secret
from zakupai_common.web.errors import unavailable
from zakupai_common.web.identity import identity_headers
from zakupai_common.web.request_id import current_request_id
from zakupai_gateway.api_keys import KeyRefusedError, Verdict
from zakupai_gateway.caller import Caller

SECONDS = 3.0
FAILURES, PAUSE_SECONDS = 5, 1.0
_WHO, _SCOPES = "service:gateway", ("billing:admin", "billing:validate")


@dataclass(frozen=True, slots=True)
class Account:
    """A user of billing. ``active``: may log in."""

    user: str
    plan: str
    active: bool


class Billing:
    """``address`` is billing's; ``key`` gives the key that signs what we say to it."""

    def __init__(self, address: str, key: Callable[[], bytes]) -> None:
        self._address = address
        self._key = key
        self._breaker = Breaker(FAILURES, PAUSE_SECONDS)
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=SECONDS), cookie_jar=aiohttp.DummyCookieJar()
        )

    async def close(self) -> None:
        """Close its connections."""
        await self._session.close()

    async def account(self, user: str) -> Account | None:
        """By its id; None if there is none. Raises ProblemError 503."""
        status, found = await self._call("GET", f"/billing/accounts/{user}")
        return _account(found) if status == 200 else None

    async def make_user(self, tg_id: int, email: str) -> Account:
        """The user with this Telegram id, made unless there is one. Raises ProblemError."""
        status, found = await self._call("PUT", f"/billing/users/{tg_id}", {"email": email})
        if status != 200:
            raise unavailable("billing")
        return _account(found)

    async def check_key(self, key: Secret[str], service: str) -> Verdict:
        """Count one request of a key. Raises KeyRefusedError, ProblemError 503."""
        found = await self._usage("validate_key", key, service, 1)
        if not found["valid"]:
            raise KeyRefusedError(str(found["reason"]), found.get("retry_after_seconds") or 0)
        caller = Caller(str(found["user_id"]), str(found["plan"]), (), str(found["key_id"]))
        return Verdict(caller, int(found["remaining"]))

    async def count(self, key: Secret[str], service: str, requests: int) -> None:
        """Count requests that were let through. Raises ProblemError 503."""
        await self._usage("usage", key, service, requests)

    async def _usage(
        self, what: str, key: Secret[str], service: str, requests: int
    ) -> dict[str, Any]:
        asked = {"api_key": key.reveal(), "endpoint": f"/api/{service}", "requests": requests}
        status, found = await self._call("POST", f"/billing/{what}", asked)
        if status != 200 or not isinstance(found.get("valid"), bool):
            raise unavailable("billing")
        return found

    async def _call(
        self, method: str, target: str, content: object = None
    ) -> tuple[int, dict[str, Any]]:
        """Status and JSON of an answer below 500. Raises ProblemError 503."""
        if not self._breaker.admit():
            raise unavailable("billing")
        headers = identity_headers(
            self._key(),
            method,
            target,
            user=_WHO,
            scopes=_SCOPES,
            request_id=current_request_id() or uuid.uuid4().hex,
        )
        body = None if content is None else json.dumps(content).encode()
        if body is not None:
            headers["Content-Type"] = "application/json"
        url = URL(self._address + target, encoded=True)
        try:
            async with self._session.request(method, url, headers=headers, data=body) as answer:
                text, status = await answer.read(), answer.status
            found = json.loads(text) if text else {}
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            self._breaker.failed()
            raise unavailable("billing") from None
        except BaseException:
            self._breaker.abandoned()
            raise
        self._breaker.succeeded()
        if status >= 500 or status in (401, 403) or not isinstance(found, dict):
            raise unavailable("billing")
        return status, found


def _account(found: dict[str, Any]) -> Account:
    try:
        return Account(str(found["user_id"]), str(found["plan"]), found["status"] == "active")
    except (KeyError, TypeError):
        raise unavailable("billing") from None
