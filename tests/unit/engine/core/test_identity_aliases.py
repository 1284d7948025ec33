"""Aliases, merged entities and external groups: who is who after somebody has tidied up."""

import contextlib
from collections.abc import Sequence
from typing import Any

import pytest

from tests.support.running import Running, fresh, restarted
from zvault.engine.api import Auth
from zvault.engine.errors import InternalEngineError, InvalidRequestError, PermissionDeniedError
from zvault.engine.identity.external_groups import follow_groups
from zvault.storage.api import Operation
from zvault.storage.errors import StorageError
from zvault.storage.inmem import InMemStorage


async def login(server: Running, name: str, mount: str = "up") -> Auth:
    answer = await server.call_update(f"auth/{mount}/login/{name}", {"password": "pw"}, "")
    assert answer is not None
    assert answer.auth is not None
    return answer.auth


async def people(server: Running, *names: str, mount: str = "up") -> str:
    """Users at a mount; its accessor."""
    await server.write(f"sys/auth/{mount}", type="userpass")
    for name in names:
        await server.write(f"auth/{mount}/users/{name}", password="pw")
    info = await server.read(f"sys/auth/{mount}")
    assert info is not None
    return str(info["accessor"])


async def made(server: Running, path: str, **data: Any) -> str:
    answer = await server.write(path, **data)
    assert answer is not None
    assert answer.data is not None
    return str(answer.data["id"])


async def test_an_alias_made_before_the_first_login_decides_who_it_is() -> None:
    async with fresh() as server:
        accessor = await people(server, "ann", "bob")
        entity = await made(server, "identity/entity", name="Ann", policies="mine")
        await made(
            server,
            "identity/entity-alias",
            name="ann",
            mount_accessor=accessor,
            canonical_id=entity,
        )
        auth = await login(server, "ann")
        assert auth.entity_id == entity
        assert list(auth.identity_policies) == ["mine"]
        assert (await login(server, "bob")).entity_id != entity


async def test_an_alias_that_moves_takes_the_next_login_along_also_after_a_restart() -> None:
    async with fresh() as server:
        accessor = await people(server, "ann")
        before = await login(server, "ann")
        other = await made(server, "identity/entity", name="other")
        await server.write(
            "identity/entity-alias", name="ann", mount_accessor=accessor, canonical_id=other
        )
        assert (await login(server, "ann")).entity_id == other
        again = await restarted(server)
        assert (await login(again, "ann")).entity_id == other
        shown = await again.read(f"identity/entity/id/{before.entity_id}")
        assert shown is not None
        assert shown["aliases"] == []
        await again.core.seal()


async def test_a_name_belongs_to_one_entity_and_an_entity_has_one_name_a_mount() -> None:
    async with fresh() as server:
        accessor = await people(server)
        entity = await made(server, "identity/entity", name="e")
        wish = {"mount_accessor": accessor, "canonical_id": entity}
        await made(server, "identity/entity-alias", name="ann", **wish)
        with pytest.raises(InvalidRequestError, match="already exists"):
            await server.write("identity/entity-alias", name="bob", **wish)
        bob = await made(server, "identity/entity-alias", name="bob", mount_accessor=accessor)
        with pytest.raises(InvalidRequestError, match="already exists"):
            await server.write(f"identity/entity-alias/id/{bob}", name="ann")
        with pytest.raises(InvalidRequestError, match="already exists"):
            await server.write(f"identity/entity-alias/id/{bob}", canonical_id=entity)
        with pytest.raises(InvalidRequestError, match="custom_metadata"):
            await server.write(
                "identity/entity-alias",
                name="x",
                mount_accessor=accessor,
                custom_metadata={"": "v"},
            )


async def test_tokens_of_a_merged_entity_are_those_of_the_one_that_stays() -> None:
    async with fresh() as server:
        await people(server, "ann")
        await people(server, "ann", mount="down")
        await server.write("sys/mounts/kv", type="kv")
        await server.write("kv/x", v=1)
        await server.policy("kv", 'path "kv/x" { capabilities = ["read"] }')
        gone, stays = await login(server, "ann"), await login(server, "ann", "down")
        await server.write(f"identity/entity/id/{gone.entity_id}", policies="evil")
        await server.write(f"identity/entity/id/{stays.entity_id}", policies="kv")
        await server.write("identity/group", name="g", member_entity_ids=[gone.entity_id])
        await server.write(
            "identity/entity/merge",
            from_entity_ids=[gone.entity_id],
            to_entity_id=stays.entity_id,
        )
        again = await restarted(server)
        for running in (server, again):
            shown = await running.read("auth/token/lookup-self", gone.client_token)
            assert shown is not None
            assert shown["identity_policies"] == ["kv"]
            assert await running.read("kv/x", gone.client_token) == {"v": 1}
            entity = await running.read(f"identity/entity/id/{stays.entity_id}")
            assert entity is not None
            assert entity["policies"] == ["kv"]
            assert len(entity["aliases"]) == 2
            group = await running.read("identity/group/name/g")
            assert group is not None
            assert group["member_entity_ids"] == [stays.entity_id]
        assert (await login(again, "ann")).entity_id == stays.entity_id
        await again.write(f"identity/entity/id/{stays.entity_id}", disabled=True)
        with pytest.raises(PermissionDeniedError):
            await again.read("kv/x", gone.client_token)
        await again.core.seal()


async def test_of_two_names_at_one_mount_the_one_asked_for_is_kept() -> None:
    async with fresh() as server:
        await people(server, "ann", "bob")
        ann, bob = await login(server, "ann"), await login(server, "bob")
        wish = {"from_entity_ids": [ann.entity_id], "to_entity_id": bob.entity_id}
        with pytest.raises(InvalidRequestError, match="same mount accessor"):
            await server.write("identity/entity/merge", **wish)
        shown = await server.read(f"identity/entity/id/{ann.entity_id}")
        assert shown is not None
        keep = [shown["aliases"][0]["id"]]
        await server.write("identity/entity/merge", **wish, conflicting_alias_ids_to_keep=keep)
        merged = await server.read(f"identity/entity/id/{bob.entity_id}")
        assert merged is not None
        assert [alias["name"] for alias in merged["aliases"]] == ["ann"]
        assert (await login(server, "ann")).entity_id == bob.entity_id
        assert (await login(server, "bob")).entity_id not in (ann.entity_id, bob.entity_id)


class Breaking(InMemStorage):
    """Refuses every write from the n-th on."""

    left = 1 << 30

    async def apply(self, operations: Sequence[Operation]) -> None:
        self.left -= 1
        if self.left < 0:
            raise StorageError("the disk is gone", provider="test", store="memory")
        await super().apply(operations)


MERGE_WRITES = 3
"""The entity that stays, its group, the entity that goes."""


@pytest.mark.parametrize("writes", range(MERGE_WRITES + 1))
async def test_a_merge_that_was_cut_off_leaves_every_name_one_owner(writes: int) -> None:
    storage = Breaking()
    async with fresh(storage) as server:
        await people(server, "ann")
        await people(server, "bob", mount="down")
        ann, bob = await login(server, "ann"), await login(server, "bob", "down")
        await server.write("identity/group", name="g", member_entity_ids=[ann.entity_id])
        storage.left = writes
        with contextlib.suppress(InternalEngineError):
            await server.write(
                "identity/entity/merge",
                from_entity_ids=[ann.entity_id],
                to_entity_id=bob.entity_id,
            )
        was_cut_off = storage.left < 0
        assert was_cut_off is (writes < MERGE_WRITES)
        storage.left = 1 << 30
        again = await restarted(server)
        owner = (await login(again, "ann")).entity_id
        assert owner in (ann.entity_id, bob.entity_id)
        shown = await again.read(f"identity/entity/id/{owner}")
        assert shown is not None
        assert (await login(again, "bob", "down")).entity_id == bob.entity_id
        if owner == bob.entity_id:
            assert await again.read(f"identity/entity/id/{ann.entity_id}") is None
            assert (await again.read("auth/token/lookup-self", ann.client_token)) is not None
        await again.core.seal()


async def test_a_login_follows_the_issuers_groups_in_and_out() -> None:
    async with fresh() as server:
        accessor = await people(server, "ann")
        other = await people(server, mount="down")
        for name, at in (("dev", accessor), ("ops", accessor), ("far", other)):
            group = await made(
                server, "identity/group", name=name, type="external", policies=f"p-{name}"
            )
            await server.write(
                "identity/group-alias",
                name=f"cn={name}",
                mount_accessor=at,
                canonical_id=group,
            )
        auth = await login(server, "ann")
        store = server.open.identity
        far = store.group_named("far")
        assert far is not None
        far.member_entity_ids.append(auth.entity_id)
        await follow_groups(store, auth.entity_id, accessor, ["cn=dev", "cn=far", "dev"])

        def policies() -> tuple[str, ...]:
            who = store.view_of(auth.entity_id)
            assert who is not None
            return who.policies

        assert policies() == ("p-dev", "p-far")
        await follow_groups(store, auth.entity_id, accessor, ["cn=ops"])
        assert policies() == ("p-far", "p-ops")
        again = await login(server, "ann")
        assert list(again.identity_policies) == ["p-far"]


async def test_only_external_groups_have_a_name_at_an_issuer_and_each_name_is_one_groups() -> None:
    async with fresh() as server:
        accessor = await people(server)
        inner = await made(server, "identity/group", name="inner")
        first = await made(server, "identity/group", name="one", type="external")
        second = await made(server, "identity/group", name="two", type="external")
        wish = {"name": "cn", "mount_accessor": accessor}
        with pytest.raises(InvalidRequestError, match="internal"):
            await server.write("identity/group-alias", **wish, canonical_id=inner)
        alias = await made(server, "identity/group-alias", **wish, canonical_id=first)
        with pytest.raises(InvalidRequestError, match="in use"):
            await server.write("identity/group-alias", **wish, canonical_id=second)
        await server.write(f"identity/group-alias/id/{alias}", **wish, canonical_id=second)
        groups = [await server.read(f"identity/group/id/{each}") for each in (first, second)]
        assert [bool((group or {})["alias"]) for group in groups] == [False, True]
        assert await server.list("identity/group-alias/id") == [alias]


async def test_tokens_follow_through_a_chain_of_merges_and_end_with_its_last_entity() -> None:
    async with fresh() as server:
        await people(server, "ann")
        auth = await login(server, "ann")
        second = await made(server, "identity/entity", name="second")
        third = await made(server, "identity/entity", name="third", policies="last")
        for source, target in ((auth.entity_id, second), (second, third)):
            await server.write(
                "identity/entity/merge", from_entity_ids=[source], to_entity_id=target
            )
        again = await restarted(server)
        for running in (server, again):
            shown = await running.read("auth/token/lookup-self", auth.client_token)
            assert shown is not None
            assert shown["identity_policies"] == ["last"]
        await again.delete(f"identity/entity/id/{third}")
        with pytest.raises(PermissionDeniedError):
            await again.read("auth/token/lookup-self", auth.client_token)
        await again.core.seal()
