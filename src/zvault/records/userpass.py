"""Userpass: one entry a user, below ``auth/<uuid>/user/``.

What lives here: the stored form. Pure. Durations: int nanoseconds.
Invariant: a password is stored only as its bcrypt hash; the clear text that very old stores hold
is read and never written anew.
"""

from dataclasses import dataclass, field

from zvault.records.codec import Codec, Kind, Member
from zvault.records.tokenparams import TOKEN_MEMBERS, TokenParams

USER_PREFIX = "user/"


@dataclass(frozen=True, slots=True)
class UserEntry(TokenParams):
    """One user."""

    password: str = field(default="", repr=False)
    """Clear text, in stores from before 2016 only."""
    password_hash: str = field(default="", repr=False)
    """Base64 of the bcrypt text."""
    policies: tuple[str, ...] = ()
    """Deprecated twin of ``token_policies``; so are the next three."""
    ttl_ns: int = 0
    max_ttl_ns: int = 0
    bound_cidrs: tuple[str, ...] = ()


_USER = Codec(
    "userpass user",
    UserEntry,
    [
        *TOKEN_MEMBERS,
        Member("Password", Kind.TEXT, "password", omit_empty=True),
        Member("PasswordHash", Kind.TEXT, "password_hash"),
        Member("Policies", Kind.TEXTS, "policies"),
        Member("TTL", Kind.INT, "ttl_ns"),
        Member("MaxTTL", Kind.INT, "max_ttl_ns"),
        Member("BoundCIDRs", Kind.TEXTS, "bound_cidrs"),
    ],
    newline=True,
)


def decode_user(data: bytes) -> UserEntry:
    """Raises RecordError."""
    return _USER.decode(data)


def encode_user(user: UserEntry) -> bytes:
    """JSON with line feed."""
    return _USER.encode(user)
