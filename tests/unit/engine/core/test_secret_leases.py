"""Leases of secrets: begun with the secret, ended with it, never without its engine."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from tests.support.full_storage import full_storage
from tests.support.leasing import Leasing, mount_leasing
from tests.support.running import Running, fresh, restarted, slow_down
from zvault.base.gotime import SECOND_NS
from zvault.engine.api import Operation, Request, Response
from zvault.engine.errors import EngineError, InvalidRequestError, PermissionDeniedError
from zvault.records.leases import LeaseEntry, encode_lease
from zvault.storage.api import Operation as StorageOperation
from zvault.storage.api import Put

READ = Operation.READ


async def secret(server: Running, token: str | None = None, **more: Any) -> Response:
    """A new secret at ``db/creds/r``."""
    response = await server.call(READ, "db/creds/r", token=token, **more)
    assert response is not None
    return response


async def leases(server: Running) -> list[str]:
    """All secret leases and their index entries."""
    barrier, found = server.open.barrier, []
    for token in await barrier.list("sys/expire/token/"):
        found += await barrier.list(f"sys/expire/token/{token}")
    return [*found, *[i async for i in server.open.leases.walk("db/")]]


async def test_a_secret_has_a_lease_that_is_looked_up_listed_and_renewed() -> None:
    async with fresh() as server:
        await mount_leasing(server)
        made = await secret(server)
        assert made.lease_id.startswith("db/creds/r/")
        assert (made.lease_seconds, made.renewable) == (60, True)
        assert await server.list("sys/leases/lookup/db/creds/r/") == [made.lease_id[11:]]
        server.clock.advance(30)
        renewed = await server.write("sys/leases/renew", lease_id=made.lease_id, increment=100)
        assert renewed is not None
        assert (renewed.lease_id, renewed.lease_seconds) == (made.lease_id, 100)
        found = await server.write("sys/leases/lookup", lease_id=made.lease_id)
        assert found is not None
        assert found.data is not None
        assert (found.data["ttl"], found.data["renewable"]) == (100, True)
        assert found.data["last_renewal"] is not None
        renewed = await server.write("sys/leases/renew", lease_id=made.lease_id, increment=9999)
        assert renewed is not None
        assert renewed.lease_seconds == 570
        assert "exceeded the effective max_ttl" in renewed.warnings[0]


async def test_time_takes_the_secret_back_once() -> None:
    async with fresh() as server:
        backend = await mount_leasing(server)
        await secret(server)
        await server.tick(59)
        assert backend.alive == {1}
        await server.tick(1)
        await server.tick(100)
        assert (backend.alive, backend.asked) == (set(), [1])
        assert await leases(server) == []


async def test_a_renewed_lease_ends_later_and_an_ended_one_is_not_renewed() -> None:
    async with fresh() as server:
        backend = await mount_leasing(server)
        made = await secret(server)
        server.clock.advance(50)
        await server.write("sys/leases/renew", lease_id=made.lease_id)
        await server.tick(20)
        assert backend.alive == {1}
        server.clock.advance(100)
        with pytest.raises(InvalidRequestError, match="lease expired"):
            await server.write("sys/leases/renew", lease_id=made.lease_id)
        await server.tick()
        with pytest.raises(InvalidRequestError, match="lease not found"):
            await server.write("sys/leases/renew", lease_id=made.lease_id)
        backend.renewable = False
        made = await secret(server)
        with pytest.raises(InvalidRequestError, match="lease is not renewable"):
            await server.write("sys/leases/renew", lease_id=made.lease_id)


@pytest.mark.parametrize("name", ["revoke", "revoke-prefix", "revoke-force"])
@pytest.mark.parametrize("sync", [True, False])
async def test_an_operator_takes_secrets_back(name: str, sync: bool) -> None:
    async with fresh() as server:
        backend = await mount_leasing(server)
        made = await secret(server)
        path = f"sys/leases/{name}" + ("" if name == "revoke" else "/db/creds")
        data = {"lease_id": made.lease_id} if name == "revoke" else {}
        answer = await server.call_update(path, {**data, "sync": sync})
        if sync or name == "revoke-force":
            assert answer is None
        else:
            assert answer is not None
            assert answer.status == 202
            await server.tick()
        assert backend.alive == set()
        assert await leases(server) == []


async def test_a_prefix_that_is_a_lease_means_that_lease() -> None:
    async with fresh() as server:
        backend = await mount_leasing(server)
        made = await secret(server)
        await secret(server)
        await server.write(f"sys/leases/revoke-prefix/{made.lease_id}")
        assert backend.alive == {2}


async def test_a_secret_ends_with_the_token_that_asked_for_it() -> None:
    async with fresh() as server:
        backend = await mount_leasing(server)
        await server.policy("p", 'path "db/*" { capabilities = ["read"] }')
        parent = await server.token(policies=["root"], ttl="1h")
        token = await server.token(parent, policies=["p"], ttl="1h")
        await secret(server, token)
        await secret(server, parent)
        await secret(server)
        await server.revoke(token)
        await server.tick()
        assert backend.alive == {2, 3}
        await server.revoke(parent)
        await server.tick()
        assert backend.alive == {3}
        assert len(await leases(server)) == 2


async def test_a_secret_of_a_batch_token_lives_no_longer_than_it() -> None:
    async with fresh() as server:
        backend = await mount_leasing(server)
        backend.ttl_seconds = 500
        await server.policy("p", 'path "db/*" { capabilities = ["read"] }')
        parent = await server.token(policies=["root"], ttl="1h")
        batch = await server.token(parent, policies=["p"], type="batch", ttl="100s")
        made = await secret(server, batch)
        assert made.lease_seconds <= 100
        await server.revoke(parent)
        await server.tick()
        assert backend.alive == set()
        assert await leases(server) == []


async def test_a_renewal_outlives_no_batch_token() -> None:
    async with fresh() as server:
        backend = await mount_leasing(server)
        await server.policy("p", 'path "db/*" { capabilities = ["read"] }')
        made = await server.write(
            "auth/token/create", type="batch", policies=["p"], ttl=100, no_parent=True
        )
        assert made is not None
        assert made.auth is not None
        lease = (await secret(server, made.auth.client_token)).lease_id
        server.clock.advance(30)
        renewed = await server.write("sys/leases/renew", lease_id=lease, increment=500)
        assert renewed is not None
        assert renewed.lease_seconds == 70
        server.clock.advance(70)
        with pytest.raises(InvalidRequestError):
            await server.write("sys/leases/renew", lease_id=lease, increment=500)
        await server.tick()
        assert not backend.alive


async def test_a_renewal_saves_no_secret_from_the_end_of_its_token() -> None:
    async with fresh() as server:
        backend = await mount_leasing(server)
        slow_down(server)
        for _ in range(60):
            token = await server.token(policies=["root"])
            lease = (await secret(server, token)).lease_id
            await asyncio.gather(
                server.write("sys/leases/renew", lease_id=lease, increment=500),
                server.call_update("auth/token/revoke", {"token": token}),
                return_exceptions=True,
            )
            server.clock.advance(1)
            await server.tick()
            assert not backend.alive


async def test_a_token_on_its_last_use_gets_no_secret_and_none_is_left() -> None:
    async with fresh() as server:
        backend = await mount_leasing(server)
        token = await server.token(policies=["root"], ttl="1h", num_uses=1)
        with pytest.raises(InvalidRequestError, match="token had one use left"):
            await secret(server, token)
        assert (backend.alive, backend.asked) == (set(), [1])
        assert await leases(server) == []


async def test_a_token_revoked_while_its_secret_is_made_gets_none() -> None:
    async with fresh() as server:
        backend = await mount_leasing(server)
        for _ in range(20):
            token = await server.token(policies=["root"], ttl="1h")
            slow_down(server)
            results = await asyncio.gather(
                secret(server, token), server.revoke(token), return_exceptions=True
            )
            assert isinstance(results[0], Response | PermissionDeniedError), results[0]
            await server.tick()
        assert backend.alive == set()
        assert await leases(server) == []


async def test_a_token_that_is_gone_when_its_secret_is_made_gets_none() -> None:
    async with fresh() as server:
        backend = await mount_leasing(server)
        token = await server.token(policies=["root"], ttl="1h")
        make = backend.handle

        async def slow(request: Request) -> Response | None:
            made = await make(request)
            await server.revoke(token)
            return made

        backend.handle = slow  # type: ignore[method-assign]
        with pytest.raises(PermissionDeniedError):
            await secret(server, token)
        assert backend.alive == set()
        assert await leases(server) == []


async def test_a_token_revoked_while_a_lease_is_stored_gets_no_secret() -> None:
    async with fresh() as server:
        backend = await mount_leasing(server)
        token = await server.token(policies=["root"], ttl="1h")
        storage = server.core.storage
        apply = storage.apply

        async def overtaken(operations: Sequence[StorageOperation]) -> None:
            if operations[0].key.startswith("sys/expire/id/db/"):
                storage.apply = apply  # type: ignore[method-assign]
                await server.revoke(token)
            await apply(operations)

        storage.apply = overtaken  # type: ignore[method-assign]
        with pytest.raises(PermissionDeniedError):
            await secret(server, token)
        assert backend.alive == set()
        assert await leases(server) == []


async def test_a_refused_revocation_is_tried_again_then_named_irrevocable() -> None:
    async with fresh() as server:
        backend = await mount_leasing(server)
        made = await secret(server)
        backend.broken = True
        with pytest.raises(EngineError, match="the database is away"):
            await server.write("sys/leases/revoke", lease_id=made.lease_id)
        for _ in range(9):
            await server.tick(1000)
        assert len(backend.asked) == 7
        kind = {"type": "irrevocable"}
        found = await server.call(READ, "sys/leases", kind)
        assert found is not None
        assert found.data is not None
        (shown,) = found.data["leases"]
        assert (shown["lease_id"], shown["error"]) == (made.lease_id, "the database is away")
        counted = await server.call(READ, "sys/leases/count", kind)
        assert counted is not None
        assert counted.data == {"lease_count": 1, "counts": {shown["mount_id"]: 1}}
        again = await restarted(server)
        await again.open.settled()
        assert again.open.leases.irrevocable == {made.lease_id: "the database is away"}
        await again.tick(1000)
        assert await again.open.leases.read(made.lease_id) is not None
        await again.core.seal()
        backend.broken = False
        await server.write("sys/leases/revoke", lease_id=made.lease_id)
        assert backend.alive == set()


async def test_force_removes_the_lease_whatever_its_engine_says() -> None:
    async with fresh() as server:
        backend = await mount_leasing(server)
        await secret(server)
        backend.broken = True
        with pytest.raises(EngineError, match="the database is away"):
            await server.write("sys/leases/revoke-prefix/db")
        await server.write("sys/leases/revoke-force/db")
        assert await leases(server) == []


async def test_force_removes_what_does_not_open_and_what_does_not_run_here() -> None:
    async with fresh() as server:
        lease = LeaseEntry(lease_id="gone/creds/a", path="gone/creds", secret={"lease": 1})
        barrier = server.open.barrier
        prefix = "sys/expire/id/gone/creds/"
        await barrier.apply([Put(prefix + "a", encode_lease(lease)), Put(prefix + "b", b"{")])
        await server.open.leases.load()
        with pytest.raises(InvalidRequestError, match="cannot revoke it"):
            await server.write("sys/leases/revoke-prefix/gone")
        assert set(server.open.leases.unreadable) == {"gone/creds/b"}
        await server.write("sys/leases/revoke-force/gone")
        assert await barrier.list(prefix) == []
        assert not server.open.leases.unreadable


async def test_after_a_restart_leases_go_on() -> None:
    async with fresh() as server:
        await mount_leasing(server)
        made = await secret(server)
        again = await restarted(server)
        await again.open.settled()
        mounted = again.open.mounts.router.get("db/")
        assert mounted is not None
        mounted.backend = Leasing()
        await again.tick(61)
        assert await again.open.leases.read(made.lease_id) is None
        await again.core.seal()


async def test_tidy_ends_what_has_lost_its_token_and_its_way() -> None:
    async with fresh() as server:
        backend = await mount_leasing(server)
        token = await server.token(policies=["root"], ttl="1h")
        made = await secret(server, token)
        barrier = server.open.barrier
        stored = await server.open.leases.read(made.lease_id)
        assert stored is not None
        index = [key for key in await leases(server) if "/" not in key]
        await server.revoke(token)
        later = encode_lease(stored)
        await barrier.apply([Put(f"sys/expire/id/{made.lease_id}", later)])
        await barrier.apply([Put("sys/expire/token/dead/beef", b"db/creds/r/none")])
        await server.write("sys/leases/tidy")
        await server.tick()
        assert (backend.alive, len(index)) == (set(), 1)
        assert await leases(server) == []


async def test_a_wrapped_secret_keeps_its_lease() -> None:
    async with fresh() as server:
        backend = await mount_leasing(server)
        response = await secret(server, wrap_ttl_seconds=60)
        assert response.wrap_info is not None
        assert response.lease_id == ""
        answer = await server.write("sys/wrapping/unwrap", response.wrap_info.token)
        assert answer is not None
        assert answer.raw_body is not None
        body = json.loads(answer.raw_body)
        assert body["lease_id"].startswith("db/creds/r/")
        assert body["lease_duration"] == 60
        assert backend.alive == {1}


async def test_unmounting_takes_the_secrets_back() -> None:
    async with fresh() as server:
        backend = await mount_leasing(server)
        await secret(server)
        await server.delete("sys/mounts/db")
        assert backend.alive == set()
        assert await leases(server) == []


async def test_a_token_lease_can_be_ended_soon() -> None:
    async with fresh() as server:
        token = await server.token(policies=["default"], ttl="1h")
        (name,) = await server.list("sys/leases/lookup/auth/token/create/")
        lease_id = f"auth/token/create/{name}"
        assert await server.alive(token)
        answer = await server.write("sys/leases/revoke", lease_id=lease_id, sync=False)
        assert answer is not None
        assert answer.status == 202
        assert not await server.alive(token)
        await server.tick()
        assert await server.open.leases.read(lease_id) is None


async def test_a_secret_whose_lease_cannot_be_stored_is_taken_back() -> None:
    async with fresh() as server:
        backend = await mount_leasing(server)
        with full_storage(server), pytest.raises(EngineError):
            await secret(server)
        assert backend.alive == set()
        await server.tick(100)
        assert len(server.open.leases) == 0


def test_the_ttl_of_a_secret_is_kept_in_nanoseconds() -> None:
    from zvault.records.leases import secret_of, secret_view

    view = secret_view(5 * SECOND_NS, 0, {"a": 1}, renewable=False)
    assert list(view) == ["lease", "max_ttl", "renewable", "internal_data", "LeaseID"]
    assert secret_of(LeaseEntry(secret=view)).ttl_ns == 5 * SECOND_NS
