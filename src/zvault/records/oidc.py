"""Identity tokens: the issuer, named keys, roles and public keys below the identity mount.

What lives here: formats below ``oidc_tokens/``. Pure. Times and durations: int nanoseconds.
Invariant: what a newer server has added to an entry is kept.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from zvault.base.gotime import ZERO_NS, format_time, parse_time
from zvault.records.codec import Codec, Kind, Member
from zvault.records.errors import RecordError

CONFIG_KEY = "oidc_tokens/config"
"""Real servers spell it with a slash at the end (``View.put_slashed``)."""
NAMED_KEYS = "oidc_tokens/named_keys/"
ROLES = "oidc_tokens/roles/"
PUBLIC_KEYS = "oidc_tokens/public_keys/"
HOUR_NS = 3600 * 10**9
DAY_NS = 24 * HOUR_NS


@dataclass(frozen=True, slots=True)
class OidcConfig:
    """The issuer that was set; "" is the server's own address."""

    issuer: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


_CONFIG = Codec("oidc config", OidcConfig, [Member("issuer", Kind.TEXT)], newline=True)


def decode_config(data: bytes) -> OidcConfig:
    """Raises RecordError."""
    return _CONFIG.decode(data)


def encode_config(config: OidcConfig) -> bytes:
    """JSON with line feed."""
    return _CONFIG.encode(config)


@dataclass(frozen=True, slots=True)
class RingKey:
    """One public key that tokens may still be checked with."""

    key_id: str
    expires_ns: int = ZERO_NS
    """ZERO_NS while it signs, or is to sign next."""


@dataclass(frozen=True, slots=True)
class NamedKey:
    """A key under its name: the one that signs, the one that comes next, and those before."""

    algorithm: str = "RS256"
    verification_ttl_ns: int = DAY_NS
    rotation_period_ns: int = DAY_NS
    ring: tuple[RingKey, ...] = ()
    signing_key: dict[str, Any] | None = field(default=None, repr=False)
    """JSON web key with its private numbers; None before its first use."""
    next_signing_key: dict[str, Any] | None = field(default=None, repr=False)
    next_rotation_ns: int = ZERO_NS
    allowed_client_ids: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)


_NAMED_KEY = Codec(
    "oidc named key",
    NamedKey,
    [
        Member("signing_algorithm", Kind.TEXT, "algorithm"),
        Member("verification_ttl", Kind.INT, "verification_ttl_ns"),
        Member("rotation_period", Kind.INT, "rotation_period_ns"),
        Member("key_ring", Kind.ANY, "ring"),
        Member("signing_key", Kind.ANY),
        Member("next_signing_key", Kind.ANY),
        Member("next_rotation", Kind.TIME, "next_rotation_ns"),
        Member("allowed_client_ids", Kind.TEXTS_NOT_NULL),
    ],
    newline=True,
)


def decode_named_key(data: bytes) -> NamedKey:
    """Raises RecordError."""
    key = _NAMED_KEY.decode(data)
    for jwk in (key.signing_key, key.next_signing_key):
        if not isinstance(jwk, dict | None):
            raise RecordError("oidc named key: a key is no object")
    stored: Any = key.ring or []
    try:
        ring = tuple(RingKey(str(k["key_id"]), parse_time(k["expire_at"])) for k in stored)
    except (TypeError, KeyError, ValueError, AttributeError):
        raise RecordError("oidc named key: field 'key_ring' is not as it must be") from None
    return replace(key, ring=ring)


def encode_named_key(key: NamedKey) -> bytes:
    """JSON with line feed."""
    ring = [{"key_id": k.key_id, "expire_at": format_time(k.expires_ns)} for k in key.ring]
    stored: Any = ring
    return _NAMED_KEY.encode(replace(key, ring=stored))


@dataclass(frozen=True, slots=True)
class OidcRole:
    """What tokens of a role hold and for how long."""

    token_ttl_ns: int = DAY_NS
    key: str = ""
    template: str = ""
    client_id: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


_ROLE = Codec(
    "oidc role",
    OidcRole,
    [
        Member("token_ttl", Kind.INT, "token_ttl_ns"),
        Member("key", Kind.TEXT),
        Member("template", Kind.TEXT),
        Member("client_id", Kind.TEXT),
    ],
    newline=True,
)


def decode_role(data: bytes) -> OidcRole:
    """Raises RecordError."""
    return _ROLE.decode(data)


def encode_role(role: OidcRole) -> bytes:
    """JSON with line feed."""
    return _ROLE.encode(role)
