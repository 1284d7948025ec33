"""AppRole, one law a test: roles, secret ids, and who may log in with what."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from tests.support.opened import context_for, fresh_barrier, request
from tests.support.straight import straight
from zvault.barrier.barrier import Barrier
from zvault.base.clock import ManualClock
from zvault.engine.api import Auth, Response
from zvault.engine.backends.approle import backend as approle
from zvault.engine.backends.approle.login import WrongCredentialsError
from zvault.engine.errors import (
    EngineError,
    InternalEngineError,
    InvalidRequestError,
    NotFoundInEngineError,
    PermissionDeniedError,
    UnsupportedOperationError,
)
from zvault.engine.userdata import Timestamp
from zvault.records.approle import decode_secret_id
from zvault.records.mounts import AUTH, MountEntry
from zvault.storage.api import Operation as StorageOperation
from zvault.storage.api import Storage
from zvault.storage.inmem import InMemStorage

ENTRY = MountEntry(path="approle/", type="approle", table=AUTH, uuid="u")
INVALID = "invalid role or secret ID"


class World:
    """One mount on a fresh store, and short words for its calls."""

    def __init__(self, barrier: Barrier, clock: ManualClock) -> None:
        self.barrier = barrier
        self.clock = clock
        self.context = context_for(barrier, ENTRY, clock)
        self.backend = approle.make(self.context)

    async def call(self, operation: str, path: str, data: Any = None) -> Response | None:
        return await self.backend.handle(request(operation, path, data))

    async def show(self, path: str, data: Any = None, operation: str = "read") -> dict[str, Any]:
        answer = await self.call(operation, path, data)
        assert answer is not None
        assert answer.data is not None
        return answer.data

    async def secret_id(self, role: str, **fields: Any) -> str:
        answer = await self.show(f"role/{role}/secret-id", fields, "update")
        return str(answer["secret_id"])

    async def login(self, role_id: str, secret_id: str = "", address: str = "127.0.0.1") -> Auth:
        body = {"role_id": role_id, "secret_id": secret_id}
        made = request("update", "login", body, token=None, remote_address=address)
        answer = await self.backend.handle(made)
        assert answer is not None
        assert answer.auth is not None
        return answer.auth

    async def role(self, name: str = "web", **fields: Any) -> str:
        await self.call("create", f"role/{name}", fields)
        return str((await self.show(f"role/{name}/role-id"))["role_id"])


async def new_world(storage: Storage | None = None) -> World:
    clock = ManualClock()
    return World(await fresh_barrier(storage, clock), clock)


@pytest.fixture
async def world() -> World:
    return await new_world()


async def test_a_new_role_has_vaults_defaults(world: World) -> None:
    await world.role("Web")
    assert await world.show("role/web") == {
        "bind_secret_id": True,
        "local_secret_ids": False,
        "secret_id_bound_cidrs": None,
        "secret_id_num_uses": 0,
        "secret_id_ttl": 0,
        "token_bound_cidrs": [],
        "token_explicit_max_ttl": 0,
        "token_max_ttl": 0,
        "token_no_default_policy": False,
        "token_num_uses": 0,
        "token_period": 0,
        "token_policies": [],
        "token_ttl": 0,
        "token_type": "default",
    }
    assert (await world.show("role/", operation="list"))["keys"] == ["web"]


async def test_a_login_gives_what_the_role_says(world: World) -> None:
    role_id = await world.role(
        token_policies="app, ops",
        token_ttl="20m",
        token_max_ttl="1h",
        token_num_uses=5,
        token_bound_cidrs="127.0.0.0/8",
        token_explicit_max_ttl="2h",
        token_no_default_policy=True,
        token_type="service",
    )
    secret_id = await world.secret_id("web", metadata='{"host":"h1"}')
    auth = await world.login(f" {role_id} ", f" {secret_id} ")
    assert auth == Auth(
        policies=("app", "ops"),
        metadata={"host": "h1", "role_name": "web"},
        internal_data={"role_name": "web"},
        alias_name=role_id,
        ttl_ns=1200 * 10**9,
        max_ttl_ns=3600 * 10**9,
        explicit_max_ttl_ns=7200 * 10**9,
        num_uses=5,
        bound_cidrs=("127.0.0.0/8",),
        token_type="service",
        no_default_policy=True,
    )


async def test_an_unknown_role_and_a_wrong_secret_look_the_same(world: World) -> None:
    role_id = await world.role()
    secret_id = await world.secret_id("web")
    messages = set()
    for pair in (("nope", secret_id), (role_id, "nope"), (role_id, "x" * 5000), ("x" * 5000, "y")):
        with pytest.raises(InvalidRequestError) as caught:
            await world.login(*pair)
        messages.add(caught.value.message)
    assert messages == {INVALID}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "missing role_id"),
        ({"role_id": "  "}, "missing role_id"),
        ({"secret_id": "x"}, "missing role_id"),
        ({"role_id": ["x"]}, "Field validation failed"),
    ],
)
async def test_a_login_without_its_fields_says_which_is_missing(
    world: World, body: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        await world.call("update", "login", body)


async def test_a_role_without_a_secret_id_in_the_login_is_refused(world: World) -> None:
    role_id = await world.role()
    with pytest.raises(InvalidRequestError, match="missing secret_id"):
        await world.login(role_id)
    with pytest.raises(UnsupportedOperationError):
        await world.call("read", "login", {"role_id": role_id})


async def test_a_one_use_secret_id_logs_in_once_whoever_asks_at_the_same_time(
    world: World,
) -> None:
    role_id = await world.role(secret_id_num_uses=1)
    for _ in range(5):
        world.context.lockout.unlock(role_id)
        secret_id = await world.secret_id("web")
        tries = await asyncio.gather(
            *(world.login(role_id, secret_id) for _ in range(8)), return_exceptions=True
        )
        assert sum(isinstance(result, Auth) for result in tries) == 1
    assert await world.context.view.list("accessor/") == []


async def test_a_use_is_taken_durably_before_the_login_answers() -> None:
    class Watched(InMemStorage):
        applied = 0

        async def apply(self, operations: Any) -> None:
            await asyncio.sleep(0)
            await super().apply(operations)
            self.applied += 1

    storage = Watched()
    world = await new_world(storage)
    role_id = await world.role(secret_id_num_uses=2)
    secret_id = await world.secret_id("web")
    before = storage.applied
    await world.login(role_id, secret_id)
    assert storage.applied == before + 1
    again = World(world.barrier, world.clock)
    await again.login(role_id, secret_id)
    with pytest.raises(InvalidRequestError, match=INVALID):
        await World(world.barrier, world.clock).login(role_id, secret_id)


async def test_unlimited_logins_write_nothing_and_do_not_wait(world: World) -> None:
    role_id = await world.role()
    secret_id = await world.secret_id("web")
    await world.login(role_id, secret_id)
    auth = straight(world.login(role_id, secret_id))
    assert auth.alias_name == role_id


async def test_an_expired_secret_id_is_refused_without_waiting_for_a_sweep(world: World) -> None:
    role_id = await world.role(secret_id_ttl="10m")
    secret_id = await world.secret_id("web")
    world.clock.advance(599)
    await world.login(role_id, secret_id)
    world.clock.advance(1)
    with pytest.raises(InvalidRequestError, match=INVALID):
        await world.login(role_id, secret_id)
    assert await world.context.view.list("secret_id/") == []
    assert await world.context.view.list("accessor/") == []


async def test_source_addresses_bind_and_a_refused_address_burns_the_use(world: World) -> None:
    role_id = await world.role(secret_id_bound_cidrs="10.0.0.0/8", secret_id_num_uses=2)
    secret_id = await world.secret_id("web", cidr_list="10.1.0.0/16")
    for address, message in (
        ("10.2.0.1", "unauthorized through CIDR restrictions on the secret ID"),
        ("127.0.0.1", "unauthorized through CIDR restrictions on the secret ID"),
        ("10.1.0.1", INVALID),
    ):
        with pytest.raises(InvalidRequestError, match=message):
            await world.login(role_id, secret_id, address)
    free = await world.secret_id("web")
    with pytest.raises(InvalidRequestError, match="unauthorized by CIDR restrictions on the role"):
        await world.login(role_id, free, "127.0.0.1")
    await world.login(role_id, free, "::ffff:10.9.9.9")


async def test_a_secret_id_that_is_wider_than_its_role_is_by_now_logs_nobody_in(
    world: World,
) -> None:
    role_id = await world.role(secret_id_bound_cidrs="10.0.0.0/8")
    secret_id = await world.secret_id("web", cidr_list="10.1.0.0/16")
    await world.login(role_id, secret_id, "10.1.2.3")
    await world.call("update", "role/web", {"secret_id_bound_cidrs": "10.1.2.0/24"})
    with pytest.raises(InternalEngineError, match="subset relationship"):
        await world.login(role_id, secret_id, "10.1.2.3")


async def test_a_secret_id_cannot_be_wider_than_its_role(world: World) -> None:
    await world.role(
        secret_id_bound_cidrs="10.0.0.0/8",
        token_bound_cidrs="10.0.0.0/8",
        secret_id_num_uses=3,
        secret_id_ttl="10m",
    )
    for fields, message in (
        ({"cidr_list": "11.0.0.0/16"}, "failed to verify subset relationship"),
        ({"cidr_list": "10.0.0.0/7"}, "failed to verify subset relationship"),
        ({"token_bound_cidrs": "8.8.8.8"}, "failed to verify subset relationship"),
        ({"cidr_list": "nope"}, "invalid CIDR address: nope"),
        ({"num_uses": 0}, "num_uses cannot be higher"),
        ({"num_uses": 4}, "num_uses cannot be higher"),
        ({"num_uses": -1}, "num_uses cannot be negative"),
        ({"ttl": 0}, "ttl cannot be longer"),
        ({"ttl": "11m"}, "ttl cannot be longer"),
        ({"ttl": -1}, "cannot be negative"),
        ({"metadata": "nope"}, "failed to parse metadata"),
        ({"metadata": '{"a":1}'}, "failed to parse metadata"),
    ):
        with pytest.raises(EngineError, match=message):
            await world.secret_id("web", **fields)
    assert await world.context.view.list("accessor/") == []
    answer = await world.show("role/web/secret-id", {"num_uses": 2, "ttl": "5m"}, "update")
    assert (answer["secret_id_num_uses"], answer["secret_id_ttl"]) == (2, 300)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ('{"a":"b"}', {"a": "b"}),
        ("k=v,k2=v2=x", {"k": "v", "k2": "v2=x"}),
        ("eyJhIjoiYiJ9", {"a": "b"}),
        ("", {}),
        (None, {}),
    ],
)
async def test_metadata_comes_in_several_forms(world: World, given: Any, read: Any) -> None:
    role_id = await world.role()
    secret_id = await world.secret_id("web", metadata=given)
    auth = await world.login(role_id, secret_id)
    assert auth.metadata == {**read, "role_name": "web"}


async def test_a_ttl_beyond_the_mounts_is_cut(world: World) -> None:
    await world.role()
    answer = await world.show("role/web/secret-id", {"ttl": "100000h"}, "update")
    assert answer["secret_id_ttl"] == 2_764_800


async def test_looking_up_shows_everything_but_the_secret(world: World) -> None:
    await world.role(secret_id_num_uses=3, secret_id_ttl="10m")
    made = await world.show("role/web/secret-id", {"metadata": '{"h":"1"}'}, "update")
    accessor, secret_id = made["secret_id_accessor"], made["secret_id"]
    by_id = await world.show("role/web/secret-id/lookup", {"secret_id": secret_id}, "update")
    by_accessor = await world.show(
        "role/web/secret-id-accessor/lookup", {"secret_id_accessor": accessor}, "update"
    )
    assert by_id == by_accessor
    assert by_id == {
        "cidr_list": [],
        "creation_time": "2027-01-15T08:00:00Z",
        "expiration_time": "2027-01-15T08:10:00Z",
        "last_updated_time": "2027-01-15T08:00:00Z",
        "metadata": {"h": "1"},
        "secret_id_accessor": accessor,
        "secret_id_num_uses": 3,
        "secret_id_ttl": 600,
        "token_bound_cidrs": [],
    }
    assert type(by_id["creation_time"]) is Timestamp
    listed = await world.show("role/web/secret-id/", operation="list")
    assert listed == {"keys": [accessor]}


async def test_unknown_secret_ids_and_accessors_answer_as_vault_does(world: World) -> None:
    await world.role()
    assert await world.call("update", "role/web/secret-id/lookup", {"secret_id": "x"}) is None
    assert await world.call("update", "role/web/secret-id/destroy", {"secret_id": "x"}) is None
    answer = await world.call(
        "update", "role/web/secret-id-accessor/lookup", {"secret_id_accessor": "x"}
    )
    assert answer is not None
    assert answer.status == 404
    assert "failed to find accessor entry" in str(answer.data)
    with pytest.raises(InternalEngineError, match="failed to find accessor entry"):
        await world.call(
            "update", "role/web/secret-id-accessor/destroy", {"secret_id_accessor": "x"}
        )
    for path in ("lookup", "destroy"):
        with pytest.raises(InvalidRequestError, match=r"missing secret_id$"):
            await world.call("update", f"role/web/secret-id/{path}", {})
        with pytest.raises(InvalidRequestError, match="missing secret_id_accessor"):
            await world.call("update", f"role/web/secret-id-accessor/{path}", {})
        with pytest.raises(InternalEngineError, match='role "no" does not exist'):
            await world.call("update", f"role/no/secret-id/{path}", {"secret_id": "x"})
    with pytest.raises(NotFoundInEngineError, match='role "no" does not exist'):
        await world.call("update", "role/no/secret-id", {})
    with pytest.raises(InvalidRequestError, match='role "no" does not exist'):
        await world.call("list", "role/no/secret-id/")
    assert await world.call("list", "role/web/secret-id/") is None


async def test_an_accessor_of_another_role_removes_nothing(world: World) -> None:
    role_id = await world.role()
    await world.role("other")
    made = await world.show("role/web/secret-id", {}, "update")
    body = {"secret_id_accessor": made["secret_id_accessor"]}
    with pytest.raises(PermissionDeniedError, match="invalid secret id accessor"):
        await world.call("update", "role/other/secret-id-accessor/destroy", body)
    await world.login(role_id, made["secret_id"])
    await world.call("delete", "role/web/secret-id-accessor/destroy", body)
    with pytest.raises(InvalidRequestError, match=INVALID):
        await world.login(role_id, made["secret_id"])


async def test_a_custom_secret_id_is_taken_once(world: World) -> None:
    role_id = await world.role()
    path, body = "role/web/custom-secret-id", {"secret_id": "mysecret"}
    assert (await world.show(path, body, "update"))["secret_id"] == "mysecret"
    with pytest.raises(InternalEngineError, match="SecretID is already registered"):
        await world.call("update", path, body)
    await world.login(role_id, "mysecret")
    with pytest.raises(InvalidRequestError, match="missing secret_id"):
        await world.call("update", path, {})
    with pytest.raises(InvalidRequestError, match="too long"):
        await world.call("update", path, {"secret_id": "x" * 4097})


async def test_a_secret_id_is_nowhere_in_storage() -> None:
    storage = InMemStorage()
    world = await new_world(storage)
    await world.role()
    await world.call("update", "role/web/custom-secret-id", {"secret_id": "hunter2-hunter2"})
    view = world.context.view
    (folder,) = await view.list("secret_id/")
    (name,) = await view.list(f"secret_id/{folder}")
    stored = await view.get(f"secret_id/{folder}{name}")
    assert stored is not None
    assert decode_secret_id(stored).secret_id_accessor
    assert b"hunter2" not in stored
    assert "hunter2" not in folder + name + str(await view.list("accessor/"))


async def test_a_secret_id_whose_accessor_is_gone_is_dead(world: World) -> None:
    role_id = await world.role()
    secret_id = await world.secret_id("web")
    (name,) = await world.context.view.list("accessor/")
    await world.context.view.delete(f"accessor/{name}")
    with pytest.raises(InvalidRequestError, match=INVALID):
        await world.login(role_id, secret_id)
    assert await world.context.view.list("secret_id/") == []


async def test_deleting_a_role_takes_its_secret_ids_and_its_name_is_free_again(
    world: World,
) -> None:
    role_id = await world.role()
    secret_id = await world.secret_id("web")
    await world.login(role_id, secret_id)
    await world.call("delete", "role/WEB")
    assert await world.call("read", "role/web") is None
    with pytest.raises(InvalidRequestError, match=INVALID):
        await world.login(role_id, secret_id)
    assert await world.context.view.list() == ["salt"]
    assert await world.call("delete", "role/web") is None
    again = await world.role(role_id=role_id)
    with pytest.raises(InvalidRequestError, match=INVALID):
        await world.login(again, secret_id)


async def test_two_roles_never_share_a_role_id(world: World) -> None:
    await world.role("one", role_id="fixed")
    await world.role("two")
    for path in ("role/two", "role/two/role-id", "role/three"):
        with pytest.raises(InternalEngineError, match="role_id already in use"):
            await world.call("update", path, {"role_id": "fixed"})
    assert await world.call("read", "role/three") is None
    await world.call("update", "role/one/role-id", {"role_id": "moved"})
    await world.call("update", "role/two/role-id", {"role_id": "fixed"})
    with pytest.raises(InvalidRequestError, match=INVALID):
        await world.login("unknown", "x")
    secret_id = await world.secret_id("two")
    assert (await world.login("fixed", secret_id)).metadata["role_name"] == "two"


async def test_of_two_roles_created_at_once_with_one_role_id_one_wins(world: World) -> None:
    results = await asyncio.gather(
        *(world.call("create", f"role/r{n}", {"role_id": "same"}) for n in range(4)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, InternalEngineError) for result in results) == 3
    assert len((await world.show("role/", operation="list"))["keys"]) == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"token_ttl": "2h", "token_max_ttl": "1h"}, "'token_ttl' cannot be greater than"),
        ({"token_ttl": "-1s"}, "cannot be negative"),
        ({"secret_id_ttl": -1}, "cannot be negative"),
        ({"secret_id_num_uses": -1}, "secret_id_num_uses cannot be negative"),
        ({"token_num_uses": -1}, "'token_num_uses' cannot be negative"),
        ({"token_type": "nope"}, "invalid 'token_type' value \"nope\""),
        ({"token_type": "batch", "token_num_uses": 3}, "limited use count"),
        ({"token_type": "batch", "token_period": 3}, "periodic tokens"),
        ({"token_period": "100000h"}, "greater than the backend's maximum lease TTL"),
        ({"secret_id_bound_cidrs": "nope"}, "invalid CIDR address: nope"),
        ({"secret_id_bound_cidrs": "127.0.0.1"}, "invalid CIDR address: 127.0.0.1"),
        ({"token_bound_cidrs": ["nope"]}, 'error parsing address "nope"'),
        ({"bind_secret_id": False}, "at least one constraint should be enabled on the role"),
        ({"bind_secret_id": "maybe"}, "Field validation failed"),
    ],
)
async def test_a_role_that_makes_no_sense_is_refused_and_not_stored(
    world: World, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(EngineError, match=message):
        await world.call("create", "role/bad", fields)
    assert await world.call("read", "role/bad") is None
    await world.role("good", token_ttl="1m")
    before = await world.show("role/good")
    with pytest.raises(EngineError, match=message):
        await world.call("update", "role/good", fields)
    assert await world.show("role/good") == before


async def test_answers_with_warnings_only_when_there_is_something_to_say(world: World) -> None:
    assert await world.call("create", "role/a", {"token_ttl": "1h", "unknown": 1}) is None
    for fields, text in (
        ({"token_type": "default-service"}, "adjusting to service"),
        ({"token_max_ttl": "100000h"}, "greater than the backend mount's maximum TTL"),
    ):
        answer = await world.call("update", "role/a", fields)
        assert answer is not None
        assert text in answer.warnings[0]
    assert (await world.show("role/a"))["token_type"] == "service"


async def test_old_field_names_still_work_and_show_up(world: World) -> None:
    await world.role(policies="a,b", period="1h", bound_cidr_list="10.0.0.0/8")
    role = await world.show("role/web")
    assert (role["policies"], role["token_policies"]) == (["a", "b"], ["a", "b"])
    assert (role["period"], role["token_period"]) == (3600, 3600)
    assert role["secret_id_bound_cidrs"] == ["10.0.0.0/8"]
    await world.call("update", "role/web", {"token_policies": ["c"], "token_period": 60})
    role = await world.show("role/web")
    assert "policies" not in role
    assert "period" not in role
    assert (role["token_policies"], role["token_period"]) == (["c"], 60)


@pytest.mark.parametrize(
    ("path", "body", "read", "reset"),
    [
        ("policies", {"token_policies": "x"}, {"token_policies": ["x"]}, {"token_policies": []}),
        ("period", {"token_period": 60}, {"token_period": 60}, {"token_period": 0}),
        ("token-ttl", {"token_ttl": "1m"}, {"token_ttl": 60}, {"token_ttl": 0}),
        ("token-max-ttl", {"token_max_ttl": 90}, {"token_max_ttl": 90}, {"token_max_ttl": 0}),
        ("token-num-uses", {"token_num_uses": 2}, {"token_num_uses": 2}, {"token_num_uses": 0}),
        ("secret-id-ttl", {"secret_id_ttl": 9}, {"secret_id_ttl": 9}, {"secret_id_ttl": 0}),
        (
            "secret-id-num-uses",
            {"secret_id_num_uses": 2},
            {"secret_id_num_uses": 2},
            {"secret_id_num_uses": 0},
        ),
        (
            "secret-id-bound-cidrs",
            {"secret_id_bound_cidrs": "10.0.0.0/8"},
            {"secret_id_bound_cidrs": ["10.0.0.0/8"]},
            {"secret_id_bound_cidrs": None},
        ),
        (
            "token-bound-cidrs",
            {"token_bound_cidrs": "10.0.0.1/32,10.0.0.0/8"},
            {"token_bound_cidrs": ["10.0.0.1", "10.0.0.0/8"]},
            {"token_bound_cidrs": None},
        ),
        (
            "bind-secret-id",
            {"bind_secret_id": True},
            {"bind_secret_id": True},
            {"bind_secret_id": True},
        ),
    ],
)
async def test_each_single_field_can_be_read_written_and_reset(
    world: World, path: str, body: dict[str, Any], read: dict[str, Any], reset: dict[str, Any]
) -> None:
    await world.role()
    assert await world.call("update", f"role/web/{path}", body) is None
    assert await world.show(f"role/web/{path}") == read
    assert await world.call("delete", f"role/web/{path}") is None
    assert await world.show(f"role/web/{path}") == reset
    assert await world.call("read", f"role/no/{path}") is None
    assert await world.call("delete", f"role/no/{path}") is None
    with pytest.raises(NotFoundInEngineError, match="unsupported path"):
        await world.call("update", f"role/no/{path}", body)


async def test_a_single_field_without_its_value_says_what_is_missing(world: World) -> None:
    await world.role()
    for path, name in (("token-ttl", "token_ttl"), ("period", "period"), ("role-id", "role_id")):
        with pytest.raises(InvalidRequestError, match=f"missing {name}"):
            await world.call("update", f"role/web/{path}", {})
    assert await world.show("role/web/local-secret-ids") == {"local_secret_ids": False}
    for operation, path in (("update", "local-secret-ids"), ("delete", "role-id")):
        with pytest.raises(UnsupportedOperationError):
            await world.call(operation, f"role/web/{path}", {"local_secret_ids": True})


async def test_the_last_constraint_of_a_role_cannot_be_taken_away(world: World) -> None:
    await world.role("open", bind_secret_id=False, token_bound_cidrs="127.0.0.1/32")
    for call in (
        world.call("delete", "role/open/token-bound-cidrs"),
        world.call("update", "role/open", {"token_bound_cidrs": ""}),
    ):
        with pytest.raises(InternalEngineError, match="at least one constraint"):
            await call
    assert (await world.show("role/open"))["token_bound_cidrs"] == ["127.0.0.1"]


async def test_a_role_without_secret_ids_logs_in_by_role_id_alone(world: World) -> None:
    role_id = await world.role("open", bind_secret_id=False, secret_id_bound_cidrs="127.0.0.0/8")
    assert (await world.login(role_id)).metadata == {"role_name": "open"}
    with pytest.raises(InvalidRequestError, match="unauthorized by CIDR"):
        await world.login(role_id, address="10.0.0.1")
    with pytest.raises(InvalidRequestError, match="bind_secret_id is not set on the role"):
        await world.secret_id("open")


async def test_local_secret_ids_are_chosen_at_creation_and_live_apart(world: World) -> None:
    role_id = await world.role("loc", local_secret_ids=True)
    with pytest.raises(InvalidRequestError, match="can only be modified during role creation"):
        await world.call("update", "role/loc", {"local_secret_ids": False})
    secret_id = await world.secret_id("loc")
    await world.login(role_id, secret_id)
    view = world.context.view
    assert await view.list("secret_id/") == []
    assert len(await view.list("secret_id_local/")) == len(await view.list("accessor_local/")) == 1


async def test_a_renewal_follows_the_role_as_it_is_now(world: World) -> None:
    role_id = await world.role(token_ttl="1h", token_max_ttl="2h")
    auth = await world.login(role_id, await world.secret_id("web"))
    await world.call("update", "role/web", {"token_ttl": "10m", "token_max_ttl": "30m"})
    renewed = await world.backend.renew(auth)
    assert (renewed.ttl_ns, renewed.max_ttl_ns) == (600 * 10**9, 1800 * 10**9)
    await world.call("delete", "role/web")
    with pytest.raises(InvalidRequestError, match="does not exist during renewal"):
        await world.backend.renew(auth)
    with pytest.raises(InvalidRequestError, match="failed to fetch role_name"):
        await world.backend.renew(Auth())


async def test_a_sweep_removes_the_dead_and_leaves_the_living(world: World) -> None:
    role_id = await world.role()
    short = [await world.secret_id("web", ttl=60) for _ in range(3)]
    long = await world.secret_id("web", ttl=600)
    endless = await world.secret_id("web")
    dangling = f"accessor/{'0' * 64}"
    await world.context.view.put(dangling, b'{"secret_id_hmac":"nothing"}\n')
    world.clock.advance(61)
    assert await world.backend.sweep() == len(short)
    assert len(await world.context.view.list("accessor/")) == 2
    for secret_id in (long, endless):
        await world.login(role_id, secret_id)
    assert await world.backend.sweep() == 0


async def test_a_sweep_and_registrations_at_once_lose_nothing(world: World) -> None:
    role_id = await world.role()
    made, _ = await asyncio.gather(
        asyncio.gather(*(world.secret_id("web") for _ in range(20))),
        asyncio.gather(*(world.backend.sweep() for _ in range(5))),
    )
    await world.backend.sweep()
    for secret_id in made:
        await world.login(role_id, secret_id)


async def test_tidy_answers_at_once_and_sweeps_in_the_background(world: World) -> None:
    await world.role()
    await world.secret_id("web", ttl=60)
    world.clock.advance(61)
    await world.backend.start()
    try:
        answer = await world.call("update", "tidy/secret-id")
        assert answer is not None
        assert answer.status == 202
        assert "Tidy operation successfully started" in answer.warnings[0]
        for _ in range(200):
            if not await world.context.view.list("accessor/"):
                break
            await asyncio.sleep(0.01)
        assert await world.context.view.list("accessor/") == []
    finally:
        await world.backend.stop()


async def test_names_that_are_no_names_have_no_path(world: World) -> None:
    for path in ("role/-bad", "role/x/y/z", "nope", "role/web/nope"):
        with pytest.raises(NotFoundInEngineError, match="unsupported path"):
            await world.call("update", path, {})
    await world.role("a.b-c_d")
    assert await world.backend.exists(request("update", "role/a.b-c_d")) is True
    assert await world.backend.exists(request("update", "role/new")) is False
    assert await world.backend.exists(request("update", "role/new/secret-id")) is None
    assert await world.backend.exists(request("update", "login")) is None


class GatedStorage(InMemStorage):
    """Reads and writes that wait, when told to, for an event; writes go one by one."""

    reads: asyncio.Event | None = None
    writes: asyncio.Event | None = None
    arrived: asyncio.Event

    def __init__(self) -> None:
        super().__init__()
        self.arrived = asyncio.Event()

    async def get(self, key: str) -> bytes | None:
        value = await super().get(key)
        if self.reads is not None:
            self.arrived.set()
            await self.reads.wait()
        return value

    async def apply(self, operations: Sequence[StorageOperation]) -> None:
        for number, operation in enumerate(operations):
            if number and self.writes is not None:
                self.arrived.set()
                await self.writes.wait()
            await super().apply([operation])


async def test_a_slow_read_of_a_role_never_keeps_what_was_replaced_meanwhile() -> None:
    storage = GatedStorage()
    world = await new_world(storage)
    await world.role(token_ttl="1m")
    again = World(world.barrier, world.clock)
    await again.backend._store.salt()
    held = storage.reads = asyncio.Event()
    reading = asyncio.create_task(again.show("role/web"))
    await storage.arrived.wait()
    storage.reads = None
    await again.call("update", "role/web", {"token_ttl": "2m"})
    held.set()
    assert (await reading)["token_ttl"] == 60
    assert (await again.show("role/web"))["token_ttl"] == 120


async def test_a_role_id_that_was_looked_up_while_its_role_went_is_free_again() -> None:
    storage = GatedStorage()
    world = await new_world(storage)
    await world.role(role_id="freed")
    again = World(world.barrier, world.clock)
    await again.show("role/web")
    await again.backend._store.salt()
    held = storage.reads = asyncio.Event()
    slow = asyncio.create_task(again.login("freed", "x"))
    await storage.arrived.wait()
    storage.reads = None
    await again.call("delete", "role/web")
    held.set()
    with pytest.raises(InvalidRequestError, match=INVALID):
        await slow
    assert await again.role("heir", role_id="freed") == "freed"


async def test_a_login_that_was_being_checked_when_its_role_id_was_locked_is_refused() -> None:
    storage = GatedStorage()
    world = await new_world(storage)
    role_id = await world.role()
    secret_id = await world.secret_id("web")
    held = storage.reads = asyncio.Event()
    slow = asyncio.create_task(world.login(role_id, secret_id))
    await storage.arrived.wait()
    for _ in range(5):
        world.context.lockout.failed(role_id)
    held.set()
    with pytest.raises(PermissionDeniedError):
        await slow


async def test_a_role_that_is_being_deleted_gives_no_more_logins() -> None:
    storage = GatedStorage()
    world = await new_world(storage)
    role_id = await world.role()
    secret_ids = [await world.secret_id("web") for _ in range(3)]
    held = storage.writes = asyncio.Event()
    deleting = asyncio.create_task(world.call("delete", "role/web"))
    await storage.arrived.wait()
    logins = [asyncio.create_task(world.login(role_id, one)) for one in secret_ids]
    await asyncio.sleep(0)
    held.set()
    outcomes = await asyncio.gather(*logins, return_exceptions=True)
    await deleting
    assert [type(outcome) for outcome in outcomes] == [WrongCredentialsError] * 3


async def test_a_sweep_leaves_the_accessor_of_a_secret_id_that_is_just_being_stored() -> None:
    storage = GatedStorage()
    world = await new_world(storage)
    role_id = await world.role()
    held = storage.writes = asyncio.Event()
    storing = asyncio.create_task(world.secret_id("web"))
    await storage.arrived.wait()
    assert await world.backend.sweep() == 0
    held.set()
    await world.login(role_id, await storing)


async def test_role_names_are_plain_letters(world: World) -> None:
    with pytest.raises(NotFoundInEngineError, match="unsupported path"):
        await world.call("create", "role/роль", {})


@pytest.mark.parametrize("known", [True, False])
async def test_five_bad_logins_lock_a_role_id_whether_there_is_such_a_role_or_not(
    world: World, known: bool
) -> None:
    role_id = await world.role() if known else "nobody"
    secret_id = await world.secret_id("web") if known else "x"
    for _ in range(5):
        with pytest.raises(InvalidRequestError, match=INVALID):
            await world.login(role_id, "wrong")
    with pytest.raises(PermissionDeniedError):
        await world.login(role_id, secret_id)
    world.clock.advance(15 * 60)
    if known:
        await world.login(role_id, secret_id)
