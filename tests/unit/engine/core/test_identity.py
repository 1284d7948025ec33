"""Entities and groups: made by logins, carried by tokens."""

import asyncio

import pytest

from tests.support.full_storage import full_storage
from tests.support.running import Running, fresh, restarted, slow_down
from zvault.engine.api import Auth, Operation
from zvault.engine.errors import EngineError, InvalidRequestError, PermissionDeniedError

ALL = 'capabilities = ["create", "read", "update", "delete"]'


async def approle(server: Running, name: str = "r") -> dict[str, str]:
    """A role and what logs in with it."""
    if "approle/" not in (await server.read("sys/auth") or {}):
        await server.write("sys/auth/approle", type="approle")
    await server.write(f"auth/approle/role/{name}", token_policies=["p"])
    role = await server.read(f"auth/approle/role/{name}/role-id")
    secret = await server.write(f"auth/approle/role/{name}/secret-id", metadata='{"host":"h"}')
    assert role is not None
    assert secret is not None
    assert secret.data is not None
    return {"role_id": role["role_id"], "secret_id": secret.data["secret_id"]}


async def login(server: Running, credentials: dict[str, str]) -> Auth:
    response = await server.call_update("auth/approle/login", credentials, "")
    assert response is not None
    assert response.auth is not None
    return response.auth


async def test_the_first_login_makes_an_entity_and_later_ones_find_it() -> None:
    async with fresh() as server:
        credentials = await approle(server)
        first = await login(server, credentials)
        second = await login(server, credentials)
        assert first.entity_id
        assert first.entity_id == second.entity_id
        again = await restarted(server)
        third = await login(again, credentials)
        assert third.entity_id == first.entity_id
        found = await again.read(f"identity/entity/id/{first.entity_id}")
        assert found is not None
        (alias,) = found["aliases"]
        assert alias["name"] == credentials["role_id"]
        assert alias["mount_path"] == "auth/approle/"
        assert alias["metadata"] == {"host": "h", "role_name": "r"}
        await again.core.seal()


async def test_a_login_has_its_display_name_policies_and_metadata() -> None:
    async with fresh() as server:
        auth = await login(server, await approle(server))
        found = await server.read("auth/token/lookup-self", auth.client_token)
        assert found is not None
        assert found["display_name"] == "approle"
        assert found["policies"] == ["default", "p"]
        assert found["meta"] == {"host": "h", "role_name": "r"}
        assert found["orphan"] is True
        assert found["path"] == "auth/approle/login"


async def test_policies_of_entity_and_groups_count_for_tokens_that_are_out_already() -> None:
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv")
        for name in ("own", "group", "outer"):
            await server.write(f"kv/{name}", v=1)
            await server.policy(name, f'path "kv/{name}" {{ capabilities = ["read"] }}')
        auth = await login(server, await approle(server))
        entity, token = auth.entity_id, auth.client_token
        for name in ("own", "group", "outer"):
            with pytest.raises(PermissionDeniedError):
                await server.read(f"kv/{name}", token)
        await server.write(f"identity/entity/id/{entity}", policies=["own"])
        assert await server.read("kv/own", token) == {"v": 1}
        made = await server.write(
            "identity/group", name="g", policies=["group"], member_entity_ids=[entity]
        )
        assert made is not None
        assert made.data is not None
        assert await server.read("kv/group", token) == {"v": 1}
        await server.write(
            "identity/group", name="o", policies=["outer"], member_group_ids=[made.data["id"]]
        )
        assert await server.read("kv/outer", token) == {"v": 1}
        found = await server.read("auth/token/lookup-self", token)
        assert found is not None
        assert found["identity_policies"] == ["group", "outer", "own"]
        await server.delete("identity/group/name/o")
        with pytest.raises(PermissionDeniedError):
            await server.read("kv/outer", token)
        await server.write("identity/group/name/g", member_entity_ids=[])
        with pytest.raises(PermissionDeniedError):
            await server.read("kv/group", token)


async def test_a_disabled_entity_is_let_in_nowhere_until_it_is_enabled_again() -> None:
    async with fresh() as server:
        credentials = await approle(server)
        auth = await login(server, credentials)
        await server.write(f"identity/entity/id/{auth.entity_id}", disabled=True)
        assert not await server.alive(auth.client_token)
        with pytest.raises(PermissionDeniedError):
            await login(server, credentials)
        await server.write(f"identity/entity/id/{auth.entity_id}", disabled=False)
        assert await server.alive(auth.client_token)


async def test_a_token_whose_entity_is_gone_is_denied() -> None:
    async with fresh() as server:
        auth = await login(server, await approle(server))
        await server.delete(f"identity/entity/id/{auth.entity_id}")
        assert not await server.alive(auth.client_token)


@pytest.mark.parametrize("how", ["disabled", "deleted"])
async def test_nobody_is_told_rights_of_a_token_whose_entity_is_not_let_in(how: str) -> None:
    async with fresh() as server:
        auth = await login(server, await approle(server))
        asked = {"token": auth.client_token, "paths": ["auth/token/lookup-self"]}
        made = await server.call_update("sys/capabilities", asked)
        assert made is not None
        assert made.data is not None
        assert made.data["capabilities"] == ["read"]
        if how == "disabled":
            await server.write(f"identity/entity/id/{auth.entity_id}", disabled=True)
        else:
            await server.delete(f"identity/entity/id/{auth.entity_id}")
        with pytest.raises(InvalidRequestError, match="invalid token"):
            await server.call_update("sys/capabilities", asked)
        with pytest.raises(InvalidRequestError, match="invalid token"):
            await server.write(
                "sys/capabilities-accessor", accessor=auth.accessor, paths=["sys/mounts"]
            )


async def test_templates_in_policies_follow_the_entity() -> None:
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv")
        one, two = await approle(server, "one"), await approle(server, "two")
        await server.policy("p", 'path "kv/{{identity.entity.id}}/*" { capabilities = ["create"] }')
        first, second = await login(server, one), await login(server, two)
        await server.write(f"kv/{first.entity_id}/x", first.client_token, v=1)
        with pytest.raises(PermissionDeniedError):
            await server.write(f"kv/{first.entity_id}/y", second.client_token, v=1)
        await server.policy(
            "p", 'path "kv/{{identity.entity.metadata.team}}/*" { capabilities = ["create"] }'
        )
        with pytest.raises(PermissionDeniedError):
            await server.write("kv/red/x", first.client_token, v=1)
        await server.write(f"identity/entity/id/{first.entity_id}", metadata={"team": "red"})
        await server.write("kv/red/x", first.client_token, v=1)
        await server.write(f"identity/entity/id/{first.entity_id}", metadata={"team": "*"})
        with pytest.raises(PermissionDeniedError):
            await server.write("kv/blue/x", first.client_token, v=1)


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("root", "auth methods cannot create root tokens"),
        ("response-wrapping", 'cannot assign policy "response-wrapping"'),
    ],
)
async def test_no_login_gives_what_no_login_may_give(policy: str, words: str) -> None:
    async with fresh() as server:
        credentials = await approle(server)
        await server.write("auth/approle/role/r", token_policies=[policy])
        before = await server.list("auth/token/accessors/")
        with pytest.raises(InvalidRequestError, match=words):
            await login(server, credentials)
        assert await server.list("auth/token/accessors/") == before


async def test_children_of_a_login_carry_its_entity() -> None:
    async with fresh() as server:
        await server.policy("p", 'path "auth/token/create" { capabilities = ["update"] }')
        auth = await login(server, await approle(server))
        child = await server.token(auth.client_token)
        found = await server.read("auth/token/lookup-self", child)
        assert found is not None
        assert found["entity_id"] == auth.entity_id


async def test_entities_are_listed_found_and_named_once() -> None:
    async with fresh() as server:
        made = await server.write("identity/entity", name="Bob", policies=["a"])
        assert made is not None
        assert made.data is not None
        number = made.data["id"]
        assert await server.list("identity/entity/id/") == [number]
        assert await server.list("identity/entity/name/") == ["Bob"]
        for path in (f"identity/entity/id/{number}", "identity/entity/name/bob"):
            found = await server.read(path)
            assert found is not None
            assert found["name"] == "Bob"
        assert await server.write("identity/entity", name="Bob", policies=["b"]) is None
        other = await server.write("identity/entity", name="Eve")
        assert other is not None
        assert other.data is not None
        with pytest.raises(InvalidRequestError, match="already in use"):
            await server.write(f"identity/entity/id/{other.data['id']}", name="Bob")
        with pytest.raises(InvalidRequestError, match="cannot contain root"):
            await server.write("identity/entity", name="x", policies=["root"])
        found = await server.write("identity/lookup/entity", name="Eve")
        assert found is not None
        await server.delete("identity/entity/name/Eve")
        assert await server.list("identity/entity/name/") == ["Bob"]


async def test_no_group_is_in_itself() -> None:
    async with fresh() as server:
        ids = []
        for name in "abc":
            made = await server.write("identity/group", name=name)
            assert made is not None
            assert made.data is not None
            ids.append(made.data["id"])
        await server.write("identity/group/name/a", member_group_ids=[ids[1]])
        await server.write("identity/group/name/b", member_group_ids=[ids[2]])
        for path, member in (("c", ids[0]), ("a", ids[0]), ("b", ids[0])):
            with pytest.raises(InvalidRequestError, match="cyclic relationship"):
                await server.write(f"identity/group/name/{path}", member_group_ids=[member])
        found = await server.read("identity/group/name/a")
        assert found is not None
        assert found["member_group_ids"] == [ids[1]]


@pytest.mark.parametrize("kind", ["entity", "group"])
async def test_the_name_in_the_path_decides_and_no_id_beside_it(kind: str) -> None:
    async with fresh() as server:
        other = await server.write(f"identity/{kind}", name="other", policies=["before"])
        assert other is not None
        assert other.data is not None
        number = other.data["id"]
        await server.policy("p", f'path "identity/{kind}/name/mine" {{ {ALL} }}')
        token = await server.token(policies=["p"])
        path = f"identity/{kind}/name/mine"
        await server.write(path, token, id=number, policies=["admin"])
        read = await server.call(Operation.READ, path, {"id": number}, token)
        assert read is not None
        assert read.data is not None
        assert read.data["name"] == "mine"
        await server.call(Operation.DELETE, path, {"id": number}, token)
        kept = await server.read(f"identity/{kind}/id/{number}")
        assert kept is not None
        assert (kept["name"], kept["policies"]) == ("other", ["before"])


@pytest.mark.parametrize("kind", ["entity", "group"])
async def test_of_two_changes_at_once_none_is_lost(kind: str) -> None:
    async with fresh() as server:
        path = f"identity/{kind}/name/x"
        await server.write(path)
        slow_down(server)
        first = {"metadata": {"k": "v"}}
        second = {"disabled": True} if kind == "entity" else {"policies": ["p"]}
        await asyncio.gather(server.call_update(path, first), server.call_update(path, second))
        found = await server.read(path)
        assert found is not None
        assert found | first | second == found


@pytest.mark.parametrize("policy", ["root", "response-wrapping"])
async def test_no_login_gets_from_its_entity_what_no_login_may_get(policy: str) -> None:
    async with fresh() as server:
        credentials = await approle(server)
        auth = await login(server, credentials)
        identity = server.open.identity
        entity = identity.entities[auth.entity_id]
        entity.policies.append(policy)  # as another server may have stored it
        async with identity.changing:
            await identity.save_entity(entity)
        before = await server.list("auth/token/accessors/")
        with pytest.raises(InvalidRequestError):
            await login(server, credentials)
        assert await server.list("auth/token/accessors/") == before


async def test_a_change_that_could_not_be_stored_does_not_come_with_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = "zvault.engine.identity.store.bucket_key"
    monkeypatch.setattr(module, lambda prefix, item_id: f"{prefix}7")
    async with fresh() as server:
        await server.write("identity/entity", name="one")
        await server.write("identity/entity", name="two")
        with full_storage(server), pytest.raises(EngineError):
            await server.delete("identity/entity/name/one")
        await server.write("identity/entity/name/two", policies=["p"])
        again = await restarted(server)
        assert await again.read("identity/entity/name/one") is not None
        await again.core.seal()
