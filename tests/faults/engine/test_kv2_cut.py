"""KV version 2 cut off between any two storage operations: nothing acknowledged is lost, a write
that was cut happened wholly or not at all, and the next write cleans up."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.cut_storage import CutStorage
from tests.support.faulty_storage import Killed
from tests.support.opened import context_for, fresh_barrier, request
from zvault.barrier.barrier import Barrier
from zvault.base.clock import ManualClock
from zvault.engine.backends.kv import v2 as kv2
from zvault.records.mounts import MountEntry
from zvault.storage.inmem import InMemStorage

ENTRY = MountEntry(path="kv/", type="kv", uuid="u", backend_aware_uuid="b")
Act = Callable[[kv2.Kv2], Awaitable[object]]


async def started(barrier: Barrier, clock: ManualClock) -> kv2.Kv2:
    backend = kv2.make(context_for(barrier, ENTRY, clock))
    await backend.start()
    return backend


async def written(backend: kv2.Kv2, value: Any, path: str = "s") -> object:
    return await backend.handle(request("update", f"data/{path}", {"data": {"v": value}}))


async def read(backend: kv2.Kv2, number: int = 0) -> Any:
    answer = await backend.handle(request("read", "data/s", {"version": number} if number else {}))
    if answer is None or answer.data is None:
        return None
    return None if answer.status == 404 else answer.data["data"]["v"]


async def version_keys(barrier: Barrier) -> int:
    folders = await barrier.list("logical/u/b/versions/")
    return sum([len(await barrier.list(f"logical/u/b/versions/{folder}")) for folder in folders])


async def cut_runs(act: Act) -> list[tuple[int, Barrier, ManualClock, CutStorage]]:
    """A world per cut: three versions with max_versions 3, then ``act`` cut after n operations."""
    worlds = []
    for cut in range(20):
        clock = ManualClock()
        storage = CutStorage(InMemStorage())
        barrier = await fresh_barrier(storage, clock)
        backend = await started(barrier, clock)
        await backend.handle(request("update", "config", {"max_versions": 3}))
        for value in (1, 2, 3):
            await written(backend, value)
        before = storage.done
        storage.left = before + cut
        try:
            await act(backend)
        except Killed:
            storage.left = None
            assert await read(backend) in (1, 2, 3, 4, None)
            worlds.append((cut, barrier, clock, storage))
            continue
        assert storage.done == before + cut
        assert worlds
        return worlds
    raise AssertionError("the act never ended")


async def test_a_cut_write_happened_wholly_or_not_at_all_and_leaves_no_old_data_for_ever() -> None:
    for cut, barrier, clock, _ in await cut_runs(lambda backend: written(backend, 4)):
        backend = await started(barrier, clock)
        current = await read(backend)
        assert current == (3 if cut < 2 else 4), cut
        for number in range(current - 2, current + 1):
            assert await read(backend, number) == number
        await written(backend, 5)
        await written(backend, 6)
        assert await read(backend) == 6
        assert await version_keys(barrier) == 3


async def test_a_cut_destroy_never_leaves_data_behind_a_version_that_says_destroyed_for_good() -> (
    None
):
    def act(backend: kv2.Kv2) -> Awaitable[object]:
        return backend.handle(request("update", "destroy/s", {"versions": [1, 2]}))

    for cut, barrier, clock, _ in await cut_runs(act):
        backend = await started(barrier, clock)
        assert await read(backend) == 3
        assert await read(backend, 2) == (2 if cut == 0 else None)
        await act(backend)
        assert await read(backend, 1) is None
        assert await version_keys(barrier) == 1


async def test_a_cut_removal_can_be_asked_for_again_and_then_leaves_nothing() -> None:
    def act(backend: kv2.Kv2) -> Awaitable[object]:
        return backend.handle(request("delete", "metadata/s"))

    for _, barrier, clock, _ in await cut_runs(act):
        backend = await started(barrier, clock)
        await act(backend)
        assert await backend.handle(request("read", "metadata/s")) is None
        assert await version_keys(barrier) == 0


async def test_a_cut_start_is_finished_by_the_next_one() -> None:
    """A fresh mount, and one whose version 1 data becomes version 2."""
    for old in ({}, {"x": b'{"v":1}', "a/b": b'{"v":2}'}):
        for cut in range(30):
            clock, storage = ManualClock(), CutStorage(InMemStorage())
            barrier = await fresh_barrier(storage, clock)
            context = context_for(barrier, ENTRY, clock)
            for key, value in old.items():
                await context.view.put(key, value)
            storage.left = storage.done + cut
            finished = True
            try:
                await started(barrier, clock)
            except Killed:
                finished = False
            storage.left = None
            backend = await started(barrier, clock)
            for key, value in old.items():
                answer = await backend.handle(request("read", f"data/{key}"))
                assert answer is not None
                assert answer.data is not None
                assert answer.data["data"] == {"v": int(value[5:6])}
                assert await context.view.get(key) is None
            await written(backend, 9)
            assert await read(await started(barrier, clock)) == 9
            if finished:
                break
        else:
            pytest.fail("the start never ended")
