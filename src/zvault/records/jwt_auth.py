"""Auth methods ``jwt`` and ``oidc``: their configuration and roles, below ``auth/<uuid>/``.

What lives here: the stored forms. Pure. Durations: int nanoseconds.
Invariant: fields of the browser flow, which this engine does not run, are kept as they are.
"""

from dataclasses import dataclass, field
from typing import Any

from zvault.records.codec import Codec, Kind, Member
from zvault.records.tokenparams import TOKEN_MEMBERS, TokenParams

CONFIG_KEY = "config"
ROLE_PREFIX = "role/"


@dataclass(frozen=True, slots=True)
class JwtConfig:
    """Whose tokens are trusted."""

    oidc_discovery_url: str = ""
    oidc_discovery_ca_pem: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: str = field(default="", repr=False)
    oidc_response_mode: str = ""
    oidc_response_types: tuple[str, ...] = ()
    jwks_url: str = ""
    jwks_ca_pem: str = ""
    jwks_pairs: Any = None
    """List of objects with ``jwks_url`` and ``jwks_ca_pem``; None when there are none."""
    jwt_validation_pubkeys: tuple[str, ...] = ()
    jwt_supported_algs: tuple[str, ...] = ()
    bound_issuer: str = ""
    default_role: str = ""
    provider_config: dict[str, Any] = field(default_factory=dict)
    namespace_in_state: bool = False
    extra: dict[str, Any] = field(default_factory=dict)


_CONFIG = Codec(
    "jwt config",
    JwtConfig,
    [
        Member("oidc_discovery_url", Kind.TEXT),
        Member("oidc_discovery_ca_pem", Kind.TEXT),
        Member("oidc_client_id", Kind.TEXT),
        Member("oidc_client_secret", Kind.TEXT),
        Member("oidc_response_mode", Kind.TEXT),
        Member("oidc_response_types", Kind.TEXTS_NOT_NULL),
        Member("jwks_url", Kind.TEXT),
        Member("jwks_ca_pem", Kind.TEXT),
        Member("jwks_pairs", Kind.ANY, omit_empty=True),
        Member("jwt_validation_pubkeys", Kind.TEXTS_NOT_NULL),
        Member("jwt_supported_algs", Kind.TEXTS_NOT_NULL),
        Member("bound_issuer", Kind.TEXT),
        Member("default_role", Kind.TEXT),
        Member("provider_config", Kind.OBJECT),
        Member("namespace_in_state", Kind.BOOL),
    ],
    newline=True,
)


def decode_config(data: bytes) -> JwtConfig:
    """Raises RecordError."""
    return _CONFIG.decode(data)


def encode_config(config: JwtConfig) -> bytes:
    """JSON with line feed."""
    return _CONFIG.encode(config)


@dataclass(frozen=True, slots=True)
class JwtRole(TokenParams):
    """Who may log in, and what they get."""

    role_type: str = "oidc"
    expiration_leeway_ns: int = 0
    """0 the default, negative none; so are the next two."""
    not_before_leeway_ns: int = 0
    clock_skew_leeway_ns: int = 0
    bound_audiences: tuple[str, ...] = ()
    bound_subject: str = ""
    bound_claims_type: str = "string"
    bound_claims: Any = None
    claim_mappings: Any = None
    user_claim: str = ""
    groups_claim: str = ""
    oidc_scopes: tuple[str, ...] = ()
    allowed_redirect_uris: tuple[str, ...] = ()
    verbose_oidc_logging: bool = False
    max_age_ns: int = 0
    user_claim_json_pointer: bool = False
    policies: tuple[str, ...] = ()
    """Deprecated twin of ``token_policies``; so are the next five of their ``token_*``."""
    num_uses: int = 0
    ttl_ns: int = 0
    max_ttl_ns: int = 0
    period_ns: int = 0
    bound_cidrs: tuple[str, ...] = ()


_ROLE = Codec(
    "jwt role",
    JwtRole,
    [
        *TOKEN_MEMBERS,
        Member("role_type", Kind.TEXT),
        Member("expiration_leeway", Kind.INT, "expiration_leeway_ns"),
        Member("not_before_leeway", Kind.INT, "not_before_leeway_ns"),
        Member("clock_skew_leeway", Kind.INT, "clock_skew_leeway_ns"),
        Member("bound_audiences", Kind.TEXTS),
        Member("bound_subject", Kind.TEXT),
        Member("bound_claims_type", Kind.TEXT),
        Member("bound_claims", Kind.ANY),
        Member("claim_mappings", Kind.ANY),
        Member("user_claim", Kind.TEXT),
        Member("groups_claim", Kind.TEXT),
        Member("oidc_scopes", Kind.TEXTS),
        Member("allowed_redirect_uris", Kind.TEXTS),
        Member("verbose_oidc_logging", Kind.BOOL),
        Member("max_age", Kind.INT, "max_age_ns"),
        Member("user_claim_json_pointer", Kind.BOOL),
        Member("policies", Kind.TEXTS),
        Member("num_uses", Kind.INT),
        Member("ttl", Kind.INT, "ttl_ns"),
        Member("max_ttl", Kind.INT, "max_ttl_ns"),
        Member("period", Kind.INT, "period_ns"),
        Member("bound_cidrs", Kind.TEXTS),
    ],
    newline=True,
)


def decode_role(data: bytes) -> JwtRole:
    """Raises RecordError."""
    return _ROLE.decode(data)


def encode_role(role: JwtRole) -> bytes:
    """JSON with line feed."""
    return _ROLE.encode(role)
