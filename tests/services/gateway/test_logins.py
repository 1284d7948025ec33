"""Logging in over a real OpenBao, PostgreSQL and Redis."""

import asyncio
import base64
import datetime
import json
import secrets
import threading
from typing import Any, cast

import httpx
import jwt
import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, select

from tests.services.gateway.stand import PASSWORD, GatewayStand
from zakupai_common.secret import Secret
from zakupai_gateway import credentials, sessions
from zakupai_gateway.passwords import AT_ONCE, WAITING, Passwords


def kind(answer: httpx.Response) -> str:
    return str(answer.json()["type"]).removeprefix("urn:zakupai:problem:")


def tg_id_of(email: str) -> int:
    return int(email.partition("@")[0].removeprefix("u"))


def user_of(email: str) -> str:
    return f"user-{tg_id_of(email)}"


async def refresh(stand: GatewayStand, token: str) -> httpx.Response:
    return await stand.client.post("/auth/refresh", json={"refresh_token": token})


async def test_a_login_reaches_a_service_under_the_users_own_name(stand: GatewayStand) -> None:
    email = await stand.user(scopes=("billing:admin",))
    answer = await stand.client.get("/api/calc/history?limit=5", headers=await stand.bearer(email))
    assert answer.status_code == 200
    assert answer.json() == {
        "user": user_of(email),
        "plan": "free",
        "scopes": ["billing:admin"],
        "target": "/history?limit=5",
        "length": 0,
    }
    [seen] = stand.calc.seen
    assert seen.caller.request_id == answer.headers["x-request-id"]
    assert seen.header("authorization") == []


async def test_a_token_can_be_checked_by_anybody_with_the_published_keys(
    stand: GatewayStand,
) -> None:
    token = (await stand.login())["access_token"]
    published = await stand.client.get("/.well-known/jwks.json")
    assert "max-age" in published.headers["cache-control"]
    assert not any("d" in key for key in published.json()["keys"])
    keys = jwt.PyJWKSet.from_dict(published.json())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    content = jwt.decode(
        token, key, algorithms=["ES256"], audience="zakupai", issuer="zakupai-gateway"
    )
    assert content["exp"] - content["iat"] == 600


@pytest.mark.parametrize("wrong", ["password", "email"])
async def test_a_wrong_password_and_an_unknown_name_get_one_answer(
    stand: GatewayStand, wrong: str
) -> None:
    right = {"email": await stand.user(), "password": PASSWORD}
    changed = {"email": "nobody@example.kz", "password": PASSWORD + "!"}
    answer = await stand.client.post("/auth/login", json={**right, wrong: changed[wrong]})
    assert (answer.status_code, kind(answer)) == (401, "login-refused")
    upper = {**right, "email": right["email"].upper()}
    assert (await stand.client.post("/auth/login", json=upper)).status_code == 200


async def test_an_unknown_name_costs_the_hash_that_a_known_one_costs() -> None:
    """Otherwise the time of an answer tells who is known."""
    verified: list[str] = []

    class Noting(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # noqa: A002
            verified.append(str(hash))
            return super().verify(hash, password)

    hasher = Noting(time_cost=1, memory_cost=1024, parallelism=1)
    passwords = Passwords(hasher)
    try:
        kept = await passwords.hash(Secret(PASSWORD))
        assert await passwords.matches(kept, Secret(PASSWORD))
        for guess in (PASSWORD, "the password of nobody"):
            assert not await passwords.matches(None, Secret(guess))
    finally:
        passwords.close()
    assert len(verified) == 3
    assert not any(hasher.check_needs_rehash(one) for one in verified)


async def test_an_answer_to_a_wrong_login_repeats_nothing(stand: GatewayStand) -> None:
    asked = {"email": "x", "password": "very-secret-" + "x" * 300, "more": "surprise"}
    answer = await stand.client.post("/auth/login", json=asked)
    assert answer.status_code == 422
    assert "very-secret" not in answer.text


async def test_a_refresh_token_works_once_and_its_second_use_ends_the_session(
    stand: GatewayStand,
) -> None:
    first = await stand.login()
    second = (await refresh(stand, first["refresh_token"])).json()
    third = (await refresh(stand, second["refresh_token"])).json()
    replayed = await refresh(stand, first["refresh_token"])
    assert (replayed.status_code, kind(replayed)) == (401, "refresh-reused")
    after = await refresh(stand, third["refresh_token"])
    assert (after.status_code, kind(after)) == (401, "refresh-refused")


async def test_of_many_uses_at_one_moment_one_wins_and_the_session_is_over(
    stand: GatewayStand,
) -> None:
    token = (await stand.login())["refresh_token"]
    answers = await asyncio.gather(*(refresh(stand, token) for _ in range(12)))
    won = [one for one in answers if one.status_code == 200]
    assert len(won) <= 1
    assert {one.status_code for one in answers} <= {200, 401}
    for pair in won:
        assert (await refresh(stand, pair.json()["refresh_token"])).status_code == 401


async def test_no_answer_with_a_token_is_cached(stand: GatewayStand) -> None:
    asked = {"email": await stand.user(), "password": PASSWORD}
    login = await stand.client.post("/auth/login", json=asked)
    for answer in (login, await refresh(stand, login.json()["refresh_token"])):
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")


async def test_when_too_many_passwords_wait_the_next_is_told_to_come_again(
    stand: GatewayStand,
) -> None:
    passwords, go_on = stand.gateway.logins._passwords, threading.Event()
    asked = {"email": await stand.user(), "password": PASSWORD}

    class Slow:
        def verify(self, *_: object) -> bool:
            return go_on.wait(60)

    quick, passwords._hasher = passwords._hasher, cast("Any", Slow())
    waiting = [
        asyncio.create_task(passwords.matches("kept", Secret(PASSWORD)))
        for _ in range(AT_ONCE + WAITING)
    ]
    try:
        await asyncio.sleep(0)
        busy = await stand.client.post("/auth/login", json=asked)
        assert (busy.status_code, kind(busy)) == (503, "logins-busy")
        assert busy.headers["retry-after"] == "2"
    finally:
        go_on.set()
        await asyncio.gather(*waiting)
    passwords._hasher = quick
    assert (await stand.client.post("/auth/login", json=asked)).status_code == 200


async def test_a_log_out_ends_the_session_and_only_this_one(stand: GatewayStand) -> None:
    email = await stand.user()
    one, other = await stand.login(email), await stand.login(email)
    asked = {"refresh_token": one["refresh_token"]}
    assert (await stand.client.post("/auth/logout", json=asked)).status_code == 204
    assert (await refresh(stand, one["refresh_token"])).status_code == 401
    assert (await refresh(stand, other["refresh_token"])).status_code == 200
    unknown = {"refresh_token": "zr_" + "x" * 43}
    assert (await stand.client.post("/auth/logout", json=unknown)).status_code == 204


async def test_a_session_keeps_the_first_reason_of_its_end(stand: GatewayStand) -> None:
    """Who logs out of a session that was ended for a reuse must not wipe that away."""
    email = await stand.user()
    reused, left = await stand.login(email), await stand.login(email)
    again = (await refresh(stand, reused["refresh_token"])).json()
    assert (await refresh(stand, reused["refresh_token"])).status_code == 401
    for pair in (again, left):
        asked = {"refresh_token": pair["refresh_token"]}
        assert (await stand.client.post("/auth/logout", json=asked)).status_code == 204
    invitation, _ = await stand.gateway.logins.invite(tg_id_of(email), email)
    open_still = await stand.login(email)
    chosen = {"invitation": invitation.reveal(), "password": "another-good-password"}
    assert (await stand.client.post("/auth/password", json=chosen)).status_code == 204
    assert (await refresh(stand, open_still["refresh_token"])).status_code == 401
    its = sessions.SESSIONS.c
    query = select(its.ended_because).where(its.user_id == user_of(email)).order_by(its.created_at)
    async with stand.parts.database.begin() as connection:
        assert list(await connection.scalars(query)) == ["reuse", "logout", "password"]


async def test_a_second_login_leaves_the_first_alone_and_takes_away_what_has_ended(
    stand: GatewayStand,
) -> None:
    now = datetime.datetime.now(datetime.UTC)
    stand.parts.clock = lambda: now
    email = await stand.user()
    first = await stand.login(email)
    await stand.login(email)
    assert (await refresh(stand, first["refresh_token"])).status_code == 200
    now += datetime.timedelta(days=91)
    await stand.login(email)
    async with stand.parts.database.begin() as connection:
        query = select(func.count()).where(sessions.SESSIONS.c.user_id == user_of(email))
        assert await connection.scalar(query) == 1


async def test_a_refresh_token_ends_after_two_weeks_and_a_session_after_ninety_days(
    stand: GatewayStand,
) -> None:
    now = datetime.datetime.now(datetime.UTC)
    stand.parts.clock = lambda: now
    email = await stand.user()
    idle = (await stand.login(email))["refresh_token"]
    kept = (await stand.login(email))["refresh_token"]
    ends = now + datetime.timedelta(days=90)
    for _ in range(6):
        now += datetime.timedelta(days=13)
        pair = (await refresh(stand, kept)).json()
        kept = pair["refresh_token"]
        told = datetime.datetime.fromisoformat(pair["refresh_expires_at"])
        assert told == min(now + datetime.timedelta(days=14), ends)
    assert (await refresh(stand, idle)).status_code == 401
    now += datetime.timedelta(days=13)
    assert (await refresh(stand, kept)).status_code == 401


async def test_a_blocked_user_gets_no_token_any_more(stand: GatewayStand) -> None:
    email = await stand.user()
    pair = await stand.login(email)
    for account in stand.billing.accounts.values():
        account["status"] = "blocked"
    refused = await refresh(stand, pair["refresh_token"])
    assert (refused.status_code, kind(refused)) == (403, "user-blocked")
    asked = {"email": email, "password": PASSWORD}
    assert (await stand.client.post("/auth/login", json=asked)).status_code == 403
    for account in stand.billing.accounts.values():
        account["status"] = "active"
    assert (await refresh(stand, pair["refresh_token"])).status_code == 200


async def test_while_billing_is_away_nobody_logs_in_and_no_refresh_token_is_lost(
    stand: GatewayStand,
) -> None:
    email = await stand.user()
    pair = await stand.login(email)
    stand.billing.fails = True
    asked = {"email": email, "password": PASSWORD}
    assert (await stand.client.post("/auth/login", json=asked)).status_code == 503
    assert (await refresh(stand, pair["refresh_token"])).status_code == 503
    stand.billing.fails = False
    assert (await refresh(stand, pair["refresh_token"])).status_code == 200


async def test_an_invitation_works_once_and_ends_every_session(stand: GatewayStand) -> None:
    admin = await stand.bearer(await stand.user(scopes=("billing:admin",)))
    email = await stand.user()
    old = await stand.login(email)
    asked: dict[str, Any] = {"tg_id": tg_id_of(email), "email": email}
    made = await stand.client.post("/auth/invitations", json=asked, headers=admin)
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    chosen = {"invitation": made.json()["invitation"], "password": "another long password"}
    assert (await stand.client.post("/auth/password", json=chosen)).status_code == 204
    assert (await stand.client.post("/auth/password", json=chosen)).status_code == 401
    assert (await refresh(stand, old["refresh_token"])).status_code == 401
    asked = {"email": email, "password": PASSWORD}
    assert (await stand.client.post("/auth/login", json=asked)).status_code == 401
    asked["password"] = "another long password"
    assert (await stand.client.post("/auth/login", json=asked)).status_code == 200


async def test_an_invitation_that_does_not_work_costs_no_hash(
    stand: GatewayStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever makes one up would have 64 MiB taken and a thread busied with each request."""

    async def never(*_: object) -> str:
        raise AssertionError

    now = datetime.datetime.now(datetime.UTC)
    stand.parts.clock = lambda: now
    number = secrets.randbelow(2**40) + 1
    old, ends = await stand.gateway.logins.invite(number, f"u{number}@example.kz")
    assert ends == now + datetime.timedelta(days=2)
    now = ends
    monkeypatch.setattr(Passwords, "hash", never)
    for text in (old.reveal(), "zi_" + "x" * 43):
        chosen = {"invitation": text, "password": PASSWORD}
        answer = await stand.client.post("/auth/password", json=chosen)
        assert (answer.status_code, kind(answer)) == (401, "invitation-refused")


async def test_an_invitation_that_ran_out_is_forgotten_with_the_next(stand: GatewayStand) -> None:
    now = datetime.datetime.now(datetime.UTC)
    stand.parts.clock = lambda: now
    number = secrets.randbelow(2**40) + 1
    for _ in range(2):
        await stand.gateway.logins.invite(number, f"u{number}@example.kz")
        now += datetime.timedelta(days=3)
    query = select(func.count()).where(credentials.INVITATIONS.c.user_id == f"user-{number}")
    async with stand.parts.database.begin() as connection:
        assert await connection.scalar(query) == 1


async def test_of_several_invitations_of_a_user_one_works(stand: GatewayStand) -> None:
    """One that was forgotten in a mailbox must not change the password that was chosen since."""
    email = await stand.user()
    first, second = [
        (await stand.gateway.logins.invite(tg_id_of(email), email))[0] for _ in range(2)
    ]
    password = "another-good-password"
    for invitation, expected in ((second, 204), (first, 401)):
        asked = {"invitation": invitation.reveal(), "password": password}
        assert (await stand.client.post("/auth/password", json=asked)).status_code == expected


async def test_a_login_that_began_with_the_old_password_does_not_outlive_it(
    stand: GatewayStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old password was right when it was compared; the new one came before the session."""
    email = await stand.user()
    matches, checked, go_on = Passwords.matches, asyncio.Event(), asyncio.Event()

    async def slowly(*told: Any) -> bool:
        right = await matches(*told)
        checked.set()
        await go_on.wait()
        return right

    monkeypatch.setattr(Passwords, "matches", slowly)
    asked = {"email": email, "password": PASSWORD}
    login = asyncio.create_task(stand.client.post("/auth/login", json=asked))
    await checked.wait()
    invitation, _ = await stand.gateway.logins.invite(tg_id_of(email), email)
    changed = {"invitation": invitation.reveal(), "password": "another-good-password"}
    assert (await stand.client.post("/auth/password", json=changed)).status_code == 204
    go_on.set()
    answer = await login
    assert (answer.status_code, kind(answer)) == (401, "login-refused")


async def test_only_an_administrator_invites_and_an_invitation_brings_no_scopes(
    stand: GatewayStand,
) -> None:
    asked = {"tg_id": 1, "email": "x@example.kz"}
    plain = await stand.client.post("/auth/invitations", json=asked, headers=await stand.bearer())
    assert (plain.status_code, kind(plain)) == (403, "scope-missing")
    assert (await stand.client.post("/auth/invitations", json=asked)).status_code == 401
    admin = await stand.bearer(await stand.user(scopes=("billing:admin",)))
    number = secrets.randbelow(2**40) + 2**41
    asked = {"tg_id": number, "email": f"u{number}@example.kz"}
    made = await stand.client.post("/auth/invitations", json=asked, headers=admin)
    chosen = {"invitation": made.json()["invitation"], "password": PASSWORD}
    assert (await stand.client.post("/auth/password", json=chosen)).status_code == 204
    answer = await stand.client.get("/api/calc/x", headers=await stand.bearer(str(asked["email"])))
    assert answer.json()["scopes"] == []


async def test_who_is_invited_anew_may_do_what_it_could(stand: GatewayStand) -> None:
    email = await stand.user(scopes=("billing:admin",))
    invitation, _ = await stand.gateway.logins.invite(tg_id_of(email), email)
    chosen = {"invitation": invitation.reveal(), "password": PASSWORD}
    assert (await stand.client.post("/auth/password", json=chosen)).status_code == 204
    answer = await stand.client.get("/api/calc/x", headers=await stand.bearer(email))
    assert answer.json()["scopes"] == ["billing:admin"]


async def test_an_address_belongs_to_one_user(stand: GatewayStand) -> None:
    email = await stand.user()
    token, _ = await stand.gateway.logins.invite(secrets.randbelow(2**40) + 1, email)
    chosen = {"invitation": token.reveal(), "password": PASSWORD}
    taken = await stand.client.post("/auth/password", json=chosen)
    assert (taken.status_code, kind(taken)) == (409, "email-taken")


async def test_a_short_password_is_not_taken_and_the_invitation_stays(stand: GatewayStand) -> None:
    number = secrets.randbelow(2**40) + 1
    token, _ = await stand.gateway.logins.invite(number, f"u{number}@example.kz")
    chosen = {"invitation": token.reveal(), "password": "too short"}
    assert (await stand.client.post("/auth/password", json=chosen)).status_code == 422
    chosen["password"] = PASSWORD
    assert (await stand.client.post("/auth/password", json=chosen)).status_code == 204


async def test_a_login_renews_a_hash_that_was_made_with_less_work(stand: GatewayStand) -> None:
    email = await stand.user()
    stand.gateway.logins._passwords = Passwords()  # as it runs
    await stand.login(email)
    async with stand.parts.database.begin() as connection:
        found = await credentials.find(connection, email)
    assert found is not None
    assert found.password_hash.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    await stand.login(email)


async def test_nothing_that_opens_anything_is_kept_in_the_database(stand: GatewayStand) -> None:
    pair = await stand.login()
    tables = ("credentials", "invitations", "sessions", "refresh_tokens")
    async with stand.parts.database.begin() as connection:
        rows = [
            str(list(await connection.exec_driver_sql(f"SELECT t::text FROM {one} t")))
            for one in tables
        ]
    everything = "".join(rows)
    assert "$argon2id$" in everything
    for secret in (PASSWORD, pair["refresh_token"], pair["access_token"]):
        assert secret not in everything
        assert base64.b64encode(secret.encode()).decode() not in everything
        assert secret.encode().hex() not in everything
    assert json.dumps(pair) not in everything
