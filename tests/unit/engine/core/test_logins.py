"""Logins through the whole engine: tokens, entities, locks."""

import pytest

from tests.support.running import Running, fresh, restarted
from zvault.engine.api import Auth, Operation
from zvault.engine.errors import InvalidRequestError, PermissionDeniedError


async def login(server: Running, path: str, **body: str) -> Auth:
    answer = await server.call_update(path, body, "")
    assert answer is not None
    assert answer.auth is not None
    return answer.auth


async def test_a_user_logs_in_with_an_entity_and_the_users_policies() -> None:
    async with fresh() as server:
        await server.write("sys/auth/people", type="userpass")
        await server.write("auth/people/users/Bob", password="pw", token_policies="app")
        first = await login(server, "auth/people/login/bob", password="pw")
        again = await login(server, "auth/people/login/BOB", password="pw")
        assert first.entity_id
        assert first.entity_id == again.entity_id
        assert list(first.token_policies) == ["app", "default"]
        shown = await server.read("auth/token/lookup-self", first.client_token)
        assert shown is not None
        assert shown["display_name"] == "people-bob"
        assert shown["meta"] == {"username": "bob"}
        assert shown["path"] == "auth/people/login/bob"
        assert shown["orphan"] is True
        entity = await server.read(f"identity/entity/id/{first.entity_id}")
        assert entity is not None
        assert [alias["name"] for alias in entity["aliases"]] == ["bob"]
        later = await restarted(server)
        third = await login(later, "auth/people/login/bob", password="pw")
        assert third.entity_id == first.entity_id
        await later.core.seal()


async def test_a_login_makes_no_root_token_and_takes_nothing_from_its_body() -> None:
    async with fresh() as server:
        await server.write("sys/auth/up", type="userpass")
        await server.write("auth/up/users/evil", password="pw", token_policies="root")
        with pytest.raises(InvalidRequestError, match="root"):
            await login(server, "auth/up/login/evil", password="pw")
        await server.write("auth/up/users/bob", password="pw")
        auth = await login(
            server,
            "auth/up/login/bob",
            password="pw",
            username="evil",
            policies="root",
            token_policies="root",
            entity_id="someone",
        )
        assert list(auth.token_policies) == ["default"]
        assert auth.metadata == {"username": "bob"}


async def test_locked_names_are_listed_and_unlocked() -> None:
    async with fresh() as server:
        await server.write("sys/auth/up", type="userpass")
        await server.write("auth/up/users/bob", password="pw")
        await server.write("sys/auth/up/tune", user_lockout_config={"lockout_threshold": "2"})
        info = await server.read("sys/auth/up")
        assert info is not None
        assert info["config"]["user_lockout_config"]["user_lockout_threshold"] == 2
        for _ in range(2):
            with pytest.raises(InvalidRequestError):
                await login(server, "auth/up/login/bob", password="no")
        with pytest.raises(PermissionDeniedError):
            await login(server, "auth/up/login/bob", password="pw")
        found = await server.read("sys/locked-users")
        assert found is not None
        (mount,) = found["by_namespace"][0]["mount_accessors"]
        assert mount == {
            "mount_accessor": info["accessor"],
            "counts": 1,
            "alias_identifiers": ["bob"],
        }
        await server.write(f"sys/locked-users/{info['accessor']}/unlock/bob")
        await login(server, "auth/up/login/bob", password="pw")
        found = await server.read("sys/locked-users")
        assert found is not None
        assert found["total"] == 0


async def test_a_lock_stays_when_the_mount_moves_and_goes_with_it() -> None:
    async with fresh() as server:
        await server.write("sys/auth/up", type="userpass")
        await server.write("auth/up/users/bob", password="pw")
        for _ in range(5):
            with pytest.raises(InvalidRequestError):
                await login(server, "auth/up/login/bob", password="no")
        await server.call_update("sys/remount", {"from": "auth/up", "to": "auth/down"})
        with pytest.raises(PermissionDeniedError):
            await login(server, "auth/down/login/bob", password="pw")
        await server.write("sys/auth/down/tune", user_lockout_config={"lockout_disable": True})
        await login(server, "auth/down/login/bob", password="pw")
        await server.call(Operation.DELETE, "sys/auth/down")
        assert server.open.mounts.lockouts.keys() == {
            entry.accessor for entry in server.open.mounts.entries("auth")
        }


@pytest.mark.parametrize(
    ("mount", "config"),
    [
        ("token", {"lockout_threshold": 3}),
        ("up", {"lockout_threshold": "x"}),
        ("up", {"lockout_threshold": -1}),
        ("up", {"lockout_duration": "soon"}),
        ("up", "nonsense"),
    ],
)
async def test_tuning_that_makes_no_sense_is_refused(mount: str, config: object) -> None:
    async with fresh() as server:
        await server.write("sys/auth/up", type="userpass")
        with pytest.raises(InvalidRequestError):
            await server.write(f"sys/auth/{mount}/tune", user_lockout_config=config)
