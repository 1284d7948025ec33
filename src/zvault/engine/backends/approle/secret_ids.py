"""Secret ids: making, showing and removing them.

What lives here: what the ``secret-id`` paths of a role do. What never does: a login.
Invariant: the secret id itself is in one answer only, the one that creates it.
Source: ``docs/api/approle.md``.
"""

import base64
import binascii
from typing import Any

from zvault.base.gotime import SECOND_NS, ZERO_NS, format_time
from zvault.base.ids import new_uuid
from zvault.base.secret import same_text
from zvault.engine.api import MountContext, Response
from zvault.engine.backends.approle.store import AppRoleStore
from zvault.engine.backends.cidrs import check_blocks, is_subset, token_blocks
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData
from zvault.engine.errors import (
    InternalEngineError,
    InvalidRequestError,
    NotFoundInEngineError,
    PermissionDeniedError,
)
from zvault.engine.userdata import Timestamp
from zvault.records import gojson
from zvault.records.approle import MAX_HMAC_INPUT_BYTES, RoleEntry, SecretIdEntry
from zvault.records.errors import RecordError

SECRET_ID_FIELDS = {
    "role_name": Field(FieldKind.STRING, ""),
    "secret_id": Field(FieldKind.STRING, ""),
    "secret_id_accessor": Field(FieldKind.STRING, ""),
    "metadata": Field(FieldKind.STRING, ""),
    "cidr_list": Field(FieldKind.COMMA_LIST, ()),
    "token_bound_cidrs": Field(FieldKind.COMMA_LIST, ()),
    "num_uses": Field(FieldKind.INT, 0),
    "ttl": Field(FieldKind.DURATION, 0),
}
_BAD_METADATA = "failed to parse metadata: failed to parse the input: invalid <key,value> format"


class SecretIds:
    """The secret ids of one mount."""

    def __init__(self, context: MountContext, store: AppRoleStore) -> None:
        self._context = context
        self._store = store

    async def create(self, name: str, data: FieldData, *, custom: bool) -> Response:
        """A new secret id, chosen by the caller if ``custom``. Raises EngineError."""
        if custom and not data["secret_id"]:
            raise InvalidRequestError("missing secret_id")
        async with self._store.hold_role(name):
            role = await self._store.role(name)
            if role is None:
                raise NotFoundInEngineError(f'role "{name}" does not exist')
            secret_id = data["secret_id"] if custom else new_uuid(self._context.random_bytes)
            entry = self._new_entry(role, data)
            key = _key(name, role, secret_id)
            async with self._store.hold(key):
                if await self._store.secret_id(key) is not None:
                    raise _internal("failed to store secret_id: SecretID is already registered")
                await self._store.register(role.accessor_prefix, key, entry)
        return Response(
            data={
                "secret_id": secret_id,
                "secret_id_accessor": entry.secret_id_accessor,
                "secret_id_num_uses": entry.secret_id_num_uses,
                "secret_id_ttl": entry.secret_id_ttl_ns // SECOND_NS,
            }
        )

    def _new_entry(self, role: RoleEntry, data: FieldData) -> SecretIdEntry:
        if not role.bind_secret_id:
            raise InvalidRequestError("bind_secret_id is not set on the role")
        uses, ttl_ns = _limits(role, data)
        ttl_ns = min(ttl_ns, self._context.max_ttl_ns()) if ttl_ns else 0
        blocks, token_bound = _blocks(role, data)
        now = self._context.clock.now_ns()
        return SecretIdEntry(
            secret_id_accessor=new_uuid(self._context.random_bytes),
            secret_id_num_uses=uses,
            secret_id_ttl_ns=ttl_ns,
            creation_time_ns=now,
            expiration_time_ns=now + ttl_ns if ttl_ns else ZERO_NS,
            last_updated_time_ns=now,
            metadata=parse_metadata(data["metadata"]),
            cidr_list=blocks,
            token_bound_cidrs=token_bound,
        )

    async def list(self, name: str) -> Response | None:
        """Accessors of a role's secret ids; None when there are none."""
        role = await self._store.role(name)
        if role is None:
            raise InvalidRequestError(f'role "{name}" does not exist')
        accessors = []
        for key in await self._store.secret_id_keys(name, role):
            entry = await self._store.secret_id(key)
            if entry is not None:
                accessors.append(entry.secret_id_accessor)
        return Response(data={"keys": accessors}) if accessors else None

    async def look_up(self, name: str, data: FieldData) -> Response | None:
        """What there is about a secret id; None for an unknown one."""
        entry = await self._store.secret_id(_key(name, *await self._asked(name, data)))
        return None if entry is None else Response(data=entry_data(entry))

    async def destroy(self, name: str, data: FieldData) -> None:
        """Remove a secret id; an unknown one is fine."""
        role, secret_id = await self._asked(name, data)
        await self._remove(role, _key(name, role, secret_id))

    async def _asked(self, name: str, data: FieldData) -> tuple[RoleEntry, str]:
        if not data["secret_id"]:
            raise InvalidRequestError("missing secret_id")
        return await self._existing(name), data["secret_id"]

    async def _existing(self, name: str) -> RoleEntry:
        role = await self._store.role(name)
        if role is None:
            raise _internal(f'role "{name}" does not exist')
        return role

    async def look_up_accessor(self, name: str, data: FieldData) -> Response | None:
        """Like ``look_up``, by accessor; an unknown accessor is a 404 that says so."""
        role, accessor = await self._named(name, data)
        hmac = await self._store.hmac_of_accessor(role.accessor_prefix, accessor)
        if hmac is None:
            return Response(status=404, data={"error": _no_accessor(accessor)})
        entry = await self._store.secret_id(role.secret_id_folder(name) + hmac)
        if entry is None or not same_text(entry.secret_id_accessor, accessor):
            return None
        return Response(data=entry_data(entry))

    async def destroy_accessor(self, name: str, data: FieldData) -> None:
        """Like ``destroy``, by accessor. Raises EngineError for an unknown or foreign one."""
        role, accessor = await self._named(name, data)
        hmac = await self._store.hmac_of_accessor(role.accessor_prefix, accessor)
        if hmac is None:
            raise _internal(_no_accessor(accessor))
        key = role.secret_id_folder(name) + hmac
        if not await self._remove(role, key, accessor):
            raise PermissionDeniedError("invalid secret id accessor")

    async def _named(self, name: str, data: FieldData) -> tuple[RoleEntry, str]:
        accessor: str = data["secret_id_accessor"]
        if not accessor:
            raise InvalidRequestError("missing secret_id_accessor")
        return await self._existing(name), accessor

    async def _remove(self, role: RoleEntry, key: str, accessor: str = "") -> bool:
        async with self._store.hold(key):
            entry = await self._store.secret_id(key)
            if entry is None or (accessor and not same_text(entry.secret_id_accessor, accessor)):
                return False
            await self._store.delete_secret_id(role.accessor_prefix, key, entry)
            return True


def _limits(role: RoleEntry, data: FieldData) -> tuple[int, int]:
    """Uses and TTL (ns) of a new secret id; never wider than the role's."""
    uses: int = data.get("num_uses", role.secret_id_num_uses)
    if uses < 0:
        raise InvalidRequestError("num_uses cannot be negative")
    if role.secret_id_num_uses and not 0 < uses <= role.secret_id_num_uses:
        raise InvalidRequestError("num_uses cannot be higher than the role's secret_id_num_uses")
    ttl_ns: int = data.get("ttl", role.secret_id_ttl_ns)
    if role.secret_id_ttl_ns and not 0 < ttl_ns <= role.secret_id_ttl_ns:
        raise InvalidRequestError("ttl cannot be longer than the role's secret_id_ttl")
    return uses, ttl_ns


def _blocks(role: RoleEntry, data: FieldData) -> tuple[tuple[str, ...], tuple[str, ...]]:
    blocks = tuple(data["cidr_list"])
    check_blocks(blocks)
    token_bound = token_blocks(data["token_bound_cidrs"])
    for inner, outer in (
        (blocks, role.secret_id_bound_cidrs),
        (token_bound, role.token_bound_cidrs),
    ):
        if not is_subset(inner, outer):
            raise _internal(
                "failed to verify subset relationship between CIDR blocks on the role "
                f"{_quoted(outer)} and CIDR blocks on the secret ID {_quoted(inner)}: %!w(<nil>)"
            )
    return blocks, token_bound


def _quoted(blocks: tuple[str, ...]) -> str:
    return "[" + " ".join(f'"{block}"' for block in blocks) + "]"


def parse_metadata(text: str) -> dict[str, str]:
    """Metadata as the text of a JSON object, ``k=v,k2=v2``, or base64 of either.

    Raises InvalidRequestError.
    """
    if not text:
        return {}
    parsed = _parse_pairs(_unwrapped(text.strip()))
    if parsed is None or not all(isinstance(item, str) for item in parsed.values()):
        raise InvalidRequestError(_BAD_METADATA)
    return {str(key): item for key, item in parsed.items()}


def _unwrapped(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return text


def _parse_pairs(text: str) -> dict[str, Any] | None:
    if text.startswith("{"):
        try:
            return gojson.loads_object(text)
        except RecordError:
            return None
    pairs = [pair.split("=", 1) for pair in text.split(",")]
    if not all(len(pair) == 2 and pair[0].strip() for pair in pairs):
        return None
    return {key.strip(): item.strip() for key, item in pairs}


def entry_data(entry: SecretIdEntry) -> dict[str, Any]:
    """What looking a secret id up shows."""
    return {
        "cidr_list": list(entry.cidr_list),
        "creation_time": Timestamp(format_time(entry.creation_time_ns)),
        "expiration_time": Timestamp(format_time(entry.expiration_time_ns)),
        "last_updated_time": Timestamp(format_time(entry.last_updated_time_ns)),
        "metadata": dict(entry.metadata),
        "secret_id_accessor": entry.secret_id_accessor,
        "secret_id_num_uses": entry.secret_id_num_uses,
        "secret_id_ttl": entry.secret_id_ttl_ns // SECOND_NS,
        "token_bound_cidrs": list(entry.token_bound_cidrs),
    }


def _key(name: str, role: RoleEntry, secret_id: str) -> str:
    if len(secret_id.encode("utf-8", "surrogatepass")) > MAX_HMAC_INPUT_BYTES:
        raise InvalidRequestError(
            f"secret_id is too long: at most {MAX_HMAC_INPUT_BYTES} bytes are allowed"
        )
    return role.secret_id_key(name, secret_id)


def _no_accessor(accessor: str) -> str:
    return f'failed to find accessor entry for secret_id_accessor: "{accessor}"'


def _internal(text: str) -> InternalEngineError:
    return InternalEngineError(f"1 error occurred:\n\t* {text}\n\n")
