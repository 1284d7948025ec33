"""Tokens: made, looked at, used up, renewed, revoked."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from tests.support.running import Running, fresh, restarted, slow_down
from zvault.engine.api import Operation, Response
from zvault.engine.errors import (
    EngineError,
    InvalidRequestError,
    NotFoundInEngineError,
    PermissionDeniedError,
)
from zvault.records import ssc
from zvault.storage.api import Operation as StorageOperation

HOUR = 3600


async def made(
    server: Running, by: str | None = None, path: str = "create", **wish: Any
) -> Response:
    response = await server.write(f"auth/token/{path}", by, **wish)
    assert response is not None
    assert response.auth is not None
    return response


async def looked_up(server: Running, token: str) -> dict[str, Any]:
    response = await server.call(Operation.UPDATE, "auth/token/lookup", {"token": token})
    assert response is not None
    assert response.data is not None
    return response.data


async def all_keys(server: Running, prefix: str = "sys/") -> set[str]:
    """Every storage key below a prefix."""
    found: set[str] = set()
    for name in await server.core.storage.list(prefix):
        if name.endswith("/"):
            found |= await all_keys(server, prefix + name)
        else:
            found.add(prefix + name)
    return found


async def test_a_new_token_has_what_was_asked_for() -> None:
    async with fresh() as server:
        response = await made(
            server, policies=["app"], ttl="1h", meta={"k": "v"}, display_name="me you!"
        )
        auth = response.auth
        assert auth is not None
        assert (auth.lease_seconds, auth.renewable, auth.orphan) == (HOUR, True, False)
        assert tuple(auth.token_policies) == ("app", "default")
        assert response.warnings == ['Policy "app" does not exist']
        found = await looked_up(server, auth.client_token)
        assert found["display_name"] == "token-me-you"
        assert found["meta"] == {"k": "v"}
        assert found["path"] == "auth/token/create"
        assert (found["ttl"], found["creation_ttl"], found["num_uses"]) == (HOUR, HOUR, 0)
        assert found["id"] == auth.client_token


async def test_ids_of_the_vault_family_are_signed_and_forged_ones_are_nobody() -> None:
    async with fresh() as server:
        token = await server.token(policies=["default"])
        assert token.startswith("hvs.CAES")
        inner = ssc.decode(token)
        assert len(inner) == 28
        assert await server.alive(inner)
        forged = ssc.encode(inner, b"another key")
        assert not await server.alive(forged)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"id": "my.custom"}, "cannot have a '.'"),
        ({"id": "s.x"}, "'s.' prefix"),
        ({"num_uses": -1}, "number of uses cannot be negative"),
        ({"ttl": "nonsense"}, 'time: invalid duration "nonsense"'),
        ({"ttl": "-1h"}, "ttl must be positive"),
        ({"type": "nope"}, "invalid 'token_type' value"),
        ({"type": "batch", "period": "1h"}, 'batch tokens cannot have "period" set'),
        ({"type": "batch", "num_uses": 2}, 'batch tokens cannot have "num_uses" set'),
        ({"type": "batch", "policies": ["root"]}, "batch tokens cannot be root tokens"),
        ({"policies": ["response-wrapping"]}, 'cannot assign policy "response-wrapping"'),
        ({"entity_alias": "x"}, "only allowed in combination with token role"),
    ],
)
async def test_bad_wishes_are_refused_with_vaults_words(wish: dict[str, Any], words: str) -> None:
    async with fresh() as server:
        with pytest.raises(InvalidRequestError) as caught:
            await server.write("auth/token/create", **wish)
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"id": "mine"}, "root or sudo privileges required to specify token id"),
        ({"no_parent": True}, "root or sudo privileges required to create orphan token"),
        ({"period": "1h"}, "root or sudo privileges required to create periodic token"),
        ({"policies": ["other"]}, "child policies must be subset of parent"),
        ({"policies": ["root"]}, "child policies must be subset of parent"),
    ],
)
async def test_without_sudo_nobody_hands_on_more_than_they_have(
    wish: dict[str, Any], words: str
) -> None:
    async with fresh() as server:
        await server.policy("maker", 'path "auth/token/create" { capabilities = ["update"] }')
        maker = await server.token(policies=["maker"])
        with pytest.raises(InvalidRequestError, match=words):
            await server.write("auth/token/create", maker, **wish)


async def test_sudo_makes_no_root_token() -> None:
    async with fresh() as server:
        await server.policy("s", 'path "auth/token/create" { capabilities = ["update", "sudo"] }')
        maker = await server.token(policies=["s"])
        assert await made(server, maker, policies=["anything"])
        with pytest.raises(InvalidRequestError, match="without parent token being root"):
            await server.write("auth/token/create", maker, policies=["root"])


async def test_a_root_token_that_ends_makes_none_that_does_not() -> None:
    async with fresh() as server:
        ending = await server.token(policies=["root"], ttl="1h")
        with pytest.raises(InvalidRequestError, match="expiring root tokens"):
            await server.write("auth/token/create", ending, policies=["root"])
        with pytest.raises(InvalidRequestError, match="expiring root tokens"):
            await server.write("auth/token/create-orphan", ending, policies=["root"])
        child = await server.token(ending, policies=["root"], ttl="2h")
        assert (await looked_up(server, child))["ttl"] == 2 * HOUR


async def test_nothing_asked_is_everything_the_parent_has() -> None:
    async with fresh() as server:
        response = await made(server)
        assert response.auth is not None
        assert tuple(response.auth.token_policies) == ("root",)
        assert (response.auth.lease_seconds, response.auth.renewable) == (0, False)
        child = response.auth.client_token
        assert not child.startswith("hvs.CAES")
        assert await server.read("sys/mounts", child)


async def test_default_comes_along_unless_it_is_not_wanted() -> None:
    async with fresh() as server:
        found = await looked_up(server, await server.token(policies=["A", " b "]))
        assert found["policies"] == ["a", "b", "default"]
        without = await server.token(policies=["a", "default"], no_default_policy=True)
        assert (await looked_up(server, without))["policies"] == ["a"]


async def test_limits_of_lookups_and_unknown_tokens() -> None:
    async with fresh() as server:
        with pytest.raises(PermissionDeniedError, match="bad token"):
            await server.call(Operation.UPDATE, "auth/token/lookup", {"token": "nope"})
        with pytest.raises(InvalidRequestError, match="invalid accessor"):
            await server.write("auth/token/lookup-accessor", accessor="nope")
        auth = (await made(server, policies=["default"])).auth
        assert auth is not None
        found = await server.write("auth/token/lookup-accessor", accessor=auth.accessor)
        assert found is not None
        assert found.data is not None
        assert found.data["id"] == ""
        assert auth.accessor in await server.list("auth/token/accessors/")


async def test_a_token_with_two_uses_is_used_twice() -> None:
    async with fresh() as server:
        token = await server.token(policies=["default"], num_uses=2, ttl="10m")
        first = await server.read("auth/token/lookup-self", token)
        second = await server.read("auth/token/lookup-self", token)
        assert first is not None
        assert second is not None
        assert (first["num_uses"], second["num_uses"]) == (1, -1), "as Vault shows a last use"
        with pytest.raises(PermissionDeniedError):
            await server.read("auth/token/lookup-self", token)
        assert await server.list("auth/token/accessors/") != []
        keys = await all_keys(server)
        assert len([key for key in keys if key.startswith("sys/token/id/")]) == 1
        assert not [key for key in keys if key.startswith("sys/expire/")]


async def test_a_denied_request_uses_the_token_too() -> None:
    async with fresh() as server:
        token = await server.token(policies=["default"], num_uses=1)
        with pytest.raises(PermissionDeniedError):
            await server.read("sys/mounts", token)
        assert not await server.alive(token)


async def test_of_many_at_once_a_one_use_token_serves_one() -> None:
    async with fresh() as server:
        slow_down(server)
        for _ in range(5):
            token = await server.token(policies=["default"], num_uses=1)
            results = await asyncio.gather(
                *(server.read("auth/token/lookup-self", token) for _ in range(20)),
                return_exceptions=True,
            )
            assert sum(not isinstance(result, BaseException) for result in results) == 1


async def test_a_limited_token_makes_no_children() -> None:
    async with fresh() as server:
        await server.policy("maker", 'path "auth/token/create" { capabilities = ["update"] }')
        token = await server.token(policies=["maker"], num_uses=5)
        with pytest.raises(InvalidRequestError, match="restricted use token"):
            await server.write("auth/token/create", token)


async def test_custom_ids_work_once() -> None:
    async with fresh() as server:
        response = await made(server, id="customid", ttl="1h", policies=["default"])
        assert response.auth is not None
        assert response.auth.client_token == "customid"
        assert "weaker SHA1" in response.warnings[0]
        assert await server.alive("customid")
        with pytest.raises(InvalidRequestError, match="duplicate"):
            await server.write("auth/token/create", id="customid")
        await server.write("cubbyhole/a", "customid", v=1)
        assert await server.read("cubbyhole/a", "customid") == {"v": 1}


async def test_a_custom_id_that_stands_for_one_only_of_two_at_once() -> None:
    async with fresh() as server:
        results = await asyncio.gather(
            *(server.write("auth/token/create", id="same", ttl="1h") for _ in range(2)),
            return_exceptions=True,
        )
        assert sum(isinstance(result, InvalidRequestError) for result in results) == 1


async def test_renewing_gives_the_ttl_again_and_never_more_than_the_max() -> None:
    async with fresh() as server:
        token = await server.token(policies=["default"], ttl="1h", explicit_max_ttl="3h")
        server.clock.advance(1800)
        for increment, expected in ((None, HOUR), ("2h", 2 * HOUR), ("10h", 9000)):
            data = {} if increment is None else {"increment": increment}
            response = await server.write("auth/token/renew-self", token, **data)
            assert response is not None
            assert response.auth is not None
            assert response.auth.lease_seconds == expected
            assert response.auth.client_token == token
        assert "TTL value is capped" in response.warnings[0]
        found = await looked_up(server, token)
        assert found["last_renewal_time"] == server.clock.now_ns() // 10**9
        server.clock.advance(9001)
        assert not await server.alive(token)


async def test_a_periodic_token_lives_as_long_as_it_is_renewed() -> None:
    async with fresh() as server:
        token = await server.token(policies=["default"], period="1h")
        for _ in range(1000):
            server.clock.advance(3500)
            await server.write("auth/token/renew-self", token)
        assert (await looked_up(server, token))["period"] == HOUR
        server.clock.advance(3601)
        assert not await server.alive(token)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"policies": ["default"], "renewable": False}, "lease is not renewable"),
        ({"policies": ["root"]}, "invalid lease ID"),
        ({"policies": ["default"], "type": "batch"}, "batch tokens cannot be renewed"),
    ],
)
async def test_what_cannot_be_renewed(wish: dict[str, Any], words: str) -> None:
    async with fresh() as server:
        token = await server.token(**wish)
        with pytest.raises(InvalidRequestError, match=words):
            await server.write("auth/token/renew-self", token)


async def test_renewing_by_token_and_by_accessor() -> None:
    async with fresh() as server:
        auth = (await made(server, policies=["default"], ttl="1h")).auth
        assert auth is not None
        response = await server.call(
            Operation.UPDATE, "auth/token/renew", {"token": auth.client_token, "increment": 60}
        )
        assert response is not None
        assert response.auth is not None
        assert response.auth.lease_seconds == 60
        response = await server.write("auth/token/renew-accessor", accessor=auth.accessor)
        assert response is not None
        assert response.auth is not None
        assert response.auth.client_token == ""
        with pytest.raises(InvalidRequestError, match="token not found"):
            await server.call(Operation.UPDATE, "auth/token/renew", {"token": "nope"})


async def test_revoking_takes_everything_along_and_leaves_nothing() -> None:
    async with fresh() as server:
        await server.policy("m", 'path "auth/token/create" { capabilities = ["update"] }')
        before = await all_keys(server)
        parent = await server.token(policies=["m"])
        child = await server.token(parent)
        grandchild = await server.token(child)
        for token in (parent, child, grandchild):
            await server.write("cubbyhole/x", token, v=1)
        await server.revoke(parent)
        for token in (parent, child, grandchild):
            assert not await server.alive(token)
        assert await all_keys(server) == before
        cubbyhole = server.open.mounts.cubbyhole_uuid()
        assert await all_keys(server, f"logical/{cubbyhole}/") == set()


async def test_orphans_survive_their_makers() -> None:
    async with fresh() as server:
        await server.policy("m", 'path "auth/token/create-orphan" { capabilities = ["update"] }\n')
        maker = await server.token(policies=["m"])
        orphan = await server.token(maker, path="create-orphan")
        await server.revoke(maker)
        assert await server.alive(orphan)
        assert (await looked_up(server, orphan))["orphan"] is True


async def test_revoke_orphan_frees_the_children() -> None:
    async with fresh() as server:
        await server.policy("m", 'path "auth/token/create" { capabilities = ["update"] }')
        parent = await server.token(policies=["m"])
        child = await server.token(parent)
        grandchild = await server.token(child)
        await server.call(Operation.UPDATE, "auth/token/revoke-orphan", {"token": parent})
        assert not await server.alive(parent)
        assert (await looked_up(server, child))["orphan"] is True
        await server.revoke(child)
        assert not await server.alive(grandchild)
        with pytest.raises(InvalidRequestError, match="token to revoke not found"):
            await server.call(Operation.UPDATE, "auth/token/revoke-orphan", {"token": "nope"})


async def test_revoking_what_is_not_there_is_done_already() -> None:
    async with fresh() as server:
        await server.revoke("nope")
        response = await server.write("auth/token/revoke-accessor", accessor="nope")
        assert response is not None
        assert response.warnings == ["No token found with this accessor"]


async def test_a_token_can_revoke_itself_and_its_root_too() -> None:
    async with fresh() as server:
        token = await server.token(policies=["default"])
        await server.write("auth/token/revoke-self", token)
        assert not await server.alive(token)
        await server.write("auth/token/revoke-self")
        assert not await server.alive(server.root)


async def test_batch_tokens_are_not_stored_and_die_with_their_parent() -> None:
    async with fresh() as server:
        await server.policy("m", 'path "auth/token/create" { capabilities = ["update"] }')
        parent = await server.token(policies=["m"])
        before = await all_keys(server)
        batch = await server.token(parent, type="batch", ttl="1h")
        assert await all_keys(server) == before
        found = await looked_up(server, batch)
        assert (found["type"], found["accessor"], found["renewable"]) == ("batch", "", False)
        with pytest.raises(InvalidRequestError, match="batch tokens cannot create more tokens"):
            await server.write("auth/token/create", batch)
        with pytest.raises(InvalidRequestError, match="batch tokens cannot be revoked"):
            await server.revoke(batch)
        await server.revoke(parent)
        assert not await server.alive(batch)


@pytest.mark.parametrize("was_used", [False, True])
async def test_a_batch_token_ends_with_its_parents_time_before_anybody_cleans_up(
    was_used: bool,
) -> None:
    async with fresh() as server:
        await server.policy("m", 'path "auth/token/create" { capabilities = ["update"] }')
        parent = await server.token(policies=["m"], ttl="1m")
        batch = await server.token(parent, type="batch", ttl="1h")
        if was_used:
            assert await server.alive(batch)
        server.clock.advance(61)
        assert not await server.alive(batch)


async def test_a_batch_token_ends_on_time_and_a_changed_one_is_nothing() -> None:
    async with fresh() as server:
        batch = await server.token(type="batch", ttl="1h", policies=["default"])
        flipped = batch[:-5] + ("A" if batch[-5] != "A" else "B") + batch[-4:]
        assert await server.alive(batch)
        assert not await server.alive(flipped)
        server.clock.advance(3601)
        assert not await server.alive(batch)


async def test_the_cache_forgets_what_it_has_no_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zvault.engine.tokens.sessions.MAX_SESSIONS", 20)
    async with fresh() as server:
        tokens = [
            await server.token(type="batch" if number % 2 else "service", policies=["default"])
            for number in range(60)
        ]
        for _ in range(2):
            for token in tokens:
                assert await server.alive(token)
        sessions = server.open.sessions
        assert len(sessions) <= 20
        assert sum(len(keys) for keys in sessions._keys.values()) <= 2 * 20
        await server.write("auth/token/revoke-self")
        assert not any([await server.alive(token) for token in tokens])


async def test_an_expired_token_is_dead_before_anybody_cleans_up() -> None:
    async with fresh() as server:
        token = await server.token(policies=["default"], ttl="1h")
        assert await server.alive(token)
        server.clock.advance(3600)
        assert not await server.alive(token)
        assert await server.tick() == 1
        assert not [key for key in await all_keys(server) if "expire/id" in key]


async def test_children_end_with_an_expiring_parent() -> None:
    async with fresh() as server:
        await server.policy("m", 'path "auth/token/create" { capabilities = ["update"] }')
        parent = await server.token(policies=["m"], ttl="1h")
        child = await server.token(parent, ttl="10h")
        await server.tick(3601)
        assert not await server.alive(child)


async def test_a_renewed_token_is_not_ended_at_its_old_time() -> None:
    async with fresh() as server:
        token = await server.token(policies=["default"], ttl="1h")
        server.clock.advance(1800)
        await server.write("auth/token/renew-self", token)
        await server.tick(1801)
        assert await server.alive(token)
        await server.tick(1801)
        assert not await server.alive(token)


async def test_a_lease_found_due_but_renewed_meanwhile_is_left_alone() -> None:
    async with fresh() as server:
        token = await server.token(policies=["default"], ttl="1h")
        (key,) = [k for k in await all_keys(server) if k.startswith("sys/expire/id/")]
        server.clock.advance(3000)
        await server.write("auth/token/renew-self", token)
        server.clock.advance(1000)
        await server.open.revocation.expire(key.removeprefix("sys/expire/id/"))
        assert await server.alive(token)
        assert await server.tick(3000) == 1
        assert not await server.alive(token)


async def test_roles_decide_over_the_one_who_asks() -> None:
    async with fresh() as server:
        await server.write(
            "auth/token/roles/r",
            allowed_policies="app",
            orphan=True,
            token_period="2h",
            path_suffix="sfx",
        )
        await server.policy("m", 'path "auth/token/create/r" { capabilities = ["update"] }')
        maker = await server.token(policies=["m"])
        token = await server.token(maker, path="create/r")
        found = await looked_up(server, token)
        assert found["policies"] == ["app", "default"]
        assert (found["orphan"], found["role"]) == (True, "r")
        assert found["path"] == "auth/token/create/r/sfx"
        assert "period" not in found
        assert found["ttl"] == 2 * HOUR
        with pytest.raises(InvalidRequestError, match="must be subset of the role's allowed"):
            await server.write("auth/token/create/r", maker, policies=["other"])
        with pytest.raises(InvalidRequestError, match="unknown role nope"):
            await server.write("auth/token/create/nope")


async def test_of_a_roles_limit_and_the_wished_one_the_smaller_counts() -> None:
    async with fresh() as server:
        await server.write("auth/token/roles/r", token_num_uses=5, token_explicit_max_ttl="1h")
        for uses, ttl in ((9, "2h"), (3, "30m")):
            wish = {"num_uses": uses, "explicit_max_ttl": ttl, "ttl": "20m"}
            found = await looked_up(server, await server.token(path="create/r", **wish))
            assert found["num_uses"] == min(uses, 5)
            assert found["explicit_max_ttl"] == (1800 if uses == 3 else HOUR)


async def test_a_role_in_the_body_gives_nothing_that_the_path_does_not() -> None:
    async with fresh() as server:
        await server.write("auth/token/roles/adm", allowed_policies="admin", orphan=True)
        for path in ("create", "create-orphan"):
            text = f'path "auth/token/{path}" {{ capabilities = ["update"] }}'
            await server.policy("m", text)
            maker = await server.token(policies=["m"])
            with pytest.raises(InvalidRequestError, match="must be subset of parent"):
                await server.token(maker, path=path, role_name="adm", policies=["admin"])
            child = await server.token(maker, path=path, role_name="adm")
            found = await looked_up(server, child)
            assert found["policies"] == ["default", "m"]
            assert "role" not in found


async def test_a_renewal_follows_the_role_as_it_is_now() -> None:
    async with fresh() as server:
        await server.write("auth/token/roles/r", token_period="2h")
        token = await server.token(path="create/r", policies=["default"])
        await server.write("auth/token/roles/r", token_period="5h")
        response = await server.write("auth/token/renew-self", token)
        assert response is not None
        assert response.auth is not None
        assert response.auth.lease_seconds == 5 * HOUR
        await server.delete("auth/token/roles/r")
        with pytest.raises(EngineError, match="original token role"):
            await server.write("auth/token/renew-self", token)


async def test_disallowed_policies_of_a_role() -> None:
    async with fresh() as server:
        await server.write("auth/token/roles/r", disallowed_policies_glob="adm*")
        with pytest.raises(InvalidRequestError, match='"admin" is disallowed by this role'):
            await server.write("auth/token/create/r", policies=["admin"])


async def test_roles_are_listed_read_and_removed() -> None:
    async with fresh() as server:
        assert await server.list("auth/token/roles/") == []
        await server.write("auth/token/roles/r", allowed_policies=["app"])
        assert await server.list("auth/token/roles/") == ["r"]
        found = await server.read("auth/token/roles/r")
        assert found is not None
        assert found["token_type"] == "default-service"
        assert found["allowed_policies"] == ["app"]
        await server.delete("auth/token/roles/r")
        assert await server.read("auth/token/roles/r") is None


async def test_a_token_without_its_lease_is_dead_and_removed() -> None:
    async with fresh() as server:
        token = await server.token(policies=["default"])
        keys = [key for key in await all_keys(server) if key.startswith("sys/expire/id/")]
        from zvault.storage.api import Delete

        await server.core.storage.apply([Delete(keys[0])])
        again = await restarted(server)
        assert not await again.alive(token)
        await asyncio.sleep(0.01)
        assert len([k for k in await all_keys(again) if k.startswith("sys/token/id/")]) == 1
        await again.core.seal()


async def test_an_unreadable_lease_is_named_and_stops_nothing() -> None:
    async with fresh() as server:
        good = await server.token(policies=["default"])
        before = {key for key in await all_keys(server) if key.startswith("sys/expire/id/")}
        bad = await server.token(policies=["default"])
        (key,) = {k for k in await all_keys(server) if k.startswith("sys/expire/id/")} - before
        from zvault.storage.api import Put

        await server.core.storage.apply([Put(key, b"\0\0\0\x01\x02" + bytes(40))])
        again = await restarted(server)
        await again.open.settled()
        assert await again.alive(good)
        assert not await again.alive(bad)
        assert list(again.open.leases.unreadable) == [key.removeprefix("sys/expire/id/")]
        await again.tick()
        text = again.core.metrics.render_prometheus()
        assert "vault_expire_num_irrevocable_leases 1" in text
        assert await again.core.storage.get(key) is not None
        await again.core.seal()


async def test_leases_end_after_a_restart_too() -> None:
    async with fresh() as server:
        token = await server.token(policies=["default"], ttl="1h")
        again = await restarted(server)
        await again.open.settled()
        assert await again.alive(token)
        assert await again.tick(3601) == 1
        assert not [k for k in await all_keys(again) if k.startswith("sys/expire/")]
        await again.core.seal()


async def test_a_child_made_while_its_parent_is_revoked_does_not_survive() -> None:
    async with fresh() as server:
        await server.policy("m", 'path "auth/token/create" { capabilities = ["update"] }')
        for steps in range(12):
            parent = await server.token(policies=["m"])
            storage = server.core.storage
            apply = storage.apply

            async def slow(operations, apply=apply, steps=steps):  # type: ignore[no-untyped-def]
                for _ in range(steps):
                    await asyncio.sleep(0)
                await apply(operations)

            storage.apply = slow  # type: ignore[method-assign]
            making = asyncio.create_task(server.write("auth/token/create", parent))
            for _ in range(3):
                await asyncio.sleep(0)
            await server.revoke(parent)
            storage.apply = apply  # type: ignore[method-assign]
            try:
                response = await making
            except PermissionDeniedError:
                continue
            assert response is not None
            assert response.auth is not None
            assert not await server.alive(response.auth.client_token)
        keys = await all_keys(server)
        assert len([key for key in keys if key.startswith("sys/token/id/")]) == 1
        assert not [key for key in keys if key.startswith("sys/token/parent/")]
        assert len(server.open.sessions._doomed) == 0


async def test_a_token_is_dead_as_soon_as_its_revocation_begins() -> None:
    async with fresh() as server:
        token = await server.token(policies=["default"])
        assert await server.alive(token)
        storage, held = server.core.storage, asyncio.Event()
        apply = storage.apply

        async def slow(operations: Sequence[StorageOperation]) -> None:
            await held.wait()
            await apply(operations)

        storage.apply = slow  # type: ignore[method-assign]
        revoking = asyncio.create_task(server.revoke(token))
        await asyncio.sleep(0)
        asking = asyncio.create_task(server.alive(token))
        await asyncio.sleep(0)
        held.set()
        assert not await asking
        await revoking


async def test_renewing_and_revoking_at_once_never_leaves_half_a_token() -> None:
    async with fresh() as server:
        slow_down(server)
        for head_start in [0, 1, 2, 4, 8] * 8:
            token = await server.token(policies=["default"], ttl="1h")
            assert await server.alive(token)

            async def revoke(token: str = token, head_start: int = head_start) -> None:
                for _ in range(head_start):
                    await asyncio.sleep(0)
                await server.revoke(token)

            await asyncio.gather(
                server.write("auth/token/renew-self", token), revoke(), return_exceptions=True
            )
            assert not await server.alive(token)
            keys = await all_keys(server)
            assert not [key for key in keys if key.startswith("sys/expire/id/")]


async def test_tidy_removes_what_leads_nowhere_and_nothing_else() -> None:
    async with fresh() as server:
        keep = await server.token(policies=["default"])
        lost = await server.token(policies=["default"])
        before = await all_keys(server)
        store = server.open.tokens.store
        entry = await store.get(ssc.decode(lost))
        assert entry is not None
        from zvault.storage.api import Delete

        await server.open.barrier.apply([Delete(store.removal(entry)[0].key)])
        response = await server.write("auth/token/tidy")
        assert response is not None
        assert response.status == 202
        await server.write("sys/leases/tidy")
        after = await all_keys(server)
        assert await server.alive(keep)
        gone = {key.split("/")[1] + "/" + key.split("/")[2] for key in before - after}
        assert {"token/id", "token/accessor", "expire/id"} <= gone
        assert len([k for k in after if k.startswith("sys/token/id/")]) == 2


async def test_no_token_is_asked_for_in_a_path() -> None:
    async with fresh() as server:
        token = await server.token(policies=["default"])
        for operation, path in (
            (Operation.READ, "lookup"),
            (Operation.UPDATE, "lookup"),
            (Operation.UPDATE, "renew"),
            (Operation.UPDATE, "revoke"),
            (Operation.UPDATE, "revoke-orphan"),
        ):
            with pytest.raises(NotFoundInEngineError, match="unsupported path"):
                await server.call(operation, f"auth/token/{path}/{token}")
        assert await server.alive(token)


async def test_a_bound_token_works_from_its_address_in_either_spelling() -> None:
    """A listener on both families names IPv4 clients as ``::ffff:…``."""
    async with fresh() as server:
        await server.write("auth/token/roles/here", token_bound_cidrs=["10.0.0.0/8"])
        token = await server.token(None, "create/here", policies=["default"], ttl="1h")
        for address, admitted in (
            ("10.1.2.3", True),
            ("::ffff:10.1.2.3", True),
            ("::ffff:11.1.2.3", False),
            ("::1", False),
        ):
            asked = server.call(
                Operation.READ, "auth/token/lookup-self", token=token, address=address
            )
            if admitted:
                assert await asked is not None
                continue
            with pytest.raises(PermissionDeniedError):
                await asked
