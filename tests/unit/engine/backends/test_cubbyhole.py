"""Cubbyhole: each token sees its own drawer, and nothing is left when the token goes."""

from dataclasses import replace
from typing import Any

import pytest

from tests.support.opened import ROOT, context_for, fresh_barrier, request
from zvault.base.clock import ManualClock
from zvault.engine.backends import cubbyhole
from zvault.engine.errors import InvalidRequestError, UnsupportedOperationError
from zvault.records.mounts import MountEntry
from zvault.records.tokens import BATCH, TokenEntry

OTHER = replace(ROOT, cubbyhole_id="other")


class World:
    """A drawer cupboard and its view."""

    def __init__(self, context: Any) -> None:
        self.view = context.view
        self.backend = cubbyhole.make(context)

    async def call(
        self, operation: str, path: str, data: Any = None, token: TokenEntry | None = ROOT
    ) -> Any:
        answer = await self.backend.handle(request(operation, path, data, token=token))
        return None if answer is None else answer.data


@pytest.fixture
async def world() -> World:
    clock = ManualClock()
    entry = MountEntry(path="cubbyhole/", type="cubbyhole", uuid="u", local=True)
    return World(context_for(await fresh_barrier(clock=clock), entry, clock))


async def test_a_token_sees_only_its_own_drawer(world: World) -> None:
    await world.call("create", "a/b", {"x": 1})
    assert await world.call("read", "a/b") == {"x": 1}
    assert await world.call("list", "") == {"keys": ["a/"]}
    assert await world.call("read", "a/b", token=OTHER) is None
    assert await world.call("list", "", token=OTHER) is None
    await world.call("delete", "a/b", token=OTHER)
    assert await world.call("read", "a/b") == {"x": 1}
    await world.call("delete", "a/b")
    assert await world.call("read", "a/b") is None


async def test_revoking_empties_one_drawer_wholly_and_no_other(world: World) -> None:
    for path in ("a", "a/b", "c/d/e"):
        await world.call("create", path, {"x": 1})
        await world.call("create", path, {"x": 2}, OTHER)
    await world.backend.revoke("drawer")
    assert await world.view.list() == ["other/"]
    assert await world.call("read", "c/d/e", token=OTHER) == {"x": 2}
    await world.backend.revoke("drawer")
    with pytest.raises(ValueError, match="without an id"):
        await world.backend.revoke("")


@pytest.mark.parametrize("token", [None, TokenEntry(), TokenEntry(type=BATCH, policies=("root",))])
async def test_only_service_tokens_have_a_drawer(world: World, token: TokenEntry | None) -> None:
    with pytest.raises(InvalidRequestError, match='only supported by "service" type tokens'):
        await world.call("create", "a", {"x": 1}, token)


async def test_a_drawer_cannot_be_left(world: World) -> None:
    await world.call("create", "a", {"x": 1}, OTHER)
    with pytest.raises(Exception, match=r"\.\."):
        await world.call("read", "../other/a")


async def test_nothing_is_no_content_and_no_path_is_no_place(world: World) -> None:
    with pytest.raises(InvalidRequestError, match="missing data fields"):
        await world.call("update", "a", {})
    for operation in ("read", "update", "delete"):
        with pytest.raises(InvalidRequestError, match="missing path"):
            await world.call(operation, "", {"x": 1})
    with pytest.raises(UnsupportedOperationError):
        await world.call("patch", "a", {"x": 1})


async def test_writing_what_is_not_there_is_creating_it(world: World) -> None:
    assert await world.backend.exists(request("update", "a")) is False
    await world.call("create", "a", {"x": 1})
    assert await world.backend.exists(request("update", "a")) is True
    assert await world.backend.exists(request("update", "a", token=OTHER)) is False
