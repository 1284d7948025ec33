"""A login by role_id and secret_id.

What lives here: the decision and its one side effect, taking a use off a counted secret id. What
never does: tokens (the core makes them from the Auth given back).
Invariants: a counted use is taken, durably, before the login is granted and before the source
address is looked at; a secret id with one use left logs in once, whoever asks at the same time; an
unknown role and a wrong secret id are told apart by nothing.
Source: ``docs/api/approle.md``.
"""

from dataclasses import replace

from zvault.base.gotime import ZERO_NS
from zvault.base.secret import same_text
from zvault.engine.api import Auth, MountContext, Request
from zvault.engine.backends.approle.store import AppRoleStore
from zvault.engine.backends.cidrs import admits, is_subset
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData
from zvault.engine.backends.token_params import STRICT, auth_fields, renewal_fields
from zvault.engine.errors import InternalEngineError, InvalidRequestError
from zvault.records.approle import MAX_HMAC_INPUT_BYTES, RoleEntry, SecretIdEntry

LOGIN_FIELDS = {
    "role_id": Field(FieldKind.STRING, ""),
    "secret_id": Field(FieldKind.STRING, ""),
}
INVALID = "invalid role or secret ID"


class WrongCredentialsError(InvalidRequestError):
    """What counts towards a lock."""

    code = "wrong-credentials"


async def log_in(context: MountContext, store: AppRoleStore, request: Request) -> Auth:
    """What the login grants. Raises InvalidRequestError, RecordError, StorageError."""
    data = FieldData(LOGIN_FIELDS, request.data)
    role_id, secret_id = data["role_id"].strip(), data["secret_id"].strip()
    if not role_id:
        raise InvalidRequestError("missing role_id")
    context.lockout.check(role_id)
    try:
        name, role, entry = await _proven(context, store, role_id, secret_id)
    except WrongCredentialsError:
        context.lockout.failed(role_id)
        raise
    context.lockout.check(role_id)
    if entry is not None:
        _check_entry_blocks(role, entry, request.remote_address)
    if not admits(role.secret_id_bound_cidrs, request.remote_address):
        raise InvalidRequestError(
            f'source address "{request.remote_address}" unauthorized by CIDR restrictions on the '
            "role"
        )
    context.lockout.succeeded(role_id)
    return granted(role, name, entry, request.remote_address)


async def _proven(
    context: MountContext, store: AppRoleStore, role_id: str, secret_id: str
) -> tuple[str, RoleEntry, SecretIdEntry | None]:
    """Whose credentials these are, one use taken. Raises InvalidRequestError."""
    name = await store.name_of(role_id)
    role = await store.role(name) if name is not None else None
    if name is None or role is None or not same_text(role.role_id, role_id):
        raise WrongCredentialsError(INVALID)
    entry = None
    if role.bind_secret_id:
        if not secret_id:
            raise InvalidRequestError("missing secret_id")
        entry = await _use(context, store, name, role, secret_id)
    return name, role, entry


async def _use(
    context: MountContext, store: AppRoleStore, name: str, role: RoleEntry, secret_id: str
) -> SecretIdEntry:
    """The secret id's entry after a use was taken off it, durably."""
    if len(secret_id.encode("utf-8", "surrogatepass")) > MAX_HMAC_INPUT_BYTES:
        raise WrongCredentialsError(INVALID)
    key = store.secret_id_key(name, role, secret_id)
    async with store.hold(key):
        entry = await store.secret_id(key)
        if entry is None or store.is_deleting(name):
            raise WrongCredentialsError(INVALID)
        prefix = role.accessor_prefix
        if not await store.has_accessor(prefix, entry.secret_id_accessor):
            await store.drop(key)
            raise WrongCredentialsError(INVALID)
        now = context.clock.now_ns()
        if is_expired(entry, now) or entry.secret_id_num_uses < 0:
            await store.delete_secret_id(prefix, key, entry)
            raise WrongCredentialsError(INVALID)
        uses = entry.secret_id_num_uses
        if uses == 1:
            await store.delete_secret_id(prefix, key, entry)
        elif uses > 1:
            left = replace(entry, secret_id_num_uses=uses - 1, last_updated_time_ns=now)
            await store.update_secret_id(key, left)
    return entry


def is_expired(entry: SecretIdEntry, now_ns: int) -> bool:
    """Its time is over."""
    return entry.expiration_time_ns != ZERO_NS and entry.expiration_time_ns <= now_ns


def _check_entry_blocks(role: RoleEntry, entry: SecretIdEntry, address: str) -> None:
    if not entry.cidr_list:
        return
    if not is_subset(entry.cidr_list, role.secret_id_bound_cidrs):
        raise InternalEngineError(
            "1 error occurred:\n\t* failed to verify subset relationship between CIDR blocks on "
            "the role and CIDR blocks on the secret ID\n\n"
        )
    if not admits(entry.cidr_list, address):
        raise InvalidRequestError(
            f'source address "{address}" unauthorized through CIDR restrictions on the secret ID'
        )


def granted(role: RoleEntry, name: str, entry: SecretIdEntry | None, address: str) -> Auth:
    """The Auth that a role gives to a login from ``address``."""
    metadata = dict(entry.metadata) if entry is not None else {}
    bound = entry.token_bound_cidrs if entry is not None else ()
    # A counted secret id is another entry after each use, so nothing comes of remembering it.
    is_lasting = role.extra.get(STRICT) is not True and (
        entry is None or not entry.secret_id_num_uses
    )
    return Auth(
        metadata={**metadata, "role_name": name},
        internal_data={"role_name": name},
        alias_name=role.role_id,
        source=(role, entry, name) if is_lasting else (),
        **auth_fields(role, address, bound),
    )


async def renewed(store: AppRoleStore, auth: Auth) -> Auth:
    """What a renewal grants: the role as it is now. Raises InvalidRequestError."""
    name = auth.internal_data.get("role_name") or auth.metadata.get("role_name")
    if not isinstance(name, str) or not name:
        raise InvalidRequestError("failed to fetch role_name during renewal")
    role = await store.role(name)
    if role is None:
        raise InvalidRequestError(f"role {name!r} does not exist during renewal")
    return replace(auth, **renewal_fields(role))
