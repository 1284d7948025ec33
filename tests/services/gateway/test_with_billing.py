"""Client → gateway → billing and calc, all of them real: what users of phase 3 do."""

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from tests.services.gateway.stand import GENEROUS, LIGHT, PASSWORD, PATIENT
from tests.support.asgi_server import serving_asgi
from tests.support.service_stand import QUICK, Backing, Provided, provide
from zakupai_billing.service import SERVICE as BILLING
from zakupai_calc.service import SERVICE as CALC
from zakupai_common.vault.store import SecretStore
from zakupai_common.web.service import create_app
from zakupai_gateway.api_keys import REMEMBERED_SECONDS
from zakupai_gateway.gateway import TABLE, Gateway
from zakupai_gateway.invite_command import main as invite_main
from zakupai_gateway.service import SERVICE as GATEWAY


@dataclass
class Chain:
    """All three on real sockets."""

    client: httpx.AsyncClient
    app: FastAPI
    provided: Provided
    urls: dict[str, str]

    @property
    def gateway(self) -> Gateway:
        found: Gateway = self.app.state.parts.own(Gateway)
        return found

    async def user(self, tg_id: int) -> dict[str, str]:
        """A user who logged in; the header that says so."""
        email = f"u{tg_id}@example.kz"
        token, _ = await self.gateway.logins.invite(tg_id, email)
        chosen = {"invitation": token.reveal(), "password": PASSWORD}
        assert (await self.client.post("/auth/password", json=chosen)).status_code == 204
        return await self.bearer(email)

    async def bearer(self, email: str) -> dict[str, str]:
        asked = {"email": email, "password": PASSWORD}
        answer = await self.client.post("/auth/login", json=asked)
        assert answer.status_code == 200, answer.text
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    async def key(self, tg_id: int, bearer: dict[str, str]) -> dict[str, Any]:
        """An API key that the user made for itself."""
        made = await self.client.post(
            "/api/billing/create_key", json={"tg_id": tg_id}, headers=bearer
        )
        assert made.status_code == 201, made.text
        found: dict[str, Any] = made.json()
        return found


@pytest.fixture
async def chain(servers: Backing, tmp_path: Path) -> AsyncIterator[Chain]:

    (tmp_path / "table.toml").write_text(GENEROUS.replace("CALC", ""))
    async with contextlib.AsyncExitStack() as stack:
        urls: dict[str, str] = {}
        for service in (BILLING, CALC, GATEWAY):
            provided = provide(servers, service)
            told = replace(
                provided.settings,
                urls=dict(urls),
                options={TABLE: str(tmp_path / "table.toml")} if service is GATEWAY else {},
                redis_timeout_seconds=PATIENT,
            )
            store = SecretStore(provided.vault, service.declared(), pace=QUICK)
            stack.enter_context(store)
            app = create_app(service, told, store)
            urls[service.name] = await stack.enter_async_context(serving_asgi(app))
        client = httpx.AsyncClient(base_url=urls["gateway"], timeout=60, trust_env=False)
        await stack.enter_async_context(client)
        app.state.parts.own(Gateway).logins._passwords._hasher = LIGHT
        yield Chain(client, app, provided, urls)


VAT = {"amount": "112.00"}


@pytest.mark.row("B8.1")
@pytest.mark.row("B8.4")
async def test_a_user_logs_in_calculates_and_finds_it_in_its_history(chain: Chain) -> None:
    mine = await chain.user(secrets.randbelow(2**40) + 1)
    other = await chain.user(secrets.randbelow(2**40) + 1)
    answer = await chain.client.post("/api/calc/vat", json=VAT, headers=mine)
    assert (answer.status_code, answer.json()["base"]) == (200, "100.00")
    path = f"/api/calc/history/{answer.json()['calculation_id']}"
    assert (await chain.client.get(path, headers=mine)).json()["kind"] == "vat"
    assert (await chain.client.get(path, headers=other)).status_code == 404
    assert (await chain.client.get(path)).status_code == 401
    plans = await chain.client.get("/api/billing/plans")  # public
    assert {plan["name"] for plan in plans.json()} == {"free", "premium"}


@pytest.mark.row("B8.2")
async def test_an_api_key_is_made_used_counted_and_revoked(chain: Chain) -> None:
    tg_id = secrets.randbelow(2**40) + 1
    bearer = await chain.user(tg_id)
    made = await chain.key(tg_id, bearer)
    shown = {"X-API-Key": made["api_key"]}
    keys = chain.gateway.authenticator._keys
    now = 0.0
    keys._clock = lambda: now
    for _ in range(7):
        answer = await chain.client.post("/api/calc/vat", json=VAT, headers=shown)
        assert answer.status_code == 200
    await keys.settle(everything=True)
    stats = (await chain.client.get(f"/api/billing/stats/{tg_id}", headers=bearer)).json()
    assert stats["used_today"] == 7
    assert stats["endpoints"] == [{"endpoint": "/api/calc", "requests": 7}]
    history = (await chain.client.get("/api/calc/history", headers=bearer)).json()
    assert len(json.dumps(history).split('"vat"')) > 7  # the key acts as its user
    revoked = {"tg_id": tg_id, "key_id": made["key_id"]}
    await chain.client.post("/api/billing/revoke_key", json=revoked, headers=bearer)
    now += REMEMBERED_SECONDS
    answer = await chain.client.post("/api/calc/vat", json=VAT, headers=shown)
    assert answer.status_code == 401
    assert answer.json()["type"] == "urn:zakupai:problem:key-revoked"


@pytest.mark.row("B8.2")
async def test_a_free_plan_has_twenty_requests_an_hour_also_through_the_gateway(
    chain: Chain,
) -> None:
    tg_id = secrets.randbelow(2**40) + 1
    made = await chain.key(tg_id, await chain.user(tg_id))
    shown = {"X-API-Key": made["api_key"]}
    chain.gateway.authenticator._keys._clock = lambda: 0.0
    answers = [
        (await chain.client.post("/api/calc/vat", json=VAT, headers=shown)) for _ in range(24)
    ]
    assert [one.status_code for one in answers] == [200] * 20 + [429] * 4
    assert answers[-1].json()["limit"] == "plan"
    assert 0 < int(answers[-1].headers["retry-after"]) <= 3600


async def test_no_user_acts_for_another_or_as_an_administrator(chain: Chain) -> None:
    mine, other = (secrets.randbelow(2**40) + 1 for _ in range(2))
    bearer = await chain.user(mine)
    await chain.user(other)
    for path in (f"stats/{other}", f"stats/{secrets.randbelow(2**40)}"):
        assert (await chain.client.get(f"/api/billing/{path}", headers=bearer)).status_code == 403
    for method, path, body in (
        ("POST", "validate_key", {"api_key": "x", "endpoint": "/x"}),
        ("PUT", f"users/{other}", {}),
        ("POST", f"users/{mine}/status", {"status": "active"}),
    ):
        answer = await chain.client.request(
            method, f"/api/billing/{path}", json=body, headers=bearer
        )
        assert answer.status_code == 403


async def test_an_operator_invites_the_first_administrator(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:

    tg_id = secrets.randbelow(2**40) + 1
    environment = chain.provided.environment()
    environment["ZAKUPAI_BILLING_URL"] = chain.urls["billing"]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    out, email = tmp_path / "invitation", f"Boss{tg_id}@Example.kz"
    call = ["--tg-id", str(tg_id), "--email", email, "--scope", "billing:admin", "--out", str(out)]
    assert await asyncio.to_thread(invite_main, call) == 0
    assert out.stat().st_mode & 0o777 == 0o600
    assert out.read_text() not in capsys.readouterr().out
    chosen = {"invitation": out.read_text(), "password": PASSWORD}
    assert (await chain.client.post("/auth/password", json=chosen)).status_code == 204
    bearer = await chain.bearer(email)
    stats = await chain.client.get(f"/api/billing/stats/{tg_id}", headers=bearer)
    assert stats.json()["status"] == "active"
    other = secrets.randbelow(2**40) + 1
    asked = {"tg_id": other, "email": f"u{other}@example.kz"}
    made = await chain.client.post("/auth/invitations", json=asked, headers=bearer)
    assert made.status_code == 201
