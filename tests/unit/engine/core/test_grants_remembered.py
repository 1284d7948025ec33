"""What is remembered of a grant: the same as worked out anew, and void with whatever it came of."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.running import Running, fresh, restarted
from zvault.engine.api import Auth, Operation
from zvault.engine.errors import EngineError, InvalidRequestError, PermissionDeniedError
from zvault.engine.tokens.kept import KEPT, MAX_KEPT_BYTES, Kept
from zvault.storage.api import Delete, Put

OFTEN = 3
"""From the third time on what was worked out before is used."""


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    async with fresh() as server:
        await server.write("sys/policies/acl/app", policy='path "a" { capabilities = ["read"] }')
        await server.write("sys/auth/approle", type="approle")
        await server.write("auth/approle/role/web", token_policies="app", token_ttl="1h")
        yield server


class Client:
    """Logs in with one role_id and secret_id."""

    def __init__(self, server: Running, role_id: str, secret_id: str) -> None:
        self.server = server
        self.body = {"role_id": role_id, "secret_id": secret_id}

    @classmethod
    async def of(cls, server: Running, **fields: Any) -> "Client":
        role = await server.read("auth/approle/role/web/role-id")
        made = await server.write("auth/approle/role/web/secret-id", **fields)
        assert role is not None
        assert made is not None
        assert made.data is not None
        return cls(server, role["role_id"], made.data["secret_id"])

    async def log_in(self, times: int = OFTEN) -> Auth:
        for _ in range(times):
            answer = await self.server.call_update("auth/approle/login", self.body, "")
        assert answer is not None
        assert answer.auth is not None
        return answer.auth


async def shown(server: Running, auth: Auth, address: str = "127.0.0.1") -> dict[str, Any]:
    found = await server.call(
        Operation.READ, "auth/token/lookup-self", token=auth.client_token, address=address
    )
    assert found is not None
    assert found.data is not None
    return found.data


async def test_every_login_gets_a_token_of_its_own_that_says_what_the_first_said(
    server: Running,
) -> None:
    client = await Client.of(server, metadata='{"host":"h%b"}')
    first = await client.log_in(times=1)
    later = [await client.log_in(times=1) for _ in range(5)]
    seen = {(auth.client_token, auth.accessor) for auth in (first, *later)}
    assert len({token for token, _ in seen}) == len({accessor for _, accessor in seen}) == 6
    own = ("id", "accessor", "creation_time", "expire_time", "issue_time", "ttl")
    about = [await shown(server, auth) for auth in (first, *later)]
    for one in about:
        assert one["meta"] == {"host": "h%b", "role_name": "web"}
        assert {k: v for k, v in one.items() if k not in own} == {
            k: v for k, v in about[0].items() if k not in own
        }
    assert all(auth == replaced(first, auth) for auth in later)


def replaced(first: Auth, auth: Auth) -> Auth:
    first.client_token, first.accessor = auth.client_token, auth.accessor
    return first


async def test_a_changed_role_is_what_the_next_login_gets(server: Running) -> None:
    client = await Client.of(server)
    assert (await client.log_in()).lease_seconds == 3600
    await server.write("auth/approle/role/web", token_policies="ops", token_ttl="2h")
    auth = await client.log_in(times=1)
    assert (list(auth.token_policies), auth.lease_seconds) == (["default", "ops"], 7200)


async def test_a_secret_id_that_is_gone_logs_nobody_in(server: Running) -> None:
    client = await Client.of(server)
    await client.log_in()
    await server.write(
        "auth/approle/role/web/secret-id/destroy", secret_id=client.body["secret_id"]
    )
    with pytest.raises(EngineError):
        await client.log_in(times=1)


async def test_an_accessor_that_is_gone_takes_its_secret_id_along(server: Running) -> None:
    client = await Client.of(server)
    await client.log_in()
    store = server.open.barrier
    uuid = next(e.uuid for e in server.open.mounts.entries("auth") if e.type == "approle")
    (name,) = await store.list(f"auth/{uuid}/accessor/")
    await store.storage.apply([Delete(f"auth/{uuid}/accessor/{name}")])
    with pytest.raises(EngineError):
        await client.log_in(times=1)


async def test_a_counted_secret_id_logs_in_as_often_as_it_says(server: Running) -> None:
    client = await Client.of(server, num_uses=4)
    await client.log_in(times=4)
    with pytest.raises(EngineError):
        await client.log_in(times=1)


async def test_a_disabled_entity_and_a_new_policy_of_it_count_at_once(server: Running) -> None:
    client = await Client.of(server)
    auth = await client.log_in()
    await server.write(f"identity/entity/id/{auth.entity_id}", policies=["more"])
    assert list((await client.log_in(times=1)).identity_policies) == ["more"]
    await client.log_in()
    await server.write("identity/group", name="g", member_entity_ids=[auth.entity_id], policies="g")
    assert list((await client.log_in(times=1)).identity_policies) == ["g", "more"]
    await client.log_in()
    await server.write(f"identity/entity/id/{auth.entity_id}", disabled=True)
    with pytest.raises(PermissionDeniedError):
        await client.log_in(times=1)


async def test_a_tuned_mount_counts_at_once(server: Running) -> None:
    client = await Client.of(server)
    await client.log_in()
    await server.write("sys/auth/approle/tune", max_lease_ttl="10m")
    assert (await client.log_in(times=1)).lease_seconds == 600
    await client.log_in()
    await server.write("sys/auth/approle/tune", token_type="batch")
    assert (await client.log_in(times=1)).token_type == "batch"


async def test_a_role_that_binds_tokens_to_addresses_binds_each_to_its_own(
    server: Running,
) -> None:
    client = await Client.of(server)
    mount = next(e for e in server.open.mounts.entries("auth") if e.type == "approle")
    key = f"auth/{mount.uuid}/role/web"
    stored = await server.open.barrier.get(key)
    assert stored is not None
    strict = stored.replace(b"{", b'{"token_strictly_bind_ip":true,', 1)
    await server.open.barrier.apply([Put(key, strict)])
    again = await restarted(server)
    for number in range(OFTEN + 2):
        address = f"127.0.0.{number + 1}"
        answer = await again.call(
            Operation.UPDATE, "auth/approle/login", client.body, "", address=address
        )
        assert answer is not None
        assert answer.auth is not None
        assert (await shown(again, answer.auth, address))["bound_cidrs"] == [address]


async def test_two_secret_ids_of_a_role_keep_their_own_metadata(server: Running) -> None:
    one = await Client.of(server, metadata='{"n":"1"}')
    two = await Client.of(server, metadata='{"n":"2"}')
    for _ in range(OFTEN):
        for client, number in ((one, "1"), (two, "2")):
            auth = await client.log_in(times=1)
            assert (await shown(server, auth))["meta"]["n"] == number
            entity = await server.read(f"identity/entity/id/{auth.entity_id}")
            assert entity is not None
            assert [alias["metadata"]["n"] for alias in entity["aliases"]] == [number]


async def made(server: Running, by: str | None = None, times: int = OFTEN, **wish: Any) -> Any:
    for _ in range(times):
        answer = await server.write("auth/token/create", by, **wish)
    assert answer is not None
    assert answer.auth is not None
    return answer


async def test_tokens_alike_have_their_own_names_and_the_same_rights(server: Running) -> None:
    answers = [
        await made(server, times=1, policies=["app"], ttl="1h", meta={"a": "%b"}) for _ in range(4)
    ]
    assert len({answer.auth.client_token for answer in answers}) == 4
    for answer in answers:
        found = await shown(server, answer.auth)
        assert (found["policies"], found["meta"]) == (["app", "default"], {"a": "%b"})
        assert (found["creation_ttl"], answer.warnings) == (3600, [])
    await server.write("auth/token/revoke-accessor", accessor=answers[3].auth.accessor)
    with pytest.raises(PermissionDeniedError):
        await shown(server, answers[3].auth)
    await shown(server, answers[2].auth)


async def test_a_token_made_alike_dies_with_its_parent(server: Running) -> None:
    policy = 'path "auth/token/create" { capabilities = ["update"] }'
    await server.write("sys/policies/acl/app", policy=policy)
    parent = (await made(server, times=1, policies=["app"])).auth
    child = (await made(server, parent.client_token, policies=["app"], ttl="1h")).auth
    await server.call_update("auth/token/revoke", {"token": parent.client_token})
    with pytest.raises(PermissionDeniedError):
        await shown(server, child)
    with pytest.raises(PermissionDeniedError):
        await made(server, parent.client_token, times=1, policies=["app"], ttl="1h")


async def test_a_policy_that_goes_is_a_warning_of_the_next_token(server: Running) -> None:
    assert (await made(server, policies=["app"], ttl="1h")).warnings == []
    await server.call(Operation.DELETE, "sys/policies/acl/app")
    answer = await made(server, times=1, policies=["app"], ttl="1h")
    assert answer.warnings == ['Policy "app" does not exist']


async def test_a_tuned_token_mount_counts_at_once(server: Running) -> None:
    await made(server, policies=["app"], ttl="1h")
    await server.write("sys/auth/token/tune", max_lease_ttl="10m")
    assert (await made(server, times=1, policies=["app"], ttl="1h")).auth.lease_seconds == 600


async def test_a_chosen_id_is_never_made_twice(server: Running) -> None:
    await made(server, times=1, id="mine", policies=["app"], ttl="1h")
    with pytest.raises(InvalidRequestError, match="duplicate"):
        await made(server, times=1, id="mine", policies=["app"], ttl="1h")


def test_a_result_is_kept_from_the_second_time_on_unless_it_is_large() -> None:
    kept: Kept[str] = Kept()
    assert not kept.is_due(("a",))
    assert kept.is_due(("a",))
    kept.put(("a",), "large", MAX_KEPT_BYTES + 1)
    assert kept.get(("a",)) is None
    kept.put(("a",), "small", MAX_KEPT_BYTES)
    assert kept.get(("a",)) == "small"


def test_too_many_results_are_forgotten_at_once() -> None:
    kept: Kept[str] = Kept()
    kept.is_due(("first",))
    kept.put(("first",), "x", 1)
    for number in range(KEPT):
        kept.is_due((number,))
    assert kept.get(("first",)) is None
    assert len(kept) <= KEPT
