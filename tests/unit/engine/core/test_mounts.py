"""Mounting, tuning, moving, unmounting."""

import asyncio
from typing import Any

import pytest

from tests.support.running import Running, fresh, restarted, slow_down
from zvault.engine.api import Operation
from zvault.engine.errors import (
    EngineError,
    InternalEngineError,
    InvalidRequestError,
    NotFoundInEngineError,
)
from zvault.records.mounts import MountEntry, decode_table
from zvault.storage.errors import DiskFullError


async def refused(server: Running, path: str, **data: Any) -> str:
    with pytest.raises(InvalidRequestError) as caught:
        await server.write(path, **data)
    return str(caught.value)


async def test_a_new_store_has_the_four_mounts_that_every_store_has() -> None:
    async with fresh() as server:
        mounts = await server.read("sys/mounts")
        auth = await server.read("sys/auth")
        assert mounts is not None
        assert auth is not None
        assert sorted(mounts) == ["cubbyhole/", "identity/", "sys/"]
        assert mounts["cubbyhole/"]["local"] is True
        assert mounts["sys/"]["options"] is None
        assert sorted(auth) == ["token/"]
        assert auth["token/"]["config"]["token_type"] == "default-service"


async def test_a_mount_is_as_it_was_asked_for_and_survives_a_restart() -> None:
    async with fresh() as server:
        await server.write(
            "sys/mounts/deep/er",
            type="kv-v2",
            description="d",
            config={"default_lease_ttl": "1h", "max_lease_ttl": 7200},
        )
        again = await restarted(server)
        for running in (server, again):
            info = await running.read("sys/mounts/deep/er")
            assert info is not None
            assert (info["type"], info["description"]) == ("kv", "d")
            assert info["options"] == {"version": "2"}
            assert info["config"]["default_lease_ttl"] == 3600
            assert info["config"]["max_lease_ttl"] == 7200
            assert info["accessor"].startswith("kv_")
        await again.write("deep/er/data/x", data={"v": 1})
        await again.core.seal()


async def test_bad_mounts_are_refused_in_vaults_words() -> None:
    async with fresh() as server:
        await server.write("sys/mounts/a/b", type="kv", options={"version": 1})
        used = "path is already in use at a/b/"
        assert used in await refused(server, "sys/mounts/a", type="kv")
        assert used in await refused(server, "sys/mounts/a/b/c", type="kv")
        assert used in await refused(server, "sys/mounts/a/b", type="kv")
        for path in ("sys/x", "cubbyhole", "identity/y", "auth/z", "audit/q"):
            assert f'cannot mount "{path}/"' in await refused(
                server, f"sys/mounts/{path}", type="kv"
            )
        assert "plugin not found in the catalog: nope" in await refused(
            server, "sys/mounts/n", type="nope"
        )
        assert "must be specified" in await refused(server, "sys/mounts/n")
        assert "greater than given max" in await refused(
            server,
            "sys/mounts/n",
            type="kv",
            config={"default_lease_ttl": "2h", "max_lease_ttl": "1h"},
        )
        assert "does not allow setting a version" in await refused(
            server, "sys/mounts/n", type="transit", options={"version": "2"}
        )
        assert "already in use at token/" in await refused(server, "sys/auth/token", type="approle")
        mounts = await server.read("sys/mounts")
        assert mounts is not None
        assert sorted(mounts) == ["a/b/", "cubbyhole/", "identity/", "sys/"]


async def test_what_cannot_be_unmounted_and_what_is_gone_already() -> None:
    async with fresh() as server:
        for path, words in (
            ("sys/mounts/sys", 'cannot unmount "sys/"'),
            ("sys/mounts/cubbyhole", 'cannot unmount "cubbyhole/"'),
            ("sys/auth/token", "token credential backend cannot be disabled"),
        ):
            with pytest.raises(InvalidRequestError, match=words):
                await server.delete(path)
        assert await server.delete("sys/mounts/nope") is None
        with pytest.raises(InvalidRequestError, match="No secret engine mount at nope/"):
            await server.read("sys/mounts/nope")
        with pytest.raises(InvalidRequestError, match="No auth engine at nope/"):
            await server.read("sys/auth/nope")


async def test_an_unmount_takes_the_data_along() -> None:
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv")
        for number in range(600):
            await server.write(f"kv/d{number % 7}/{number}", v=number)
        entry = server.open.mounts.entry("mounts", "kv/")
        assert entry is not None
        await server.delete("sys/mounts/kv")
        assert await server.core.storage.list(entry.view_prefix) == []
        with pytest.raises(NotFoundInEngineError):
            await server.read("kv/d0/0")
        await server.write("sys/mounts/kv", type="kv")
        assert await server.read("kv/d0/0") is None


async def test_disabling_an_auth_method_revokes_its_tokens_and_forgets_its_people() -> None:
    async with fresh() as server:
        await server.write("sys/auth/approle", type="approle")
        await server.write("auth/approle/role/r", token_policies=["p"])
        role = await server.read("auth/approle/role/r/role-id")
        secret = await server.write("auth/approle/role/r/secret-id")
        assert role is not None
        assert secret is not None
        assert secret.data is not None
        login = await server.write(
            "auth/approle/login", "", role_id=role["role_id"], secret_id=secret.data["secret_id"]
        )
        assert login is not None
        assert login.auth is not None
        token, entity = login.auth.client_token, login.auth.entity_id
        kept = await server.token(policies=["default"])
        await server.delete("sys/auth/approle")
        assert not await server.alive(token)
        assert await server.alive(kept)
        found = await server.read(f"identity/entity/id/{entity}")
        assert found is not None
        assert found["aliases"] == []


async def test_tuning_counts_at_once_and_is_checked() -> None:
    async with fresh() as server:
        await server.write("sys/auth/token/tune", default_lease_ttl="5h")
        auth = await server.write("auth/token/create", policies=["default"])
        assert auth is not None
        assert auth.auth is not None
        assert auth.auth.lease_seconds == 5 * 3600
        shown = await server.read("sys/auth/token/tune")
        assert shown is not None
        assert shown["default_lease_ttl"] == 5 * 3600
        assert shown["max_lease_ttl"] == 768 * 3600
        assert shown["token_type"] == "default-service"
        await server.write("sys/mounts/auth/token/tune", default_lease_ttl="system")
        shown = await server.read("sys/auth/token/tune")
        assert shown is not None
        assert shown["default_lease_ttl"] == 768 * 3600
        assert "invalid duration" in await refused(
            server, "sys/auth/token/tune", default_lease_ttl="nonsense"
        )
        assert "no mount entry found" in await refused(
            server, "sys/mounts/nope/tune", description="x"
        )
        with pytest.raises(InvalidRequestError, match='cannot fetch sysview for path "nope/"'):
            await server.read("sys/mounts/nope/tune")


async def test_kv_version_1_becomes_2_and_never_back() -> None:
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv")
        await server.write("kv/a", v=1)
        response = await server.write("sys/mounts/kv/tune", options={"version": "2"})
        assert response is not None
        assert response.warnings
        found = await server.read("kv/data/a")
        assert found is not None
        assert found["data"] == {"v": 1}
        assert "cannot downgrade mount from version 2" in await refused(
            server, "sys/mounts/kv/tune", options={"version": "1"}
        )


async def test_a_moved_mount_keeps_its_data() -> None:
    async with fresh() as server:
        await server.write("sys/mounts/a", type="kv")
        await server.write("a/x", v=1)
        response = await server.call_update("sys/remount", {"from": "a", "to": "b/c"})
        assert response is not None
        assert response.data is not None
        status = await server.read(f"sys/remount/status/{response.data['migration_id']}")
        assert status is not None
        assert status["migration_info"]["status"] == "success"
        assert await server.read("b/c/x") == {"v": 1}
        with pytest.raises(NotFoundInEngineError):
            await server.read("a/x")
        for source, target, words in (
            ("nope", "x", 'no matching mount at "nope/"'),
            ("sys", "x", 'cannot remount "sys/"'),
            ("b/c", "sys/x", "cannot remount to"),
            ("b/c", "cubbyhole", "cannot remount to"),
            ("b/c", "x/../y", "invalid mount path"),
            ("b/c", "x//y", "invalid mount path"),
            ("b/c", "x\ny", "invalid mount path"),
            ("b/c", "", "both 'from' and 'to' path"),
        ):
            with pytest.raises(InvalidRequestError, match=words):
                await server.call_update("sys/remount", {"from": source, "to": target})


async def test_an_unmount_waits_for_the_request_inside_and_lets_no_other_in() -> None:
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv")
        entry = server.open.mounts.entry("mounts", "kv/")
        assert entry is not None
        storage = server.core.storage
        apply, gate, entered = storage.apply, asyncio.Event(), asyncio.Event()

        async def slow(operations: Any) -> None:
            if any(entry.uuid in operation.key for operation in operations):
                entered.set()
                await gate.wait()
            await apply(operations)

        storage.apply = slow  # type: ignore[method-assign]
        writing = asyncio.create_task(server.write("kv/a", v=1))
        await entered.wait()
        removing = asyncio.create_task(server.delete("sys/mounts/kv"))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not removing.done()
        with pytest.raises(NotFoundInEngineError):
            await server.read("kv/a")
        gate.set()
        await asyncio.gather(writing, removing)
        assert await storage.list(entry.view_prefix) == []


async def test_of_two_mounts_of_one_path_one_is_made() -> None:
    async with fresh() as server:
        results = await asyncio.gather(
            *(server.write("sys/mounts/kv", type="kv") for _ in range(5)), return_exceptions=True
        )
        assert sum(isinstance(result, EngineError) for result in results) == 4
        stored = await server.open.barrier.get("core/mounts")
        assert stored is not None
        paths = [entry.path for entry in decode_table(stored).entries]
        assert paths.count("kv/") == 1


async def test_a_mount_that_cannot_start_is_not_in_the_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with fresh() as server:
        from zvault.engine.backends.kv.v1 import Kv1

        async def broken(self: Kv1) -> None:
            raise InvalidRequestError("no start")

        monkeypatch.setattr(Kv1, "start", broken)
        with pytest.raises(InvalidRequestError, match="no start"):
            await server.write("sys/mounts/kv", type="kv")
        monkeypatch.undo()
        assert server.open.mounts.entry("mounts", "kv/") is None
        await server.write("sys/mounts/kv", type="kv")
        await server.write("kv/a", v=1)


async def test_entries_of_other_namespaces_and_unknown_fields_stay_in_the_table() -> None:
    async with fresh() as server:
        table = server.open.mounts.tables["mounts"]
        foreign = MountEntry(
            path="secret/",
            type="kv",
            uuid="11111111-0000-0000-0000-000000000001",
            accessor="kv_00000000",
            backend_aware_uuid="22222222-0000-0000-0000-000000000001",
            namespace_id="abc123",
            extra={"mount_state": "x"},
        )
        await table.save([*table.entries, foreign])
        again = await restarted(server)
        await again.write("sys/mounts/secret", type="kv")
        stored = await again.open.barrier.get("core/mounts")
        assert stored is not None
        assert foreign in decode_table(stored).entries
        mounts = await again.read("sys/mounts")
        assert mounts is not None
        assert mounts["secret/"]["uuid"] != foreign.uuid
        await again.core.seal()


async def test_what_clients_ask_before_they_read_a_secret() -> None:
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv-v2")
        await server.write("sys/mounts/other", type="kv")
        await server.policy("p", 'path "kv/data/app/*" { capabilities = ["read"] }')
        token = await server.token(policies=["p"])
        info = await server.read("sys/internal/ui/mounts/kv/data/app/x", token)
        assert info is not None
        assert info["path"] == "kv/"
        assert info["options"] == {"version": "2"}
        for path in ("other/x", "nope/x"):
            with pytest.raises(EngineError, match="preflight capability check returned 403"):
                await server.read(f"sys/internal/ui/mounts/{path}", token)
        listed = await server.read("sys/internal/ui/mounts", token)
        assert listed is not None
        assert "kv/" in listed["secret"]
        assert "other/" not in listed["secret"]
        assert await server.read("sys/internal/ui/mounts", "") == {"auth": {}, "secret": {}}
        await server.write("sys/mounts/other/tune", listing_visibility="unauth")
        listed = await server.read("sys/internal/ui/mounts", "")
        assert listed is not None
        assert listed["secret"] == {"other/": {"description": "", "options": {}, "type": "kv"}}
        acl = await server.read("sys/internal/ui/resultant-acl", token)
        assert acl is not None
        assert acl["root"] is False
        assert acl["glob_paths"]["kv/data/app/"] == {"capabilities": ["read"]}
        assert await server.read("sys/internal/ui/resultant-acl") == {"root": True}


@pytest.mark.parametrize("kind", ["ssh", "pki", "database"])
async def test_an_engine_this_server_does_not_run_says_so(kind: str) -> None:
    async with fresh() as server:
        await server.write("sys/mounts/x", type=kind)
        for operation in (Operation.READ, Operation.UPDATE, Operation.DELETE):
            with pytest.raises(NotFoundInEngineError, match="unsupported path"):
                await server.call(operation, "x/keys")
        with pytest.raises(NotFoundInEngineError, match="unsupported path"):
            await server.call(Operation.LIST, "x/keys/")


async def test_of_two_tunings_at_once_none_is_lost() -> None:
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv")
        slow_down(server)
        await asyncio.gather(
            server.write("sys/mounts/kv/tune", description="said"),
            server.write("sys/mounts/kv/tune", max_lease_ttl="5h"),
            server.write("sys/mounts/kv/tune", options={"version": "2"}),
        )
        shown = await server.read("sys/mounts/kv/tune")
        assert shown is not None
        found = (shown["description"], shown["max_lease_ttl"], shown["options"])
        assert found == ("said", 5 * 3600, {"version": "2"})


async def test_a_move_that_storage_refuses_leaves_the_mount_where_it_was() -> None:
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv")
        await server.write("kv/a", v=1)
        storage = server.core.storage
        apply = storage.apply

        async def broken(operations: Any) -> None:
            raise DiskFullError("no space left", provider="test", store="memory", key="k")

        for path, data in (
            ("sys/remount", {"from": "kv", "to": "other"}),
            ("sys/mounts/kv/tune", {"options": {"version": "2"}}),
        ):
            storage.apply = broken  # type: ignore[method-assign]
            with pytest.raises(InternalEngineError, match="no space left"):
                await server.call_update(path, data)
            storage.apply = apply  # type: ignore[method-assign]
            assert await server.read("kv/a") == {"v": 1}


async def test_a_moved_auth_mount_ends_its_tokens_and_keeps_who_its_users_are() -> None:
    async with fresh() as server:
        await server.write("sys/auth/a", type="approle")
        here = {"bind_secret_id": False, "token_bound_cidrs": "127.0.0.1/32"}
        await server.call_update("auth/a/role/web", {"policies": "default", **here})
        role = await server.read("auth/a/role/web/role-id")
        assert role is not None
        login = await server.write("auth/a/login", "", role_id=role["role_id"])
        assert login is not None
        assert login.auth is not None
        response = await server.call_update("sys/remount", {"from": "auth/a", "to": "auth/b/c"})
        assert response is not None
        assert response.warnings
        assert not await server.alive(login.auth.client_token)
        assert await server.list("sys/leases/lookup/auth/a/") == []
        again = await server.write("auth/b/c/login", "", role_id=role["role_id"])
        assert again is not None
        assert again.auth is not None
        assert again.auth.entity_id == login.auth.entity_id
        assert await server.alive(again.auth.client_token)
        table = await server.read("sys/auth")
        assert table is not None
        assert sorted(table) == ["b/c/", "token/"]
        entity = await server.read(f"identity/entity/id/{login.auth.entity_id}")
        assert entity is not None
        assert [alias["mount_path"] for alias in entity["aliases"]] == ["auth/b/c/"]
