"""Leases below ``sys/expire/id/``: auth leases decoded, of secret leases the part that ends them.

What lives here: formats and keys. Pure. Times and durations: int nanoseconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zvault.base.gotime import ZERO_NS
from zvault.records import compress, gojson
from zvault.records.codec import Codec, Kind, Member
from zvault.records.errors import RecordError

ID_PREFIX = "sys/expire/id/"
TOKEN_INDEX_PREFIX = "sys/expire/token/"  # noqa: S105 - a storage prefix
"""Below it ``<salted token>/<salted lease id>``, value: the id of a secret's lease."""


@dataclass(frozen=True, slots=True)
class LeaseAuth:
    """The ``auth`` part of an auth lease: what the login granted."""

    lease_ns: int = 0
    """TTL granted."""
    max_ttl_ns: int = 0
    renewable: bool = False
    internal_data: dict[str, Any] = field(default_factory=dict)
    display_name: str = ""
    policies: tuple[str, ...] = ()
    """As the auth method returned them, without identity policies."""
    token_policies: tuple[str, ...] = ()
    identity_policies: tuple[str, ...] = ()
    external_namespace_policies: Any = None
    no_default_policy: bool = False
    metadata: dict[str, str] = field(default_factory=dict)
    client_token: str = field(default="", repr=False)
    accessor: str = ""
    period_ns: int = 0
    explicit_max_ttl_ns: int = 0
    num_uses: int = 0
    entity_id: str = ""
    alias: Any = None
    group_aliases: Any = None
    bound_cidrs: tuple[str, ...] = ()
    creation_path: str = ""
    token_type: int = 0
    orphan: bool = False
    policy_results: Any = None
    mfa_requirement: Any = None
    entity_created: bool = False
    extra: dict[str, Any] = field(default_factory=dict)


_AUTH = Codec(
    "lease",
    LeaseAuth,
    [
        Member("lease", Kind.INT, "lease_ns"),
        Member("max_ttl", Kind.INT, "max_ttl_ns"),
        Member("renewable", Kind.BOOL),
        Member("internal_data", Kind.OBJECT),
        Member("display_name", Kind.TEXT),
        Member("policies", Kind.TEXTS),
        Member("token_policies", Kind.TEXTS),
        Member("identity_policies", Kind.TEXTS),
        Member("external_namespace_policies", Kind.ANY),
        Member("no_default_policy", Kind.BOOL),
        Member("metadata", Kind.TEXT_MAP),
        Member("client_token", Kind.TEXT),
        Member("accessor", Kind.TEXT),
        Member("period", Kind.INT, "period_ns"),
        Member("explicit_max_ttl", Kind.INT, "explicit_max_ttl_ns"),
        Member("num_uses", Kind.INT),
        Member("entity_id", Kind.TEXT),
        Member("alias", Kind.ANY),
        Member("group_aliases", Kind.ANY),
        Member("bound_cidrs", Kind.TEXTS),
        Member("creation_path", Kind.TEXT),
        Member("token_type", Kind.INT),
        Member("orphan", Kind.BOOL),
        Member("policy_results", Kind.ANY),
        Member("mfa_requirement", Kind.ANY),
        Member("entity_created", Kind.BOOL),
    ],
    newline=False,
)


@dataclass(frozen=True, slots=True)
class LeaseEntry:
    """One lease. ``auth`` is set for tokens, ``secret`` for dynamic secrets."""

    lease_id: str = ""
    client_token: str = field(default="", repr=False)
    """Inner id of the token, in clear."""
    token_type: int = 0
    path: str = ""
    data: Any = field(default=None, repr=False)
    secret: Any = field(default=None, repr=False)
    auth: LeaseAuth | None = None
    issue_time_ns: int = ZERO_NS
    expire_time_ns: int = ZERO_NS
    """ZERO_NS: never; legal only for root tokens."""
    last_renewal_time_ns: int = ZERO_NS
    login_role: str = ""
    version: int = 1
    revoke_err: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


_LEASE = Codec(
    "lease",
    LeaseEntry,
    [
        Member("lease_id", Kind.TEXT),
        Member("client_token", Kind.TEXT),
        Member("token_type", Kind.INT),
        Member("path", Kind.TEXT),
        Member("data", Kind.ANY),
        Member("secret", Kind.ANY),
        Member("auth", Kind.ANY),
        Member("issue_time", Kind.TIME, "issue_time_ns"),
        Member("expire_time", Kind.TIME, "expire_time_ns"),
        Member("last_renewal_time", Kind.TIME, "last_renewal_time_ns"),
        Member("login_role", Kind.TEXT),
        Member("version", Kind.INT),
        Member("revokeErr", Kind.TEXT, "revoke_err"),
    ],
    newline=False,
)


def lease_id_of_token(path: str, salted_id: str) -> str:
    """The id of a token's lease; its storage key is ``ID_PREFIX`` and this.

    The path of a LIST ends in a slash (a wrapped one has a token), which does not count.
    """
    return f"{path.rstrip('/')}/{salted_id}"


@dataclass(frozen=True, slots=True)
class LeasedSecret:
    """The ``secret`` part of a lease."""

    ttl_ns: int
    max_ttl_ns: int
    renewable: bool
    internal_data: dict[str, Any] = field(repr=False)


def secret_of(lease: LeaseEntry) -> LeasedSecret:
    """The part, parsed; missing members have their zero values. Raises RecordError."""
    view = lease.secret
    if not isinstance(view, Mapping):
        raise RecordError("lease: field 'secret' is not as it must be")
    internal = view.get("internal_data")
    ttl, longest = view.get("lease", 0), view.get("max_ttl", 0)
    is_sound = type(ttl) is int and type(longest) is int
    if not is_sound or not isinstance(internal, Mapping | None):
        raise RecordError("lease: field 'secret' is not as it must be")
    return LeasedSecret(ttl, longest, view.get("renewable") is True, dict(internal or {}))


def secret_view(
    ttl_ns: int, max_ttl_ns: int, internal_data: Mapping[str, Any], *, renewable: bool
) -> dict[str, Any]:
    """The part as it is stored."""
    return {
        "lease": ttl_ns,
        "max_ttl": max_ttl_ns,
        "renewable": renewable,
        "internal_data": dict(internal_data),
        "LeaseID": "",
    }


def decode_lease(data: bytes) -> LeaseEntry:
    """Raises RecordError."""
    body = gojson.loads_object(compress.expand(data))
    auth = body.get("auth")
    if auth is not None and not isinstance(auth, Mapping):
        raise RecordError("lease: field 'auth' is not as it must be")
    body["auth"] = None if auth is None else _AUTH.from_json(auth)
    return _LEASE.from_json(body)


def encode_lease(entry: LeaseEntry) -> bytes:
    """Plain JSON without line feed."""
    body = _LEASE.to_json(entry)
    body["auth"] = None if entry.auth is None else _AUTH.to_json(entry.auth)
    return gojson.dumps(body, sort_keys=False)
