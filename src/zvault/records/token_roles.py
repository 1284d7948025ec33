"""Token roles below ``sys/token/roles/``. Pure. Durations: int nanoseconds."""

from dataclasses import dataclass

from zvault.records.codec import Codec, Kind, Member
from zvault.records.tokenparams import TOKEN_MEMBERS, TokenParams


@dataclass(frozen=True, slots=True)
class TokenRole(TokenParams):
    """What ``auth/token/create/<role>`` may make."""

    name: str = ""
    allowed_policies: tuple[str, ...] = ()
    disallowed_policies: tuple[str, ...] = ()
    allowed_policies_glob: tuple[str, ...] = ()
    disallowed_policies_glob: tuple[str, ...] = ()
    orphan: bool = False
    period_ns: int = 0
    path_suffix: str = ""
    renewable: bool = True
    explicit_max_ttl_ns: int = 0
    bound_cidrs: tuple[str, ...] = ()
    allowed_entity_aliases: tuple[str, ...] = ()


_CODEC = Codec(
    "token role",
    TokenRole,
    [
        *TOKEN_MEMBERS,
        Member("name", Kind.TEXT),
        Member("allowed_policies", Kind.TEXTS),
        Member("disallowed_policies", Kind.TEXTS),
        Member("allowed_policies_glob", Kind.TEXTS),
        Member("disallowed_policies_glob", Kind.TEXTS),
        Member("orphan", Kind.BOOL),
        Member("period", Kind.INT, "period_ns"),
        Member("path_suffix", Kind.TEXT),
        Member("renewable", Kind.BOOL),
        Member("explicit_max_ttl", Kind.INT, "explicit_max_ttl_ns"),
        Member("bound_cidrs", Kind.TEXTS),
        Member("allowed_entity_aliases", Kind.TEXTS),
    ],
    newline=True,
)


def decode_token_role(data: bytes) -> TokenRole:
    """Raises RecordError."""
    return _CODEC.decode(data)


def encode_token_role(role: TokenRole) -> bytes:
    """JSON with line feed."""
    return _CODEC.encode(role)
