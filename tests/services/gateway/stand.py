"""A gateway on a real socket, with services behind it that do what a test wants.

``PlayedService`` believes only what is signed, as the real ones do, and tells what it was asked.
``PlayedBilling`` is billing as far as the gateway asks it; ``test_with_billing`` uses the real one.
"""

import contextlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
from argon2 import PasswordHasher
from fastapi import FastAPI

from tests.support.asgi_server import serving_asgi
from tests.support.service_stand import QUICK, Provided
from zakupai_common.vault.store import SecretStore
from zakupai_common.web.errors import ProblemError
from zakupai_common.web.identity import Caller, verify
from zakupai_common.web.parts import Parts
from zakupai_common.web.service import create_app
from zakupai_gateway.gateway import TABLE, Gateway
from zakupai_gateway.service import SERVICE

PASSWORD = "correct horse battery staple"
LIGHT = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)
"""Most tests are not about how slow a hash is."""
PATIENT = 20.0
"""Redis' time-out where a test is not about it: the machine may be busy."""


@dataclass
class Seen:
    """One request as a service saw it."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    caller: Caller
    body: bytes

    def header(self, name: str) -> list[str]:
        return [value for known, value in self.headers if known == name]


Answer = Callable[[Seen, Callable[[Any], Awaitable[None]]], Awaitable[None]]


@dataclass
class PlayedService:
    """Answers 200 with what it was asked, or what ``answer`` sends."""

    key: Callable[[], bytes]
    seen: list[Seen] = field(default_factory=list)
    answer: Answer | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        try:
            caller = verify(scope, [self.key()], time.time_ns() // 1_000_000)
        except ProblemError as problem:
            await problem.send(send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message.get("more_body", False)
        query = scope["query_string"]
        target = (scope["raw_path"] + (b"?" + query if query else b"")).decode()
        headers = [(name.decode(), value.decode()) for name, value in scope["headers"]]
        seen = Seen(scope["method"], target, headers, caller, body)
        self.seen.append(seen)
        if self.answer is not None:
            await self.answer(seen, send)
        else:
            told = {"user": caller.user, "plan": caller.plan, "scopes": sorted(caller.scopes)}
            await reply(send, 200, {**told, "target": target, "length": len(body)})


async def reply(
    send: Any, status: int, content: Any, headers: Mapping[str, str] | None = None
) -> None:
    body = json.dumps(content).encode()
    told = {"content-type": "application/json", "content-length": str(len(body))}
    told |= headers or {}
    raw = [(name.encode(), value.encode()) for name, value in told.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


@dataclass
class PlayedBilling:
    """Accounts by Telegram id, keys by text."""

    accounts: dict[int, dict[str, Any]] = field(default_factory=dict)
    keys: dict[str, dict[str, Any]] = field(default_factory=dict)
    counted: dict[str, int] = field(default_factory=dict)
    asked: int = 0
    fails: bool = False
    refuses: int = 0
    """The status with which it refuses whatever the gateway asks; 0: it does not."""

    def make_key(self, left: int = 1000, **more: Any) -> str:
        text = f"zk_{secrets.token_hex(6)}_{secrets.token_hex(24)}"
        self.keys[text] = {"user_id": "key-user", "key_id": text[3:15], "left": left, **more}
        self.counted[text] = 0
        return text

    async def answer(self, seen: Seen, send: Any) -> None:
        self.asked += 1
        if self.fails or self.refuses:
            await reply(send, self.refuses or 500, {})
            return
        if seen.target == "/billing/plans":
            await reply(send, 200, {"caller": seen.caller.user})
            return
        assert seen.caller.user == "service:gateway"
        assert seen.caller.scopes == {"billing:admin", "billing:validate"}
        asked = json.loads(seen.body or b"{}")
        what, _, name = seen.target.removeprefix("/billing/").partition("/")
        if what == "users":
            made = {"user_id": f"user-{name}", "plan": "free", "status": "active"}
            await reply(send, 200, self.accounts.setdefault(int(name), made))
        elif what == "accounts":
            found = [one for one in self.accounts.values() if one["user_id"] == name]
            await reply(send, 200 if found else 404, found[0] if found else {})
        elif what == "validate_key":
            await reply(send, 200, self._check(asked))
        else:
            assert what == "usage"
            self.counted[asked["api_key"]] += asked["requests"]
            await reply(send, 200, {"valid": True})

    def _check(self, asked: dict[str, Any]) -> dict[str, Any]:
        text = asked["api_key"]
        key = self.keys.get(text)
        if key is None or key.get("reason"):
            return {"valid": False, "reason": key["reason"] if key else "unknown"}
        if self.counted[text] + asked["requests"] > key["left"]:
            return {"valid": False, "reason": "limit", "retry_after_seconds": 77}
        self.counted[text] += asked["requests"]
        told = {name: key[name] for name in ("user_id", "key_id")}
        left = key["left"] - self.counted[text]
        return {"valid": True, "plan": "premium", "remaining": left, **told}


@dataclass
class GatewayStand:
    """The running gateway and a client of it."""

    app: FastAPI
    address: str
    client: httpx.AsyncClient
    billing: PlayedBilling
    calc: PlayedService
    store: SecretStore

    @property
    def parts(self) -> Parts:
        parts: Parts = self.app.state.parts
        return parts

    @property
    def gateway(self) -> Gateway:
        return self.parts.own(Gateway)

    async def user(self, scopes: tuple[str, ...] = ()) -> str:
        """A user with PASSWORD; its address."""
        tg_id = secrets.randbelow(2**40) + 1
        email = f"u{tg_id}@example.kz"
        token, _ = await self.gateway.logins.invite(tg_id, email, scopes)
        asked = {"invitation": token.reveal(), "password": PASSWORD}
        assert (await self.client.post("/auth/password", json=asked)).status_code == 204
        return email

    async def login(self, email: str | None = None) -> dict[str, Any]:
        """The two tokens of a new session."""
        asked = {"email": email or await self.user(), "password": PASSWORD}
        answer = await self.client.post("/auth/login", json=asked)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def bearer(self, email: str | None = None) -> dict[str, str]:
        """A header that logs in."""
        return {"Authorization": f"Bearer {(await self.login(email))['access_token']}"}

    def token(self, user: str = "user-1", scopes: tuple[str, ...] = ()) -> str:
        """An access token without the way to it."""
        return self.gateway.authenticator._tokens.issue(user, "free", scopes, "session-1")

    def authorized(self, user: str = "user-1") -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(user)}"}


GENEROUS = """
[limits]
ip = { requests = 100000, seconds = 60 }
user = { requests = 100000, seconds = 60 }
key = { requests = 100000, seconds = 60 }
lookup = { requests = 100000, seconds = 60 }
[login]
ip = { requests = 100000, seconds = 60 }
account = { requests = 100000, seconds = 60 }
account_and_ip = { requests = 100000, seconds = 60 }
redis_away = "closed"
[refresh]
ip = { requests = 100000, seconds = 60 }
[[service]]
name = "billing"
prefix = "/billing"
limit = { requests = 100000, seconds = 60 }
public = ["GET /plans"]
[[service]]
name = "calc"
limit = { requests = 100000, seconds = 60 }
CALC
[[service]]
name = "etl"
limit = { requests = 100000, seconds = 60 }
"""


@contextlib.asynccontextmanager
async def standing_gateway(
    provided: Provided,
    folder: Path,
    *,
    table: str = GENEROUS,
    calc_lines: str = "",
    calc_address: str | None = None,
    more_urls: Mapping[str, str] | None = None,
    pace: Any = QUICK,
    **settings: Any,
) -> AsyncIterator[GatewayStand]:
    """``calc_address``: what is behind the name calc instead of a ``PlayedService``.

    ``more_urls``: addresses of further services of the table.
    """
    (folder / "table.toml").write_text(table.replace("CALC", calc_lines))

    def key(name: str) -> bytes:
        return str(provided.values[f"services/{name}/identity"]["key"]).encode()

    billing = PlayedBilling()
    calc = PlayedService(lambda: key("calc"))
    played_billing = PlayedService(lambda: key("billing"), answer=billing.answer)
    async with contextlib.AsyncExitStack() as stack:
        urls = {"billing": await stack.enter_async_context(serving_asgi(played_billing))}
        urls["calc"] = calc_address or await stack.enter_async_context(serving_asgi(calc))
        urls |= more_urls or {}
        told = replace(
            provided.settings,
            urls=urls,
            **{
                "redis_timeout_seconds": PATIENT,
                **settings,
                "options": {TABLE: str(folder / "table.toml"), **settings.get("options", {})},
            },
        )
        store = stack.enter_context(SecretStore(provided.vault, SERVICE.declared(), pace=pace))
        app = create_app(SERVICE, told, store)
        address = await stack.enter_async_context(serving_asgi(app))
        client = httpx.AsyncClient(base_url=address, timeout=60, trust_env=False)
        await stack.enter_async_context(client)
        stand = GatewayStand(app, address, client, billing, calc, store)
        stand.gateway.logins._passwords._hasher = LIGHT
        yield stand
