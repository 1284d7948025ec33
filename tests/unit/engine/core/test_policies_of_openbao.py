"""What OpenBao says of a policy besides its rules: the engine keeps to it in every store."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.running import Running, fresh
from zvault.base.gotime import SECOND_NS, format_time
from zvault.engine.errors import EngineError, InvalidRequestError, PermissionDeniedError
from zvault.records.policies import PolicyEntry, Upkeep, encode_policy, with_upkeep
from zvault.storage.api import Put

ACL = "sys/policies/acl"
READ = 'path "kv/x" { capabilities = ["read"] }'


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    async with fresh(family="openbao") as running:
        await running.write("sys/mounts/kv", type="kv")
        for path in ("x", "a/b", "plain", "anything"):
            await running.write(f"kv/{path}", v=1)
        yield running


async def may(server: Running, path: str, token: str) -> bool:
    try:
        await server.read(path, token)
    except PermissionDeniedError:
        return False
    return True


def moment(server: Running, seconds: int) -> str:
    return format_time(server.clock.now_ns() + seconds * SECOND_NS)


@pytest.mark.parametrize("wish", [{"ttl": "60s"}, {"ttl": 60}, {"expiration": None}])
async def test_a_policy_ends_when_its_time_is_over_for_who_has_used_it_already(
    server: Running, wish: dict[str, Any]
) -> None:
    if "expiration" in wish:
        wish = {"expiration": moment(server, 60)}
    await server.write(f"{ACL}/short", policy=READ, **wish)
    token = await server.token(policies=["short"])
    assert await may(server, "kv/x", token)
    assert (await server.read(f"{ACL}/short") or {})["expiration"] == moment(server, 60)
    server.clock.advance(59)
    assert await may(server, "kv/x", token)
    server.clock.advance(1)
    assert not await may(server, "kv/x", token)
    assert await server.read(f"{ACL}/short") is None
    assert "short" not in await server.list(ACL)
    made = await server.write("auth/token/create", policies=["short"])
    assert made is not None
    assert made.warnings == ['Policy "short" does not exist']


async def test_a_policy_written_anew_lasts_again(server: Running) -> None:
    await server.write(f"{ACL}/p", policy=READ, ttl="60s", cas_required=True, cas=-1)
    await server.write(f"{ACL}/p", policy=READ, cas=1)
    token = await server.token(policies=["p"], ttl="2h")
    server.clock.advance(3600)
    assert await may(server, "kv/x", token)
    shown = await server.read(f"{ACL}/p")
    assert shown is not None
    assert "expiration" not in shown
    assert (shown["version"], shown["cas_required"]) == (2, False)


@pytest.mark.parametrize("right", ["read", "deny"])
async def test_a_stanza_ends_when_its_time_is_over(server: Running, right: str) -> None:
    ending = f'expiration = "{moment(server, 60)}"'
    stanza = f'path "kv/x" {{ capabilities = ["{right}"] {ending} }}'
    if right == "deny":
        stanza += READ.replace("kv/x", "kv/*")
    await server.policy("p", stanza)
    token = await server.token(policies=["p"])
    assert await may(server, "kv/x", token) is (right == "read")
    server.clock.advance(60)
    assert await may(server, "kv/x", token) is (right == "deny")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"ttl": "1h", "expiration": 1 << 34}, "cannot supply both"),
        ({"expiration": "yesterday"}, "could not parse string as date and time"),
        ({"expiration": 1}, "expiration time has already elapsed"),
        ({"ttl": "-1h"}, "cannot be negative"),
        ({"cas_required": True}, "check-and-set parameter required"),
        ({"cas": 1}, "did not match"),
    ],
)
async def test_a_write_that_cannot_be_kept_to_is_refused(
    server: Running, fields: dict[str, Any], text: str
) -> None:
    with pytest.raises(InvalidRequestError, match=text):
        await server.call_update(f"{ACL}/p", {"policy": READ, **fields})
    assert await server.read(f"{ACL}/p") is None


async def test_a_policy_that_wants_its_version_named_is_not_replaced_blindly(
    server: Running,
) -> None:
    await server.write(f"{ACL}/p", policy=READ, cas=0, cas_required=True)
    for cas in ({}, {"cas": -1}, {"cas": 0}, {"cas": 2}):
        with pytest.raises(InvalidRequestError, match="check-and-set"):
            await server.call_update(f"{ACL}/p", {"policy": "# lost", **cas})
    await server.write(f"{ACL}/p", policy="# found", cas=1)
    shown = await server.read(f"{ACL}/p")
    assert shown is not None
    assert (shown["policy"], shown["version"]) == ("# found", 2)


@pytest.mark.parametrize(
    "key", ["pagination_limit = 5", 'list_scan_response_keys_filter_path = "{{ .key }}"']
)
async def test_lists_that_would_have_to_be_cut_are_refused_instead(
    server: Running, key: str
) -> None:
    text = f'path "kv/" {{ capabilities = ["read", "list", "scan"] {key} }}'
    with pytest.raises(InvalidRequestError, match="does not enforce"):
        await server.policy("p", text)
    await _stored(server, "p", text)
    await server.policy("also", 'path "kv/" { capabilities = ["list"] }')
    also = await server.token(policies=["also"])
    assert await server.list("kv/", also)
    both = await server.token(policies=["also", "p"])
    with pytest.raises(PermissionDeniedError):
        await server.list("kv/", both)


@pytest.mark.parametrize(
    "stanza",
    ["control_group = {}", 'capabilities = ["subscribe"]', 'subscribe_event_types = ["*"]'],
)
async def test_what_openbao_could_not_read_is_not_stored(server: Running, stanza: str) -> None:
    with pytest.raises(InvalidRequestError, match="invalid"):
        await server.policy("p", f'path "kv/x" {{ {stanza} }}')


async def test_a_store_of_vault_takes_no_expiration_but_keeps_to_one_that_openbao_wrote() -> None:
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv")
        await server.write("kv/x", v=1)
        ending = f'{READ[:-1]} expiration = "{moment(server, 60)}" }}'
        with pytest.raises(InvalidRequestError, match='invalid key "expiration"'):
            await server.policy("p", ending)
        await _stored(server, "stanza", ending)
        await _stored(server, "whole", READ, expires_ns=server.clock.now_ns() + 60 * SECOND_NS)
        tokens = [await server.token(policies=[name]) for name in ("stanza", "whole")]
        assert [await may(server, "kv/x", token) for token in tokens] == [True, True]
        server.clock.advance(60)
        assert [await may(server, "kv/x", token) for token in tokens] == [False, False]


async def _stored(server: Running, name: str, text: str, **upkeep: Any) -> None:
    """As OpenBao leaves it."""
    entry = with_upkeep(PolicyEntry(raw=text, version=0), Upkeep(version=1, **upkeep))
    await server.open.barrier.apply([Put(f"sys/policy/{name}", encode_policy(entry))])


@pytest.mark.parametrize(
    ("flags", "allowed"),
    [
        ({}, ["kv/plain"]),
        ({"allow_slashes_in_identity_templates": True}, ["kv/a/b", "kv/plain"]),
        (
            {"allow_wildcards_in_identity_templates": True},
            ["kv/anything", "kv/plain"],
        ),
    ],
)
async def test_what_a_name_brings_into_a_path_is_for_the_policy_to_say(
    server: Running, flags: dict[str, bool], allowed: list[str]
) -> None:
    values = {"slash": "a/b", "star": "any*", "plain": "plain"}
    rules = [
        f'path "kv/{{{{identity.entity.metadata.{key}}}}}" {{ capabilities = ["read"] }}'
        for key in values
    ]
    await server.call_update(f"{ACL}/own", {"policy": "\n".join(rules), **flags})
    token = await _of_an_entity(server, values)
    found = ("kv/a/b", "kv/anything", "kv/plain", "kv/x")
    assert [path for path in found if await may(server, path, token)] == allowed


async def _of_an_entity(server: Running, metadata: dict[str, str]) -> str:
    await server.write("sys/auth/up", type="userpass")
    await server.write("auth/up/users/u", password="geheim")
    tables = await server.read("sys/auth")
    made = await server.write("identity/entity", name="u", metadata=metadata, policies=["own"])
    assert tables is not None
    assert made is not None
    assert made.data is not None
    await server.write(
        "identity/entity-alias",
        name="u",
        mount_accessor=tables["up/"]["accessor"],
        canonical_id=made.data["id"],
    )
    login = await server.write("auth/up/login/u", "", password="geheim")
    assert login is not None
    assert login.auth is not None
    return login.auth.client_token


async def test_rights_that_were_being_computed_while_an_entity_changed_are_not_kept(
    server: Running,
) -> None:
    """The old metadata may name paths that are the entity's no more."""
    rule = 'path "kv/{{identity.entity.metadata.at}}" { capabilities = ["read"] }'
    token = await _of_an_entity(server, {"at": "x"})
    await server.policy("own", rule)
    storage, reached, go_on = server.open.barrier.storage, asyncio.Event(), asyncio.Event()
    get = storage.get

    async def slow_get(key: str) -> bytes | None:
        content = await get(key)
        if key == "sys/policy/own":
            reached.set()
            await go_on.wait()
        return content

    storage.get = slow_get  # type: ignore[method-assign]
    asking = asyncio.create_task(may(server, "kv/x", token))
    await reached.wait()
    await server.write("identity/entity/name/u", metadata={"at": "plain"})
    go_on.set()
    assert await asking is False
    assert await may(server, "kv/plain", token)
    assert not await may(server, "kv/x", token)


async def test_a_stored_policy_that_cannot_be_read_is_still_listed(server: Running) -> None:
    await server.open.barrier.apply([Put("sys/policy/torn", b"{")])
    assert "torn" in await server.list(ACL)
    token = await server.token(policies=["default"])
    assert await server.alive(token)
    with pytest.raises(EngineError):
        await server.read(f"{ACL}/torn")
