"""AppRole cut off between any two storage operations: a spent use stays spent, a removed secret id
never logs in again, an acknowledged one always does."""

from collections.abc import Awaitable, Callable

import pytest

from tests.support.cut_storage import CutStorage
from tests.support.faulty_storage import Killed
from tests.support.opened import context_for, fresh_barrier, request
from zvault.base.clock import ManualClock
from zvault.engine.api import MountContext
from zvault.engine.backends.approle import backend as approle
from zvault.engine.errors import InvalidRequestError, PermissionDeniedError
from zvault.records.approle import SecretIdAccessor, encode_accessor
from zvault.records.mounts import AUTH, MountEntry
from zvault.storage.inmem import InMemStorage

ENTRY = MountEntry(path="approle/", type="approle", table=AUTH, uuid="u")
Act = Callable[[approle.AppRole], Awaitable[object]]


async def log_in(backend: approle.AppRole, secret_id: str, role_id: str = "rid") -> bool:
    body = {"role_id": role_id, "secret_id": secret_id}
    try:
        await backend.handle(request("update", "login", body))
    except InvalidRequestError:
        return False
    return True


async def custom(backend: approle.AppRole, secret_id: str, uses: int = 0) -> None:
    body = {"secret_id": secret_id, "num_uses": uses}
    await backend.handle(request("update", "role/r/custom-secret-id", body))


async def cut_runs(act: Act) -> list[tuple[int, MountContext, approle.AppRole]]:
    """For each cut of ``act``: the number of operations done and a backend after a restart."""
    worlds = []
    for cut in range(30):
        clock, storage = ManualClock(), CutStorage(InMemStorage())
        context = context_for(await fresh_barrier(storage, clock), ENTRY, clock)
        backend = approle.make(context)
        await backend.handle(request("create", "role/r", {"role_id": "rid"}))
        await custom(backend, "endless")
        await custom(backend, "once", uses=1)
        await custom(backend, "twice", uses=2)
        storage.left = storage.done + cut
        try:
            await act(backend)
        except Killed:
            storage.left = None
            worlds.append((cut, context, approle.make(context)))
            continue
        assert worlds
        return worlds
    pytest.fail("the act never ended")


async def test_a_cut_login_with_the_last_use_is_not_possible_twice() -> None:
    for cut, context, backend in await cut_runs(lambda b: log_in(b, "once")):
        assert await log_in(backend, "once") is (cut == 0)
        assert await log_in(backend, "once") is False
        await backend.sweep()
        assert len(await context.view.list("accessor/")) == 2
        assert await log_in(backend, "endless")


async def test_a_cut_login_never_gives_a_use_back() -> None:
    for _, _, backend in await cut_runs(lambda b: log_in(b, "twice")):
        assert await log_in(backend, "twice")
        assert await log_in(backend, "twice")
        assert await log_in(backend, "twice") is False


async def test_a_cut_destruction_leaves_a_secret_id_alive_or_dead_for_ever() -> None:
    def act(backend: approle.AppRole) -> Awaitable[object]:
        return backend.handle(
            request("update", "role/r/secret-id/destroy", {"secret_id": "endless"})
        )

    for cut, context, backend in await cut_runs(act):
        assert await log_in(backend, "endless") is (cut == 0)
        await act(backend)
        assert await log_in(backend, "endless") is False
        assert len(await context.view.list("accessor/")) == 2


async def test_a_cut_registration_leaves_nothing_that_logs_in_and_can_be_repeated() -> None:
    for _, context, backend in await cut_runs(lambda b: custom(b, "new")):
        assert await log_in(backend, "new") is False
        await custom(backend, "new")
        assert await log_in(backend, "new")
        await backend.sweep()
        assert len(await context.view.list("accessor/")) == 4


async def loose_secret_ids(backend: approle.AppRole) -> list[str]:
    """Keys of secret ids whose accessor is not there."""
    found = []
    async for prefix, key in backend._store.all_secret_ids():
        entry = await backend._store.secret_id(key)
        assert entry is not None
        if not await backend._store.has_accessor(prefix, entry.secret_id_accessor):
            found.append(key)
    return found


async def test_no_cut_registration_leaves_a_secret_id_that_no_accessor_leads_to() -> None:
    worlds = await cut_runs(lambda b: custom(b, "new"))
    assert len(worlds) == 2
    for _, _, backend in worlds:
        assert await loose_secret_ids(backend) == []


async def test_the_accessor_of_a_cut_registration_shows_and_destroys_nothing() -> None:
    for _, context, backend in await cut_runs(lambda b: custom(b, "new")):
        role = await backend._store.role("r")
        assert role is not None
        # Of the registration that was cut the accessor is there, and nobody was told its name.
        key = backend._store.secret_id_key("r", role, "new").rpartition("/")[2]
        left = await backend._store.accessor_key(role.accessor_prefix, "left")
        await context.view.put(left, encode_accessor(SecretIdAccessor(key)))
        await custom(backend, "new")
        asked = {"secret_id_accessor": "left"}
        path = "role/r/secret-id-accessor"
        assert await backend.handle(request("update", f"{path}/lookup", asked)) is None
        with pytest.raises(PermissionDeniedError):
            await backend.handle(request("update", f"{path}/destroy", asked))
        assert await log_in(backend, "new")


async def test_a_cut_removal_of_a_role_can_be_asked_for_again_and_leaves_nothing() -> None:
    def act(backend: approle.AppRole) -> Awaitable[object]:
        return backend.handle(request("delete", "role/r"))

    for _, context, backend in await cut_runs(act):
        await act(backend)
        assert not [await log_in(backend, name) for name in ("endless", "once")].count(True)
        await backend.sweep()
        assert await context.view.list() == ["salt"]


async def test_a_cut_change_of_the_role_id_leaves_one_of_the_two() -> None:
    def act(backend: approle.AppRole) -> Awaitable[object]:
        return backend.handle(request("update", "role/r/role-id", {"role_id": "new"}))

    for _, _, backend in await cut_runs(act):
        logged = [await log_in(backend, "endless", role_id) for role_id in ("rid", "new")]
        assert logged.count(True) == 1
        await act(backend)
        assert await log_in(backend, "endless", "new")
        assert await log_in(backend, "endless", "rid") is False
