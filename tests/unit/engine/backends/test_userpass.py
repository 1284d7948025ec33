"""Userpass, one law a test: users, and who may log in with what."""

import asyncio
import base64
from typing import Any

import bcrypt
import pytest

from tests.support.opened import context_for, fresh_barrier, request
from zvault.barrier.barrier import Barrier
from zvault.base.clock import ManualClock
from zvault.engine.api import Auth, Response
from zvault.engine.backends.userpass import backend as userpass
from zvault.engine.backends.userpass import passwords as userpass_passwords
from zvault.engine.errors import (
    InternalEngineError,
    InvalidRequestError,
    NotFoundInEngineError,
    PermissionDeniedError,
    UnsupportedOperationError,
)
from zvault.records.mounts import AUTH, MountEntry
from zvault.records.userpass import decode_user

ENTRY = MountEntry(path="userpass/", type="userpass", table=AUTH, uuid="u")
INVALID = "invalid username or password"


class World:
    """One mount on a fresh store, and short words for its calls."""

    def __init__(self, barrier: Barrier, clock: ManualClock) -> None:
        self.barrier = barrier
        self.clock = clock
        self.context = context_for(barrier, ENTRY, clock)
        self.backend = userpass.make(self.context)

    async def call(self, operation: str, path: str, data: Any = None) -> Response | None:
        return await self.backend.handle(request(operation, path, data))

    async def user(self, name: str = "bob", **fields: Any) -> None:
        fields.setdefault("password", "pw")
        assert await self.call("update", f"users/{name}", fields) is None

    async def show(self, name: str = "bob") -> dict[str, Any]:
        answer = await self.call("read", f"users/{name}")
        assert answer is not None
        assert answer.data is not None
        return answer.data

    async def login(
        self, name: str = "bob", password: Any = "pw", address: str = "127.0.0.1"
    ) -> Auth:
        body = {"password": password}
        made = request("update", f"login/{name}", body, token=None, remote_address=address)
        answer = await self.backend.handle(made)
        assert answer is not None
        assert answer.auth is not None
        return answer.auth

    async def stored(self, name: str = "bob") -> bytes:
        content = await self.barrier.get(f"auth/u/user/{name}")
        assert content is not None
        return content


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(userpass_passwords, "COST", 4)
    clock = ManualClock()
    made = World(await fresh_barrier(None, clock), clock)
    yield made
    await made.backend.stop()


async def refused(world: World, name: str = "bob", password: Any = "pw", **more: Any) -> str:
    with pytest.raises(InvalidRequestError) as caught:
        await world.login(name, password, **more)
    return caught.value.messages[0]


async def test_a_login_gives_what_the_user_says(world: World) -> None:
    await world.user(
        token_policies="app, ops",
        token_ttl="20m",
        token_max_ttl="1h",
        token_num_uses=5,
        token_bound_cidrs="127.0.0.0/8",
        token_explicit_max_ttl="2h",
        token_no_default_policy=True,
        token_type="service",
    )
    assert await world.login("BOB") == Auth(
        policies=("app", "ops"),
        metadata={"username": "bob"},
        display_name="bob",
        alias_name="bob",
        alias_metadata={},
        ttl_ns=1200 * 10**9,
        max_ttl_ns=3600 * 10**9,
        explicit_max_ttl_ns=7200 * 10**9,
        num_uses=5,
        bound_cidrs=("127.0.0.0/8",),
        token_type="service",
        no_default_policy=True,
    )


async def test_the_password_is_stored_as_vaults_bcrypt_and_never_shown(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    await world.user(password="geheim")
    content = await world.stored()
    kept = base64.b64decode(decode_user(content).password_hash)
    assert kept.startswith(b"$2a$10$")
    assert bcrypt.checkpw(b"geheim", kept)
    assert b"geheim" not in content
    assert not any("hash" in key.lower() or key == "password" for key in await world.show())
    assert "$2a$" not in repr(decode_user(content))


async def test_a_wrong_password_and_an_unknown_user_are_told_apart_by_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[int] = []
    check = userpass_passwords._check

    def counted(plain: bytes, known: bytes) -> bool:
        checked.append(len(known))
        return check(plain, known)

    monkeypatch.setattr(userpass_passwords, "_check", counted)
    await world.user()
    assert await refused(world, "bob", "no") == INVALID
    assert await refused(world, "nobody", "no") == INVALID
    assert checked == [60, 60]
    for _ in range(4):
        await refused(world, "bob", "no")
        await refused(world, "nobody", "no")
    for name in ("bob", "nobody"):
        with pytest.raises(PermissionDeniedError):
            await world.login(name, "no")


@pytest.mark.parametrize("password", ["", "PW", "pw ", "pw\0", "x" * 80, "\ud800"])
async def test_only_the_password_lets_in(world: World, password: str) -> None:
    await world.user()
    with pytest.raises((InvalidRequestError, InternalEngineError)):
        await world.login("bob", password)
    assert (await world.login()).alias_name == "bob"


async def test_no_password_ever_fits_nobody(world: World) -> None:
    """The hash that is checked instead of a missing one opens nothing, even when its password
    is guessed."""
    known = bcrypt.hashpw(b"guessed", bcrypt.gensalt(4, b"2a"))
    before, userpass_passwords._NOBODY = userpass_passwords._NOBODY, known
    try:
        assert await refused(world, "nobody", "guessed") == INVALID
    finally:
        userpass_passwords._NOBODY = before


async def test_five_bad_logins_lock_the_name_in_any_case_for_a_while(world: World) -> None:
    await world.user()
    for name in ("bob", "BOB", "Bob", "bOb", "boB"):
        assert await refused(world, name, "no") == INVALID
    for name in ("bob", "BOB"):
        with pytest.raises(PermissionDeniedError):
            await world.login(name)
    world.clock.advance(15 * 60)
    await world.login()


async def test_many_guesses_at_once_are_no_more_than_five(world: World) -> None:
    """The right one among a hundred that arrive together does not slip through the lock."""
    await world.user()

    async def attempt(password: str) -> str:
        try:
            await world.login("bob", password)
        except InvalidRequestError:
            return "wrong"
        except PermissionDeniedError:
            return "locked"
        return "in"

    outcomes = await asyncio.gather(*[attempt(f"no{n}") for n in range(40)], attempt("pw"))
    assert outcomes[-1] == "locked"
    assert outcomes.count("in") == 0


async def test_a_source_address_outside_the_blocks_is_refused_after_the_password(
    world: World,
) -> None:
    await world.user(token_bound_cidrs="10.0.0.0/8")
    with pytest.raises(PermissionDeniedError):
        await world.login()
    assert await refused(world, password="no") == INVALID
    assert (await world.login(address="10.1.2.3")).bound_cidrs == ("10.0.0.0/8",)


async def test_the_password_from_a_refused_address_forgives_no_guesses(world: World) -> None:
    await world.user(token_bound_cidrs="10.0.0.0/8")
    for _ in range(4):
        await refused(world, password="no", address="10.0.0.1")
    with pytest.raises(PermissionDeniedError):
        await world.login(address="127.0.0.1")
    await refused(world, password="no", address="10.0.0.1")
    with pytest.raises(PermissionDeniedError):
        await world.login(address="10.0.0.1")


async def test_old_names_set_both_and_new_ones_clear_the_old(world: World) -> None:
    await world.user(policies="a,B, a", ttl="10s", max_ttl="1h", bound_cidrs="127.0.0.1/32")
    shown = await world.show()
    assert shown["policies"] == shown["token_policies"] == ["a", "b"]
    assert (shown["ttl"], shown["token_ttl"]) == (10, 10)
    assert (shown["max_ttl"], shown["token_max_ttl"]) == (3600, 3600)
    assert shown["bound_cidrs"] == shown["token_bound_cidrs"] == ["127.0.0.1"]
    await world.call("update", "users/bob", {"token_ttl": 0, "token_policies": []})
    shown = await world.show()
    assert (shown["token_ttl"], shown["token_policies"]) == (0, [])
    assert "ttl" not in shown
    assert "policies" not in shown
    assert (await world.login()).policies == ()


async def test_a_change_without_password_keeps_the_password(world: World) -> None:
    await world.user()
    await world.call("update", "users/bob", {"token_policies": "x"})
    assert (await world.login()).policies == ("x",)
    await world.call("update", "users/BOB/password", {"password": "new"})
    await refused(world)
    await world.call("update", "users/bob/policies", {"policies": "m,n"})
    assert (await world.login(password="new")).policies == ("m", "n")


async def test_users_are_listed_removed_and_then_unknown(world: World) -> None:
    assert await world.call("list", "users/") is None
    await world.user("Bob")
    await world.user("ann")
    listed = await world.call("list", "users/")
    assert listed is not None
    assert listed.data == {"keys": ["ann", "bob"]}
    await world.call("delete", "users/BOB")
    await world.call("delete", "users/BOB")
    assert await world.call("read", "users/bob") is None
    assert await refused(world) == INVALID


async def test_a_user_needs_a_password_or_a_hash_but_not_both(world: World) -> None:
    good = bcrypt.hashpw(b"pw", bcrypt.gensalt(5, b"2b")).decode()
    for body in ({}, {"password": ""}, {"password": "a", "password_hash": good}):
        with pytest.raises(InvalidRequestError):
            await world.call("update", "users/bob", body)
    cheap = bcrypt.hashpw(b"pw", bcrypt.gensalt(4)).decode()
    for text in ("zz", good[:-1], cheap, good.replace("$05$", "$31$")):
        with pytest.raises(InvalidRequestError):
            await world.call("update", "users/bob", {"password_hash": text})
    assert await world.call("read", "users/bob") is None
    await world.call("update", "users/bob", {"password_hash": good})
    await world.login()


async def test_a_password_longer_than_bcrypt_reads_is_not_taken(world: World) -> None:
    with pytest.raises(InternalEngineError):
        await world.user(password="x" * 73)
    await world.user(password="x" * 72)
    await world.login(password="x" * 72)


@pytest.mark.parametrize("stored", ["", "!!", base64.b64encode(b"plain").decode()])
async def test_a_hash_that_is_none_lets_nobody_in(world: World, stored: str) -> None:
    await world.user()
    content = (await world.stored()).replace(
        decode_user(await world.stored()).password_hash.encode(), stored.encode()
    )
    await world.context.view.put("user/bob", content)
    for password in ("pw", "plain", stored or "x"):
        assert await refused(world, password=password) == INVALID


async def test_clear_text_of_an_ancient_store_still_logs_in_and_is_replaced(world: World) -> None:
    await world.context.view.put("user/old", b'{"Password":"alt","PasswordHash":null}\n')
    await refused(world, "old", "neu")
    await world.login("old", "alt")
    await world.call("update", "users/old/password", {"password": "neu"})
    assert b"alt" not in await world.stored("old")
    await refused(world, "old", "alt")
    await world.login("old", "neu")


async def test_a_renewal_follows_the_user_and_ends_with_new_policies(world: World) -> None:
    await world.user(token_policies="a", token_ttl=60)
    auth = await world.login()
    await world.call("update", "users/bob", {"token_ttl": 30, "token_policies": ["A", "default"]})
    assert (await world.backend.renew(auth)).ttl_ns == 30 * 10**9
    await world.call("update", "users/bob", {"token_policies": "a,b"})
    with pytest.raises(InternalEngineError, match="policies have changed"):
        await world.backend.renew(auth)
    await world.call("delete", "users/bob")
    with pytest.raises(InvalidRequestError):
        await world.backend.renew(auth)


async def test_paths_are_those_of_vault(world: World) -> None:
    assert await world.backend.exists(request("update", "users/bob")) is False
    await world.user()
    assert await world.backend.exists(request("update", "users/BOB")) is True
    assert await world.backend.exists(request("update", "login/bob")) is None
    for path in ("users/a@b", "users/-x", "login/a@b", "login/", "nope", "users/bob/"):
        with pytest.raises(NotFoundInEngineError):
            await world.call("update", path, {"password": "x"})
    for operation, path in (("read", "users/"), ("read", "login/bob"), ("patch", "users/bob")):
        with pytest.raises(UnsupportedOperationError):
            await world.call(operation, path)


async def test_a_token_is_bound_to_its_address_where_openbao_was_told_so(world: World) -> None:
    await world.user(token_bound_cidrs="127.0.0.0/8")
    strict = (await world.stored()).replace(b"{", b'{"token_strictly_bind_ip":true,', 1)
    await world.context.view.put("user/bob", strict)
    assert (await world.login(address="127.0.0.9")).bound_cidrs == ("127.0.0.9",)
    await world.call("update", "users/bob", {"token_ttl": 5})
    assert (await world.login(address="127.0.0.8")).bound_cidrs == ("127.0.0.8",)
