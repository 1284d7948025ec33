"""Stores that real servers wrote, opened by the engine and asked through its pipeline."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.running import golden, restarted
from zvault.barrier.view import View
from zvault.engine.api import Operation
from zvault.engine.errors import EngineError
from zvault.records import gojson

STORES = ["vault-file", "openbao-file", "vault-rotated-rekeyed", "vault-s3", "openbao-raft"]

STRANGE_MOUNTS = (("mounts", "strange/"), ("auth", "strange/"))


def files(folder: Path) -> list[Path]:
    """The entries of a file store below a folder."""
    return sorted(folder.rglob("_*"))


def plain(value: Any) -> Any:
    """As JSON text and back, so that number literals and shared objects compare by value."""
    return json.loads(gojson.dumps(value))


@pytest.mark.row("C6")
@pytest.mark.parametrize("name", STORES)
async def test_every_secret_and_version_is_served(name: str, tmp_path: Path) -> None:
    async with golden(name, tmp_path) as (server, store):
        for path, secret in store.expected["kv2"].items():
            for version, expected in secret["readable"].items():
                response = await server.call(
                    Operation.READ, f"zakupai/data/{path}", {"version": version}
                )
                if expected is None:
                    assert response is None or response.status == 404
                    continue
                assert response is not None
                assert response.data is not None
                assert plain(response.data)["data"] == expected
        for path, expected in store.expected["kv1"].items():
            assert plain(await server.read(f"legacy/{path}")) == expected


@pytest.mark.row("A14")
@pytest.mark.parametrize("name", STORES)
async def test_every_token_works_and_has_its_policies(name: str, tmp_path: Path) -> None:
    async with golden(name, tmp_path) as (server, store):
        for token in store.expected["tokens"]:
            found = await server.read("auth/token/lookup-self", token["token"])
            assert found is not None
            assert found["accessor"] == token["accessor"]
            assert found["policies"] == token["policies"]
            assert found["path"] == token["path"]
            assert found["id"] == token["token"]
            assert found["ttl"] > 86_400


@pytest.mark.row("A14")
@pytest.mark.parametrize("name", STORES)
async def test_every_approle_logs_in_reads_its_own_and_nothing_else(
    name: str, tmp_path: Path
) -> None:
    async with golden(name, tmp_path) as (server, store):
        for service, role in store.expected["approle"].items():
            response = await server.write(
                "auth/approle/login",
                "",
                role_id=role["role_id"],
                secret_id=role["secret_id"],
            )
            assert response is not None
            auth = response.auth
            assert auth is not None
            assert service in auth.token_policies
            assert auth.entity_id
            own = f"zakupai/data/services/{service}/config"
            assert await server.read(own, auth.client_token) is not None
            other = next(s for s in store.expected["approle"] if s != service)
            with pytest.raises(EngineError, match="permission denied"):
                await server.read(f"zakupai/data/services/{other}/config", auth.client_token)


@pytest.mark.parametrize("name", ["vault-file", "openbao-file"])
async def test_a_login_finds_the_entity_that_the_real_server_made(
    name: str, tmp_path: Path
) -> None:
    async with golden(name, tmp_path) as (server, store):
        before = set(server.open.identity.entities)
        role = store.expected["approle"]["calc"]
        response = await server.write(
            "auth/approle/login", "", role_id=role["role_id"], secret_id=role["secret_id"]
        )
        assert response is not None
        assert response.auth is not None
        assert response.auth.entity_id in before
        assert set(server.open.identity.entities) == before


@pytest.mark.parametrize("name", STORES)
async def test_policies_and_mounts_are_as_the_server_listed_them(name: str, tmp_path: Path) -> None:
    async with golden(name, tmp_path) as (server, store):
        for policy, text in store.expected["policies"].items():
            answer = await server.read(f"sys/policies/acl/{policy}")
            assert answer is not None
            assert (answer["name"], answer["policy"]) == (policy, text)
        for path in ("mounts", "auth"):
            shown, expected = await server.read(f"sys/{path}"), store.expected[path]
            assert shown is not None
            if name == "openbao-raft":
                # OpenBao 2.7 does not store which version of itself ran a mount; ours does now.
                for mount in (*shown.values(), *expected.values()):
                    del mount["running_plugin_version"]
            assert shown == expected
        status = await server.read("sys/key-status")
        assert status is not None
        assert status["term"] == store.expected["key_status"]["term"]


@pytest.mark.parametrize("name", ["vault-file", "openbao-file"])
async def test_mounts_of_engines_that_do_not_run_here_answer_and_stay_untouched(
    name: str, tmp_path: Path
) -> None:
    async with golden(name, tmp_path) as (server, store):
        await server.write("sys/mounts/strange", type="ssh")
        await server.write("sys/auth/strange", type="kerberos")
        made = [server.open.mounts.entry(*at) for at in STRANGE_MOUNTS]
        prefixes = [entry.view_prefix for entry in made if entry is not None]
        assert len(prefixes) == 2
        for prefix in prefixes:
            await View(server.open.barrier, prefix).put("config/kept", b"somebody else's")
        before = {file: file.read_bytes() for p in prefixes for file in files(store.data / p)}
        assert len(before) == 2
        again = await restarted(server)
        try:
            for path in ("strange/config/kept", "auth/strange/config/kept"):
                with pytest.raises(EngineError, match="unsupported path"):
                    await again.read(path)
            with pytest.raises(EngineError, match="unsupported path"):
                await again.write("auth/strange/login/operator", "", password="x")
            await again.write("sys/mounts/more", type="kv")
            after = {file: file.read_bytes() for p in prefixes for file in files(store.data / p)}
            assert after == before
        finally:
            await again.core.seal()


@pytest.mark.parametrize("name", ["vault-file", "openbao-file"])
async def test_what_is_written_is_there_after_a_restart(name: str, tmp_path: Path) -> None:
    async with golden(name, tmp_path) as (server, store):
        calc = next(t for t in store.expected["tokens"] if "calc" in t["policies"])
        path = "zakupai/data/services/calc/new"
        await server.write(path, calc["token"], data={"n": 1, "f": 0.5})
        child = await server.token(calc["token"], policies=["calc"], ttl="1h")
        again = await restarted(server)
        try:
            written = await again.read(path, child)
            assert written is not None
            assert plain(written)["data"] == {"n": 1, "f": 0.5}
            await again.revoke(calc["token"])
            assert not await again.alive(child)
        finally:
            await again.core.seal()


async def test_the_family_of_a_store_is_kept(tmp_path: Path) -> None:
    for name, prefix in (("vault-file", "hvs.CAES"), ("openbao-file", "s.")):
        async with golden(name, tmp_path / name) as (server, _):
            token = await server.token(policies=["default"])
            assert token.startswith(prefix)
            batch = await server.token(policies=["default"], type="batch")
            assert batch.startswith("hvb." if name == "vault-file" else "b.")
            assert await server.alive(batch)
