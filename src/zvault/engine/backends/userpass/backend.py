"""Userpass: logins of people by name and password.

What lives here: the paths of a mount of type ``userpass``, users in storage, the login. What never
does: bcrypt (``userpass_passwords``), tokens (the core makes them from the Auth given back).
Invariants: names are lower case wherever they count (storage, alias, lock); an unknown user and a
wrong password are told apart by nothing, time and lock included; a hash is never shown.
Source: ``docs/api/userpass.md``.
"""

from dataclasses import replace
from typing import Any

from zvault.base.gotime import SECOND_NS
from zvault.engine.api import Auth, MountContext, Operation, Request, Response
from zvault.engine.backends.cidrs import admits
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData, Route, Router
from zvault.engine.backends.listing import list_keys
from zvault.engine.backends.token_params import (
    OLD_BLOCKS,
    OLD_MAX_TTL,
    OLD_POLICIES,
    OLD_TTL,
    TOKEN_FIELDS,
    auth_fields,
    check_token_params,
    old_changes,
    renewal_fields,
    same_policies,
    token_changes,
    token_data,
)
from zvault.engine.backends.userpass.passwords import Passwords, given_hash
from zvault.engine.errors import InternalEngineError, InvalidRequestError, PermissionDeniedError
from zvault.engine.locks import Hold, KeyLocks
from zvault.records.userpass import USER_PREFIX, UserEntry, decode_user, encode_user

_NAME = r"(?P<username>(?a:\w(?:[\w.-]*\w)?))"
_FIELDS = {
    "username": Field(FieldKind.STRING, ""),
    "password": Field(FieldKind.STRING, ""),
    "password_hash": Field(FieldKind.STRING, ""),
    "policies": Field(FieldKind.COMMA_LIST, ()),
    "ttl": Field(FieldKind.DURATION, 0),
    "max_ttl": Field(FieldKind.DURATION, 0),
    "bound_cidrs": Field(FieldKind.COMMA_LIST, ()),
    **TOKEN_FIELDS,
}
_LOGIN_FIELDS = {name: _FIELDS[name] for name in ("username", "password")}
_PASSWORD_FIELDS = {name: _FIELDS[name] for name in ("username", "password", "password_hash")}
_POLICY_FIELDS = {name: _FIELDS[name] for name in ("username", "policies", "token_policies")}
_OLD_FIELDS = (OLD_POLICIES, OLD_TTL, OLD_MAX_TTL, OLD_BLOCKS)
INVALID = "invalid username or password"


class Userpass:
    """The backend of one mount."""

    unauthenticated_paths = ("login/*",)
    root_paths = ()

    def __init__(self, context: MountContext) -> None:
        self._context = context
        self._view = context.view
        self._locks = KeyLocks()
        self._passwords = Passwords()
        user = {
            Operation.READ: self._read,
            Operation.UPDATE: self._write,
            Operation.DELETE: self._delete,
        }
        self._router = Router(
            [
                Route("users/?", {Operation.LIST: self._list}),
                Route(f"users/{_NAME}", user, _FIELDS, self._exists),
                Route(
                    f"users/{_NAME}/password",
                    {Operation.UPDATE: self._set_password},
                    _PASSWORD_FIELDS,
                ),
                Route(
                    f"users/{_NAME}/policies",
                    {Operation.UPDATE: self._set_policies},
                    _POLICY_FIELDS,
                ),
                Route(f"login/{_NAME}", {Operation.UPDATE: self._log_in}, _LOGIN_FIELDS),
            ]
        )

    async def start(self) -> None:
        """Nothing to prepare."""

    async def stop(self) -> None:
        """Let go of the threads that hash."""
        self._passwords.close()

    async def exists(self, request: Request) -> bool | None:
        """Existence check of users; None for every other path."""
        return await self._router.exists(request)

    async def handle(self, request: Request) -> Response | None:
        """Serve one request."""
        return await self._router.handle(request)

    async def _user(self, name: str) -> UserEntry | None:
        stored = await self._view.get(USER_PREFIX + name)
        return None if stored is None else _upgraded(decode_user(stored))

    def _hold(self, name: str) -> Hold:
        return self._locks.hold(name)

    async def _save(self, name: str, user: UserEntry) -> None:
        await self._view.put(USER_PREFIX + name, encode_user(user))

    async def _exists(self, request: Request, data: FieldData) -> bool:
        return await self._user(_name(data)) is not None

    async def _list(self, request: Request, data: FieldData) -> Response | None:
        return await list_keys(self._view.list, USER_PREFIX)

    async def _read(self, request: Request, data: FieldData) -> Response | None:
        user = await self._user(_name(data))
        return None if user is None else Response(data=_shown(user))

    async def _write(self, request: Request, data: FieldData) -> None:
        name = _name(data)
        async with self._hold(name):
            known = await self._user(name)
            if known is None and not (data["password"] or data["password_hash"]):
                raise InvalidRequestError("missing password")
            user = known or UserEntry()
            if data["password"] or data["password_hash"]:
                user = await self._with_password(user, data)
            user = replace(user, **token_changes(data))
            check_token_params(user)
            await self._save(name, replace(user, **old_changes(data, *_OLD_FIELDS)))

    async def _with_password(self, user: UserEntry, data: FieldData) -> UserEntry:
        if data["password"] and data["password_hash"]:
            raise InvalidRequestError("only one of password or password_hash may be provided")
        if data["password_hash"]:
            return replace(user, password="", password_hash=given_hash(data["password_hash"]))
        hashed = await self._passwords.hashed(data["password"])
        return replace(user, password="", password_hash=hashed)

    async def _delete(self, request: Request, data: FieldData) -> None:
        name = _name(data)
        async with self._hold(name):
            await self._view.delete(USER_PREFIX + name)

    async def _known(self, name: str) -> UserEntry:
        user = await self._user(name)
        if user is None:
            # The status is Vault's.
            raise InternalEngineError("1 error occurred:\n\t* username does not exist\n\n")
        return user

    async def _set_password(self, request: Request, data: FieldData) -> None:
        name = _name(data)
        async with self._hold(name):
            user = await self._known(name)
            if not (data["password"] or data["password_hash"]):
                raise InvalidRequestError("missing password")
            await self._save(name, await self._with_password(user, data))

    async def _set_policies(self, request: Request, data: FieldData) -> None:
        name = _name(data)
        async with self._hold(name):
            user = await self._known(name)
            changes: dict[str, Any] = {}
            if "token_policies" in data:
                changes["token_policies"] = tuple(data["token_policies"])
            changes |= old_changes(data, OLD_POLICIES)
            await self._save(name, replace(user, **changes))

    async def _log_in(self, request: Request, data: FieldData) -> Response:
        name, password, lockout = _name(data), data["password"], self._context.lockout
        lockout.check(name)
        if not password:
            raise InternalEngineError("missing password")
        user = await self._user(name)
        if not await self._passwords.fits(user, password) or user is None:
            lockout.failed(name)
            raise InvalidRequestError(INVALID)
        lockout.check(name)
        if not admits(user.token_bound_cidrs, request.remote_address):
            raise PermissionDeniedError("permission denied")
        lockout.succeeded(name)
        return Response(
            auth=Auth(
                metadata={"username": name},
                display_name=name,
                alias_name=name,
                alias_metadata={},
                **auth_fields(user, request.remote_address),
            )
        )

    async def renew(self, auth: Auth) -> Auth:
        """What a renewal grants: the user as it is now. Raises EngineError."""
        name = auth.metadata.get("username", "")
        user = await self._user(name.lower()) if name else None
        if user is None:
            raise InvalidRequestError("the user of this token does not exist any more")
        if not same_policies(user.token_policies, auth.policies):
            # The status is Vault's.
            raise InternalEngineError(
                "1 error occurred:\n\t* failed to renew entry: policies have changed, not "
                "renewing\n\n"
            )
        return replace(auth, **renewal_fields(user))


def _name(data: FieldData) -> str:
    name: str = data["username"]
    return name.lower()


def _upgraded(user: UserEntry) -> UserEntry:
    """A stored user as it counts today: old fields fill the new ones that are empty."""
    return replace(
        user,
        token_policies=user.token_policies or user.policies,
        token_ttl_ns=user.token_ttl_ns or user.ttl_ns,
        token_max_ttl_ns=user.token_max_ttl_ns or user.max_ttl_ns,
        token_bound_cidrs=user.token_bound_cidrs or user.bound_cidrs,
    )


def _shown(user: UserEntry) -> dict[str, Any]:
    data = token_data(user)
    if user.policies:
        data["policies"] = list(user.policies)
    if user.ttl_ns:
        data["ttl"] = user.ttl_ns // SECOND_NS
    if user.max_ttl_ns:
        data["max_ttl"] = user.max_ttl_ns // SECOND_NS
    if user.bound_cidrs:
        data["bound_cidrs"] = list(user.bound_cidrs)
    return data


def make(context: MountContext) -> Userpass:
    """The backend for one mount."""
    return Userpass(context)
