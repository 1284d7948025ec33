"""Logging in, staying logged in, logging out.

What lives here: the order of the steps between passwords, sessions, billing and tokens. What never
does: HTTP, SQL.
Invariants: who billing does not know as active gets no token, at a login and at every refresh; the
answer to an unknown name is the one to a wrong password, and takes as long.
"""

import datetime
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from zakupai_common.db import Database
from zakupai_common.secret import Secret
from zakupai_common.web.errors import ProblemError
from zakupai_gateway import credentials, sessions
from zakupai_gateway.billing import Account, Billing
from zakupai_gateway.credential import unauthorized
from zakupai_gateway.passwords import Passwords, PasswordsBusyError
from zakupai_gateway.sessions import Session, Shown
from zakupai_gateway.tokens.access import AccessTokens

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pair:
    """What a client keeps."""

    access_token: Secret[str]
    access_seconds: int
    refresh_token: Secret[str]
    refresh_until: datetime.datetime


class Logins:
    """All of them over one database."""

    def __init__(
        self,
        database: Database,
        billing: Billing,
        passwords: Passwords,
        tokens: AccessTokens,
        clock: Callable[[], datetime.datetime],
    ) -> None:
        self._database = database
        self._billing = billing
        self._passwords = passwords
        self._tokens = tokens
        self._clock = clock

    async def log_in(self, email: str, password: Secret[str]) -> Pair:
        """A new session. Raises ProblemError 401, 403, 503."""
        async with self._database.begin() as connection:
            found = await credentials.find(connection, email)
        kept = found.password_hash if found else None
        if not await self._hashed(self._passwords.matches(kept, password)) or found is None:
            raise _no_login()
        account = await self._active(found.user)
        renewed = None
        if self._passwords.is_outdated(found.password_hash):
            renewed = await self._hashed(self._passwords.hash(password))
        async with self._database.begin() as connection:
            # A new password ends every session; one of the old password must not begin after it.
            if not await credentials.hold(connection, found):
                raise _no_login()
            if renewed is not None:
                await credentials.rehash(connection, found.user, found.password_hash, renewed)
            session = await sessions.begin(connection, found.user, self._clock())
        return self._pair(account, found.scopes, session)

    async def refresh(self, token: Secret[str]) -> Pair:
        """The next pair of a session; the token shown is used up. Raises ProblemError 401, 503."""
        async with self._database.begin() as connection:
            shown, user = await sessions.look(connection, token, self._clock())
        _must_be_good(shown)
        account = await self._active(user)
        async with self._database.begin() as connection:
            shown, session = await sessions.refresh(connection, token, self._clock())
            scopes = await credentials.scopes_of(connection, user)
        _must_be_good(shown)
        assert session is not None
        return self._pair(account, scopes, session)

    async def log_out(self, token: Secret[str]) -> None:
        """End the session that the token belongs to; an unknown token changes nothing."""
        async with self._database.begin() as connection:
            await sessions.end(connection, token, self._clock(), "logout")

    async def invite(
        self, tg_id: int, email: str, scopes: tuple[str, ...] | None = None
    ) -> tuple[Secret[str], datetime.datetime]:
        """An invitation for a user, who is made in billing unless there. Raises ProblemError."""
        account = await self._billing.make_user(tg_id, email)
        async with self._database.begin() as connection:
            return await credentials.invite(connection, account.user, email, self._clock(), scopes)

    async def choose_password(self, invitation: Secret[str], password: Secret[str]) -> None:
        """The invited user's password; all its sessions end. Raises ProblemError 401, 409, 503."""
        async with self._database.begin() as connection:
            if not await credentials.is_open(connection, invitation, self._clock()):
                raise _no_invitation()
        hashed = await self._hashed(self._passwords.hash(password))
        now = self._clock()
        try:
            async with self._database.begin() as connection:
                user = await credentials.accept(connection, invitation, hashed, now)
                if user is None:
                    raise _no_invitation()
                await sessions.end_all(connection, user, now, "password")
        except credentials.EmailTakenError:
            raise ProblemError(409, "email-taken", "another user has this address") from None

    async def _hashed(self, work: Awaitable[T]) -> T:
        try:
            return await work
        except PasswordsBusyError:
            busy = {"Retry-After": "2"}
            raise ProblemError(
                503, "logins-busy", "too many logins at once", headers=busy
            ) from None

    async def _active(self, user: str) -> Account:
        account = await self._billing.account(user)
        if account is None or not account.active:
            raise ProblemError(403, "user-blocked", "this user is blocked")
        return account

    def _pair(self, account: Account, scopes: tuple[str, ...], session: Session) -> Pair:
        access = self._tokens.issue(account.user, account.plan, scopes, str(session.id))
        seconds = self._tokens.issuance.seconds
        return Pair(Secret(access), seconds, session.refresh_token, session.expires_at)


def _must_be_good(shown: Shown) -> None:
    if shown is Shown.REUSED:
        raise unauthorized(
            "refresh-reused", "this refresh token was used before; its session has ended"
        )
    if shown is not Shown.GOOD:
        raise unauthorized("refresh-refused", "this refresh token does not work; log in")


def _no_login() -> ProblemError:
    return unauthorized("login-refused", "no user has this address and this password")


def _no_invitation() -> ProblemError:
    return unauthorized("invitation-refused", "this invitation does not work, or not any more")
