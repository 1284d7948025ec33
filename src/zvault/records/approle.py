"""AppRole: roles, secret ids, their indexes, and how names become keys.

What lives here: formats below ``auth/<uuid>/``. Pure. Times and durations: int nanoseconds.
Invariant: a secret id is never stored in clear; only its HMAC under the role's key is a name.
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Any

from zvault.base.gotime import ZERO_NS
from zvault.records.codec import Codec, Kind, Member
from zvault.records.tokenparams import TOKEN_MEMBERS, TokenParams

SALT_KEY = "salt"
ROLE_PREFIX = "role/"
ROLE_ID_PREFIX = "role_id/"
SECRET_ID_PREFIX = "secret_id/"  # noqa: S105 - a path
SECRET_ID_LOCAL_PREFIX = "secret_id_local/"  # noqa: S105 - a path
ACCESSOR_PREFIX = "accessor/"
ACCESSOR_LOCAL_PREFIX = "accessor_local/"
MAX_HMAC_INPUT_BYTES = 4096


def salted(salt: str, value: str) -> str:
    """Hex SHA-256 of salt and value: names of ``role_id/`` and ``accessor/`` entries."""
    return hashlib.sha256((salt + value).encode()).hexdigest()


def keyed(hmac_key: str, value: str) -> str:
    """Hex HMAC-SHA256 under a role's key: names of ``secret_id/`` folders and entries."""
    return hmac.digest(hmac_key.encode(), value.encode(), "sha256").hex()


@dataclass(frozen=True, slots=True)
class RoleEntry(TokenParams):
    """One role."""

    role_id: str = ""
    hmac_key: str = field(default="", repr=False)
    policies: tuple[str, ...] = ()
    """Deprecated twin of ``token_policies``."""
    secret_id_num_uses: int = 0
    secret_id_ttl_ns: int = 0
    bind_secret_id: bool = True
    bound_cidr_list_list: Any = None
    """Deprecated; kept as it is."""
    secret_id_bound_cidrs: tuple[str, ...] = ()
    period_ns: int = 0
    """Deprecated twin of ``token_period_ns``."""
    lower_case_role_name: bool = True
    secret_id_prefix: str = SECRET_ID_PREFIX

    @property
    def is_local(self) -> bool:
        """Its secret ids are local ones, below their own prefixes."""
        return self.secret_id_prefix == SECRET_ID_LOCAL_PREFIX

    @property
    def accessor_prefix(self) -> str:
        return ACCESSOR_LOCAL_PREFIX if self.is_local else ACCESSOR_PREFIX

    def secret_id_folder(self, role_name: str) -> str:
        """The folder (with ``/``) of this role's secret ids."""
        name = role_name.lower() if self.lower_case_role_name else role_name
        return f"{self.secret_id_prefix or SECRET_ID_PREFIX}{keyed(self.hmac_key, name)}/"

    def secret_id_key(self, role_name: str, secret_id: str) -> str:
        """The key, below the mount, of one secret id."""
        return self.secret_id_folder(role_name) + keyed(self.hmac_key, secret_id)


_ROLE = Codec(
    "AppRole role",
    RoleEntry,
    [
        *TOKEN_MEMBERS,
        Member("role_id", Kind.TEXT),
        Member("hmac_key", Kind.TEXT),
        Member("policies", Kind.TEXTS),
        Member("secret_id_num_uses", Kind.INT),
        Member("secret_id_ttl", Kind.INT, "secret_id_ttl_ns"),
        Member("bind_secret_id", Kind.BOOL),
        Member("bound_cidr_list_list", Kind.ANY),
        Member("secret_id_bound_cidrs", Kind.TEXTS),
        Member("period", Kind.INT, "period_ns"),
        Member("lower_case_role_name", Kind.BOOL),
        Member("secret_id_prefix", Kind.TEXT),
    ],
    newline=True,
)


def decode_role(data: bytes) -> RoleEntry:
    """Raises RecordError. Flags an old entry lacks are false, as Go reads them."""
    absent = {"bind_secret_id": False, "lower_case_role_name": False}
    return _ROLE.decode_over(absent, data)


def encode_role(role: RoleEntry) -> bytes:
    """JSON with line feed."""
    return _ROLE.encode(role)


@dataclass(frozen=True, slots=True)
class SecretIdEntry:
    """One secret id, found by HMAC."""

    secret_id_accessor: str = ""
    secret_id_num_uses: int = 0
    """0 unlimited."""
    secret_id_ttl_ns: int = 0
    creation_time_ns: int = ZERO_NS
    expiration_time_ns: int = ZERO_NS
    """ZERO_NS: never."""
    last_updated_time_ns: int = ZERO_NS
    metadata: dict[str, str] = field(default_factory=dict)
    cidr_list: tuple[str, ...] = ()
    token_bound_cidrs: tuple[str, ...] = ()
    old_num_uses: int = 0
    """Deprecated twin of ``secret_id_num_uses``."""
    extra: dict[str, Any] = field(default_factory=dict)


_SECRET_ID = Codec(
    "AppRole secret id",
    SecretIdEntry,
    [
        Member("secret_id_accessor", Kind.TEXT),
        Member("secret_id_num_uses", Kind.INT),
        Member("secret_id_ttl", Kind.INT, "secret_id_ttl_ns"),
        Member("creation_time", Kind.TIME, "creation_time_ns"),
        Member("expiration_time", Kind.TIME, "expiration_time_ns"),
        Member("last_updated_time", Kind.TIME, "last_updated_time_ns"),
        Member("metadata", Kind.TEXT_MAP),
        Member("cidr_list", Kind.TEXTS_NOT_NULL),
        Member("token_cidr_list", Kind.TEXTS_NOT_NULL, "token_bound_cidrs"),
        Member("SecretIDNumUses", Kind.INT, "old_num_uses"),
    ],
    newline=True,
)


def decode_secret_id(data: bytes) -> SecretIdEntry:
    """Raises RecordError."""
    return _SECRET_ID.decode(data)


def encode_secret_id(entry: SecretIdEntry) -> bytes:
    """JSON with line feed."""
    return _SECRET_ID.encode(entry)


@dataclass(frozen=True, slots=True)
class RoleIdIndex:
    """From role_id to role name."""

    name: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


_ROLE_ID = Codec("AppRole role_id index", RoleIdIndex, [Member("name", Kind.TEXT)], newline=True)


def decode_role_id(data: bytes) -> RoleIdIndex:
    """Raises RecordError."""
    return _ROLE_ID.decode(data)


def encode_role_id(index: RoleIdIndex) -> bytes:
    """JSON with line feed."""
    return _ROLE_ID.encode(index)


@dataclass(frozen=True, slots=True)
class SecretIdAccessor:
    """From accessor to the secret id's HMAC."""

    secret_id_hmac: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


_ACCESSOR = Codec(
    "AppRole accessor", SecretIdAccessor, [Member("secret_id_hmac", Kind.TEXT)], newline=True
)


def decode_accessor(data: bytes) -> SecretIdAccessor:
    """Raises RecordError."""
    return _ACCESSOR.decode(data)


def encode_accessor(entry: SecretIdAccessor) -> bytes:
    """JSON with line feed."""
    return _ACCESSOR.encode(entry)
