"""What users notice when PostgreSQL or Vault is away, and when keys are exchanged."""

import json
import signal
import time
from dataclasses import replace
from pathlib import Path

import httpx
import jwt
import pytest

from launcher.ports import free_ports
from tests.services.gateway.stand import PASSWORD, GatewayStand, standing_gateway
from tests.support.service_stand import Backing, Provided, provide, serving
from zakupai_calc.service import SERVICE as CALC
from zakupai_common.vault.upkeep import Pace
from zakupai_gateway.keys_command import main as keys_main
from zakupai_gateway.tokens.keyring import KeyRing, KeyRingError
from zakupai_gateway.tokens.rotation import FIELD, PATH, read_ring, rotate


async def refresh(stand: GatewayStand, token: str) -> httpx.Response:
    return await stand.client.post("/auth/refresh", json={"refresh_token": token})


async def test_a_restart_of_postgresql_logs_nobody_out(
    servers: Backing, stand: GatewayStand
) -> None:
    email = await stand.user()
    pair = await stand.login(email)
    bearer = {"Authorization": f"Bearer {pair['access_token']}"}
    servers.postgres.stop(signal.SIGINT)
    try:
        assert (await stand.client.get("/api/calc/x", headers=bearer)).status_code == 200
        refused = await refresh(stand, pair["refresh_token"])
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        asked = {"email": email, "password": PASSWORD}
        assert (await stand.client.post("/auth/login", json=asked)).status_code == 503
        parts = (await stand.client.get("/ready")).json()["parts"]
        assert parts["database"]["ready"] is False
    finally:
        servers.postgres.start()
    assert (await refresh(stand, pair["refresh_token"])).status_code == 200
    assert (await stand.client.get("/ready")).status_code == 200


async def test_a_sealed_vault_is_visible_and_costs_no_request(
    servers: Backing, stand: GatewayStand
) -> None:
    email = await stand.user()
    assert (await stand.client.get("/vault/health")).json()["status"] == "ok"
    servers.root.sys.seal()
    try:
        stand.store.refresh()
        told = (await stand.client.get("/vault/health")).json()
        assert told["status"] == "stale"
        assert told["trouble"]
        pair = await stand.login(email)  # signed with what is in memory
        bearer = {"Authorization": f"Bearer {pair['access_token']}"}
        assert (await stand.client.get("/api/calc/x", headers=bearer)).status_code == 200
        assert (await refresh(stand, pair["refresh_token"])).status_code == 200
        key = stand.billing.make_key()
        with_key = await stand.client.get("/api/calc/x", headers={"X-API-Key": key})
        assert with_key.status_code == 200
    finally:
        servers.unseal()
    while stand.store.health().trouble:
        stand.store.refresh()
    assert (await stand.client.get("/vault/health")).json()["status"] == "ok"


async def test_secrets_that_are_too_old_stop_the_gateway_from_vouching(
    servers: Backing, provided: Provided, tmp_path: Path
) -> None:
    pace = Pace(refresh=0.05, max_age=2.0, start=20.0, first_wait=0.02, longest_wait=0.1)
    async with standing_gateway(provided, tmp_path, pace=pace) as stand:
        bearer = stand.authorized()
        servers.root.sys.seal()
        try:
            while stand.store.health().ready:
                time.sleep(0.05)  # noqa: ASYNC251 - nothing else shall run meanwhile
            answer = await stand.client.get("/api/calc/x", headers=bearer)
            assert answer.status_code == 503
            health = await stand.client.get("/vault/health")
            assert (health.status_code, health.json()["status"]) == (503, "unavailable")
        finally:
            servers.unseal()


async def test_an_exchange_of_signing_keys_in_vault_logs_nobody_out(
    servers: Backing, stand: GatewayStand
) -> None:
    before = await stand.login()
    old = {key.kid for key in stand.gateway.keys().keys}
    kept = rotate(servers.root, "zakupai", token_seconds=600, known_after_seconds=0)
    new = kept.keys[-1].kid
    while new not in {key.kid for key in stand.gateway.keys().keys}:
        stand.store.refresh()
    after = await stand.login()
    assert jwt.get_unverified_header(after["access_token"])["kid"] == new
    for pair in (before, after):
        bearer = {"Authorization": f"Bearer {pair['access_token']}"}
        assert (await stand.client.get("/api/calc/x", headers=bearer)).status_code == 200
    assert (await refresh(stand, before["refresh_token"])).status_code == 200
    published = (await stand.client.get("/.well-known/jwks.json")).json()["keys"]
    assert {key["kid"] for key in published} == old | {new}


async def test_two_exchanges_at_one_moment_lose_no_key(
    servers: Backing, provided: Provided, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = KeyRing.rotated

    def while_another_is_faster(ring: KeyRing, *arguments: object, **more: object) -> KeyRing:
        monkeypatch.setattr(KeyRing, "rotated", original)
        rotate(servers.root, "zakupai", token_seconds=600)
        return original(ring, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(KeyRing, "rotated", while_another_is_faster)
    with pytest.raises(KeyRingError, match="somebody else"):
        rotate(servers.root, "zakupai", token_seconds=600)


def test_an_exchange_leaves_alone_what_else_lies_beside_the_keys(
    servers: Backing, provided: Provided
) -> None:
    kv = servers.root.secrets.kv.v2
    good = kv.read_secret_version(PATH, mount_point="zakupai", raise_on_deleted_version=True)
    content = good["data"]["data"]
    kv.create_or_update_secret(PATH, {**content, "note": "ours"}, mount_point="zakupai")
    try:
        rotate(servers.root, "zakupai", token_seconds=600)
        assert read_ring(servers.root, "zakupai")[1]["note"] == "ours"
    finally:
        kv.create_or_update_secret(PATH, content, mount_point="zakupai")


def test_the_command_exchanges_keys_and_prints_none(
    servers: Backing, provided: Provided, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "token"
    token.write_text(servers.root.token)
    token.chmod(0o600)
    call = ["--address", servers.bao.address, "--token-file", str(token), "--json"]
    assert keys_main(["show", *call]) == 0
    before = json.loads(capsys.readouterr().out)["keys"]
    assert keys_main(["rotate", *call]) == 0
    printed = capsys.readouterr().out
    after = json.loads(printed)["keys"]
    assert [key["kid"] for key in after][: len(before)] == [key["kid"] for key in before]
    assert len(after) == len(before) + 1
    assert "PRIVATE" not in printed
    assert keys_main(["show", *call[:2], "--token-file", str(tmp_path / "none")]) == 2
    token.write_text("s.wrong")
    assert keys_main(["rotate", *call]) == 1
    assert "s.wrong" not in capsys.readouterr().err


async def test_keys_that_nobody_can_read_leave_the_good_ones_in_use(
    servers: Backing, stand: GatewayStand
) -> None:
    kv = servers.root.secrets.kv.v2
    good = kv.read_secret_version(PATH, mount_point="zakupai", raise_on_deleted_version=True)
    kv.create_or_update_secret(PATH, {FIELD: [{"kid": "x"}]}, mount_point="zakupai")
    try:
        stand.store.refresh()
        assert (
            await stand.client.get("/api/calc/x", headers=stand.authorized())
        ).status_code == 200
        assert "sign_from" in stand.gateway.keys.trouble
    finally:
        kv.create_or_update_secret(PATH, good["data"]["data"], mount_point="zakupai")


def test_nobody_is_believed_about_an_address_because_it_is_near(
    provided: Provided, tmp_path: Path
) -> None:
    """The process as it runs: without a declared proxy the header says nothing, either way."""
    (billing,) = free_ports(1)
    urls = {"billing": f"http://127.0.0.1:{billing}"}
    given = replace(provided, settings=replace(provided.settings, urls=urls))
    with serving(given, tmp_path) as address:
        far = {"X-Forwarded-For": "8.8.8.8", "Forwarded": "for=8.8.8.8"}
        assert httpx.get(f"{address}/metrics", headers=far).status_code == 200


def test_the_gateway_may_not_read_what_other_services_keep(
    servers: Backing, provided: Provided
) -> None:
    """Its policy has the keys it signs with, and nothing else of other services."""
    import hvac

    client = hvac.Client(url=servers.bao.address)
    try:
        client.auth.approle.login(
            provided.vault.role_id_file.read_text(),  # type: ignore[union-attr]
            provided.vault.secret_id_file.read_text(),  # type: ignore[union-attr]
        )
        assert provide(servers, CALC).values["services/calc/database"]  # it is there to be read
        for path in ("services/calc/database", "services/etl/goszakup", "shared/goszakup"):
            with pytest.raises(hvac.exceptions.Forbidden):
                client.secrets.kv.v2.read_secret_version(
                    path, mount_point="zakupai", raise_on_deleted_version=True
                )
        with pytest.raises(hvac.exceptions.Forbidden):
            client.secrets.kv.v2.create_or_update_secret(PATH, {}, mount_point="zakupai")
    finally:
        client.adapter.close()
