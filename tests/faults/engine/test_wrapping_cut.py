"""The engine dies after the n-th storage operation of a wrapping, for every n, and starts again.

Invariants: what was acknowledged unwraps once; a content is never handed out twice; what a death
left half-done time takes away, token and content.
"""

import contextlib

from tests.support.cut_storage import CutStorage
from tests.support.leasing import mount_leasing
from tests.support.running import Running, fresh, restarted
from zvault.engine.api import Operation
from zvault.engine.errors import EngineError
from zvault.storage.inmem import InMemStorage

UNWRAP = "sys/wrapping/unwrap"


class Told:
    """What the client heard."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.asked: list[str] = []
        self.got: list[str] = []
        self.leases: list[str] = []


async def scenario(server: Running, told: Told) -> None:
    """Wrap three times; unwrap by itself and handed in; wrap again; a leased secret, revoked."""
    for _ in range(3):
        answer = await server.call(
            Operation.UPDATE, "sys/wrapping/wrap", {"a": 1}, wrap_ttl_seconds=60
        )
        assert answer is not None
        assert answer.wrap_info is not None
        told.tokens.append(answer.wrap_info.token)
    for token, by in ((told.tokens[0], told.tokens[0]), (told.tokens[1], server.root)):
        told.asked.append(token)
        await server.call(Operation.UPDATE, UNWRAP, {"token": token}, by)
        told.got.append(token)
    told.asked.append(told.tokens[2])
    again = await server.call_update("sys/wrapping/rewrap", {"token": told.tokens[2]})
    told.got.append(told.tokens[2])
    assert again is not None
    assert again.wrap_info is not None
    told.tokens.append(again.wrap_info.token)
    await mount_leasing(server)
    made = await server.call(Operation.READ, "db/creds")
    assert made is not None
    told.leases.append(made.lease_id)
    await server.call(Operation.READ, "db/creds")
    told.leases.clear()
    await server.write("sys/leases/revoke", lease_id=made.lease_id)


async def unwraps(server: Running, token: str) -> bool:
    try:
        return await server.write(UNWRAP, token) is not None
    except EngineError:
        return False


async def left(server: Running) -> list[str]:
    drawers = server.open._drawers()
    found = [f + n for f in await drawers.list("") for n in await drawers.list(f)]
    return found + [i async for i in server.open.leases.walk("sys/")]


async def test_a_death_at_any_operation_hands_nothing_out_twice_and_leaves_nothing() -> None:
    storage = CutStorage(InMemStorage())
    async with fresh(storage) as server:
        before = storage.done
        await scenario(server, Told())
        total = storage.done - before
    assert total > 30
    for cut in range(total):
        storage, told = CutStorage(InMemStorage()), Told()
        async with fresh(storage) as server:
            storage.left = storage.done + cut
            with contextlib.suppress(EngineError):
                await scenario(server, told)
            storage.left = None
            again = await restarted(server, storage.inner)
            await again.open.settled()
            for token in told.tokens:
                if token in told.got:
                    assert not await unwraps(again, token)
                elif token not in told.asked:
                    assert await unwraps(again, token)
                    assert not await unwraps(again, token)
            for lease_id in told.leases:
                assert await again.open.leases.read(lease_id) is not None
            await again.tick(61)
            assert await left(again) == []
            await again.core.seal()
