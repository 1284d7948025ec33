"""The engine dies after the n-th single storage operation, for every n; then it is started again.

Invariants: the store opens; what was acknowledged is so; a revoked token never comes back; what a
death left half-done works for nobody it should not, and time and tidy take it away.
"""

import contextlib
from collections.abc import Awaitable, Callable

import pytest

from tests.support.cut_storage import CutStorage
from tests.support.running import Running, fresh, restarted
from zvault.engine.errors import EngineError
from zvault.storage.inmem import InMemStorage

DAY = 86_400


class Ledger:
    """What the client was told."""

    def __init__(self) -> None:
        self.live: set[str] = set()
        self.dead: set[str] = set()
        self.unsure: set[str] = set()
        self.secrets: dict[str, object] = {}
        self.families: list[tuple[str, str]] = []
        self.mounts: set[str] = set()
        self.gone: set[str] = set()

    async def lives(self, making: Awaitable[str]) -> str:
        token = await making
        self.live.add(token)
        return token

    async def dies(self, revoking: Awaitable[object], *tokens: str) -> None:
        self.live -= {*tokens}
        self.unsure |= {*tokens}
        await revoking
        self.unsure -= {*tokens}
        self.dead |= {*tokens}


async def scenario(server: Running, ledger: Ledger) -> None:
    """Everything that writes more than one entry."""
    await server.policy("m", 'path "auth/token/create" { capabilities = ["update"] }')
    await server.write("sys/mounts/kv", type="kv")
    ledger.mounts.add("kv/")
    await server.write("kv/a", v=1)
    ledger.secrets["kv/a"] = {"v": 1}
    await server.write("sys/auth/approle", type="approle")
    await server.write("auth/approle/role/r", token_policies=["m"])
    role = await server.read("auth/approle/role/r/role-id")
    secret = await server.write("auth/approle/role/r/secret-id")
    assert role is not None
    assert secret is not None
    assert secret.data is not None

    async def login() -> str:
        response = await server.write(
            "auth/approle/login", "", role_id=role["role_id"], secret_id=secret.data["secret_id"]
        )
        assert response is not None
        assert response.auth is not None
        return response.auth.client_token

    first = await ledger.lives(login())
    parent = await ledger.lives(server.token(policies=["m"], ttl="10h"))
    child = await ledger.lives(server.token(parent, ttl="5h"))
    grandchild = await ledger.lives(server.token(child, ttl="5h"))
    ledger.families += [(parent, child), (child, grandchild)]
    await server.write("cubbyhole/x", child, v=1)
    await server.write("auth/token/renew-self", parent)
    once = await server.token(policies=["default"], num_uses=1)
    await ledger.dies(server.read("auth/token/lookup-self", once), once)
    await ledger.dies(server.revoke(parent), parent, child, grandchild)
    other = await ledger.lives(server.token(policies=["m"]))
    kept = await ledger.lives(server.token(other))
    await ledger.dies(server.call_update("auth/token/revoke-orphan", {"token": other}), other)
    await ledger.dies(server.delete("sys/auth/approle"), first)
    ledger.mounts.discard("kv/")
    ledger.secrets.clear()
    await server.delete("sys/mounts/kv")
    ledger.gone.add("kv/")
    await server.write("sys/rotate")
    assert await server.alive(kept)


async def leftovers(server: Running, prefix: str = "sys/") -> set[str]:
    found: set[str] = set()
    for name in await server.core.storage.list(prefix):
        if name.endswith("/"):
            found |= await leftovers(server, prefix + name)
        else:
            found.add(prefix + name)
    return found


async def count(scenario: Callable[[Running, Ledger], Awaitable[None]]) -> int:
    storage = CutStorage(InMemStorage())
    async with fresh(storage) as server:
        before = storage.done
        await scenario(server, Ledger())
        return storage.done - before


async def run_until(cut: int) -> tuple[Running, Ledger]:
    storage = CutStorage(InMemStorage())
    ledger = Ledger()
    async with fresh(storage) as server:
        storage.left = storage.done + cut
        with contextlib.suppress(EngineError):
            await scenario(server, ledger)
        again = await restarted(server, storage.inner)
    return again, ledger


async def check(again: Running, ledger: Ledger) -> None:
    assert await again.alive(again.root)
    for token in ledger.live:
        assert await again.alive(token)
    for token in ledger.dead:
        assert not await again.alive(token)
    for parent, child in ledger.families:
        assert await again.alive(parent) or not await again.alive(child)
    mounts = await again.read("sys/mounts")
    assert mounts is not None
    assert ledger.mounts <= mounts.keys()
    assert not ledger.gone & mounts.keys()
    for path, value in ledger.secrets.items():
        assert await again.read(path) == value


async def test_at_every_operation_a_death_costs_nothing_that_was_acknowledged() -> None:
    total = await count(scenario)
    assert total > 60
    for cut in range(total + 1):
        again, ledger = await run_until(cut)
        try:
            await check(again, ledger)
            for token in ledger.unsure | ledger.live:
                await again.revoke(token)
            assert not [t for t in ledger.unsure | ledger.live if await again.alive(t)]
            await again.open.settled()
            await again.tick(40 * DAY)
            await again.write("auth/token/tidy")
            await again.write("sys/leases/tidy")
            keys = await leftovers(again)
            tokens = {key for key in keys if key.startswith("sys/token/id/")}
            indexes = {
                key for key in keys if key.startswith(("sys/token/accessor/", "sys/token/parent/"))
            }
            assert len(tokens) == 1, cut
            assert len(indexes) == 1, cut
            assert not [key for key in keys if key.startswith("sys/expire/")], cut
        finally:
            await again.core.seal()


async def test_what_a_failed_creation_has_left_ends_with_its_time_without_a_restart() -> None:
    for cut in range(1, 3):
        storage = CutStorage(InMemStorage())
        async with fresh(storage) as server:
            before = await leftovers(server)
            storage.left = storage.done + cut
            with pytest.raises(EngineError):
                await server.token(policies=["default"], ttl="1m")
            storage.left = None
            assert await leftovers(server) != before
            await server.tick(61)
            assert await leftovers(server) == before


async def test_an_interrupted_unmount_is_finished_by_the_next_one() -> None:
    for cut in range(12):
        storage = CutStorage(InMemStorage())
        async with fresh(storage) as server:
            await server.write("sys/mounts/kv", type="kv")
            for number in range(3):
                await server.write(f"kv/{number}", v=number)
            storage.left = storage.done + cut
            with contextlib.suppress(EngineError):
                await server.delete("sys/mounts/kv")
            again = await restarted(server, storage.inner)
        entry = again.open.mounts.entry("mounts", "kv/")
        if entry is not None and entry.tainted:
            with pytest.raises(EngineError, match="no handler for route"):
                await again.read("kv/1")
        await again.delete("sys/mounts/kv")
        assert again.open.mounts.entry("mounts", "kv/") is None
        left = [k for k in await leftovers(again, "logical/") if entry and entry.uuid in k]
        assert left == []
        await again.core.seal()
