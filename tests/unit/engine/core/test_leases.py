"""``sys/leases``: looked up, listed, revoked by id and by prefix."""

import asyncio
from collections.abc import Sequence

import pytest

from tests.support.running import fresh
from zvault.engine.api import Operation
from zvault.engine.errors import InvalidRequestError, PermissionDeniedError
from zvault.engine.leases.book import LeaseBook
from zvault.engine.leases.expiration import AT_ONCE
from zvault.records.leases import LeaseEntry, encode_lease
from zvault.records.tokens import Salter
from zvault.storage.api import Operation as Write
from zvault.storage.api import Put


async def test_leases_are_listed_looked_up_and_revoked() -> None:
    async with fresh() as server:
        token = await server.token(policies=["default"], ttl="1h")
        assert await server.list("sys/leases/lookup/") == ["auth/"]
        (name,) = await server.list("sys/leases/lookup/auth/token/create/")
        lease_id = f"auth/token/create/{name}"
        found = await server.write("sys/leases/lookup", lease_id=lease_id)
        assert found is not None
        assert found.data is not None
        assert (found.data["id"], found.data["ttl"], found.data["renewable"]) == (
            lease_id,
            3600,
            True,
        )
        with pytest.raises(InvalidRequestError, match="tokens cannot be renewed through"):
            await server.write("sys/leases/renew", lease_id=lease_id)
        await server.write("sys/leases/revoke", lease_id=lease_id)
        assert not await server.alive(token)
        assert await server.list("sys/leases/lookup/auth/") == []


async def test_unknown_leases() -> None:
    async with fresh() as server:
        with pytest.raises(InvalidRequestError, match="invalid lease"):
            await server.write("sys/leases/lookup", lease_id="nope")
        with pytest.raises(InvalidRequestError, match="lease not found"):
            await server.write("sys/leases/renew", lease_id="nope")
        assert await server.write("sys/leases/revoke", lease_id="nope") is None
        assert await server.write("sys/revoke-prefix/nope") is None
        with pytest.raises(InvalidRequestError, match="relative paths"):
            await server.write("sys/leases/lookup", lease_id="../../token/id/x")


async def test_a_prefix_takes_all_below_it_and_nothing_beside_it() -> None:
    async with fresh() as server:
        inside = [await server.token(policies=["default"]) for _ in range(3)]
        beside = await server.token(path="create-orphan", policies=["default"])
        await server.write("sys/leases/revoke-prefix/auth/token/create")
        assert not any([await server.alive(token) for token in inside])
        assert await server.alive(beside)
        with pytest.raises(PermissionDeniedError):
            await server.write("sys/leases/revoke-prefix/auth", beside)


async def test_tokens_whose_time_is_over_wait_for_the_disk_together() -> None:
    async with fresh() as server:
        tokens = [await server.token(policies=["default"], ttl="5s") for _ in range(2 * AT_ONCE)]
        storage = server.core.storage
        apply, inside, most = storage.apply, 0, 0

        async def slow_apply(operations: Sequence[Write]) -> None:
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            for _ in range(3 * AT_ONCE):
                await asyncio.sleep(0)
            await apply(operations)
            inside -= 1

        storage.apply = slow_apply  # type: ignore[method-assign]
        assert await server.tick(6) == len(tokens)
        assert AT_ONCE / 2 < most <= AT_ONCE
        assert await server.list("sys/leases/lookup/auth/") == []


async def test_leases_of_engines_that_do_not_run_here_are_kept_and_named() -> None:
    async with fresh() as server:
        lease = LeaseEntry(
            lease_id="db/creds/r/abc",
            client_token="hvs.x",
            path="db/creds/r",
            secret={"lease": 1, "renewable": True},
            issue_time_ns=server.clock.now_ns(),
            expire_time_ns=server.clock.now_ns() + 10**9,
        )
        key = f"sys/expire/id/{lease.lease_id}"
        await server.open.barrier.apply([Put(key, encode_lease(lease))])
        await server.open.leases.load()
        await server.tick(5)
        assert await server.core.storage.get(key) is not None
        assert lease.lease_id in server.open.leases.unreadable
        with pytest.raises(InvalidRequestError, match="cannot revoke it"):
            await server.write("sys/leases/revoke", lease_id=lease.lease_id)


async def test_a_lease_that_could_not_be_ended_is_tried_again() -> None:
    async with fresh() as server:
        token = await server.token(policies=["default"], ttl="1h")
        storage = server.core.storage
        apply = storage.apply

        async def broken(operations: object) -> None:
            from zvault.storage.errors import DiskFullError

            raise DiskFullError("no space left", provider="test", store="memory", key="k")

        storage.apply = broken  # type: ignore[method-assign]
        assert await server.tick(3601) == 1
        assert await server.tick(1) == 0
        storage.apply = apply  # type: ignore[method-assign]
        assert not await server.alive(token)
        assert await server.tick(10) == 1
        assert await server.list("sys/leases/lookup/") == []


async def test_a_bug_about_one_lease_leaves_the_others_their_end() -> None:
    async with fresh() as server:
        tokens = [await server.token(policies=["default"], ttl="1h") for _ in range(3)]
        revocation = server.open.revocation
        expire = revocation.expire
        asked: list[str] = []

        async def broken(lease_id: str) -> None:
            asked.append(lease_id)
            if len(asked) == 1:
                raise KeyError("a bug")
            await expire(lease_id)

        revocation.expire = broken  # type: ignore[method-assign]
        assert await server.tick(3601) == 3
        assert len(await server.list("sys/leases/lookup/auth/token/create/")) == 1
        assert await server.tick(10) == 1
        assert await server.list("sys/leases/lookup/auth/token/create/") == []
        assert not any([await server.alive(token) for token in tokens])


async def test_which_leases_cannot_be_revoked_is_told_with_sudo_only() -> None:
    async with fresh() as server:
        await server.policy("p", 'path "sys/*" { capabilities = ["read", "list"] }')
        token = await server.token(policies=["p"])
        kind = {"type": "irrevocable"}
        with pytest.raises(PermissionDeniedError):
            await server.call(Operation.READ, "sys/leases", kind, token)
        found = await server.call(Operation.READ, "sys/leases", kind)
        assert found is not None
        assert found.data == {"lease_count": 0, "leases": []}
        found = await server.call(Operation.READ, "sys/leases/count", kind, token)
        assert found is not None
        assert found.data == {"lease_count": 0, "counts": {}}
        assert await server.read("sys/leases") is None


async def test_a_lease_renewed_without_end_takes_no_more_memory() -> None:
    async with fresh() as server:
        token = await server.token(policies=["default"], ttl="1h")
        book = server.open.leases
        ends = [item[0] for item in book._heap]
        for number in range(5_000):
            book.schedule("auth/token/create/x", ends[0] + number)
        assert len(book._heap) < 2_000
        assert await server.tick(3601) == 2
        assert not await server.alive(token)


async def test_until_its_rights_are_computed_a_session_has_none() -> None:
    async with fresh() as server:
        sessions = server.open.sessions
        session = await sessions.read(server.root)
        assert session is not None
        assert not session.acl.decide(Operation.READ, "sys/mounts", {}).allowed
        assert (await sessions.rights(session)).acl.is_root


async def test_the_load_lets_others_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zvault.engine.leases.book._SLICE_SECONDS", 0.0)
    async with fresh() as server:
        for _ in range(20):
            await server.token(policies=["default"], ttl="1h")
        book = LeaseBook(server.open.barrier, Salter("salt"))
        loading = asyncio.create_task(book.load())
        seen = set()
        while not loading.done():
            await asyncio.sleep(0)
            seen.add(len(book))
        assert len(seen) > 10
        assert (await loading).leases == 20
