"""Token store: entries, accessors, and how ids become storage keys.

What lives here: formats below ``sys/token/``. Pure. What never does: TTL arithmetic, revocation.
Units: ``creation_time`` is seconds since the epoch (the format's unit), ``*_ns`` nanoseconds.
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Any

from zvault.records import compress, gojson
from zvault.records.codec import Codec, Kind, Member

SALT_KEY = "sys/token/salt"
ID_PREFIX = "sys/token/id/"
ACCESSOR_PREFIX = "sys/token/accessor/"
PARENT_PREFIX = "sys/token/parent/"
ROLE_PREFIX = "sys/token/roles/"

SERVICE = 1
BATCH = 2
_KEPT_IDS = 256
_TYPE_NAMES = {"default": 0, "service": SERVICE, "batch": BATCH}


def salt_id(salt: str, token_id: str) -> str:
    """The salted form of a token id, accessor or lease id.

    With a ``.`` in it: ``h`` and HMAC-SHA256; without: SHA1, as before Vault 1.0.
    """
    if "." in token_id:
        return "h" + hmac.digest(salt.encode(), token_id.encode(), "sha256").hex()
    return hashlib.sha1((salt + token_id).encode()).hexdigest()  # noqa: S324 - the format's choice


class Salter:
    """``salt_id`` under one salt. Remembers the last ids, because every entry of a token wants its
    salted id; whoever makes one lets go of it with the unsealed store.
    """

    def __init__(self, salt: str) -> None:
        self._salt = salt
        self._kept: dict[str, str] = {}

    def __call__(self, token_id: str) -> str:
        found = self._kept.get(token_id)
        if found is None:
            if len(self._kept) >= _KEPT_IDS:
                self._kept.clear()
            found = self._kept[token_id] = salt_id(self._salt, token_id)
        return found


def parent_key(salted_parent: str, salted_child: str) -> str:
    """Storage key of the (empty) index entry from parent to child."""
    return f"{PARENT_PREFIX}{salted_parent}/{salted_child}"


@dataclass(frozen=True, slots=True)
class TokenEntry:
    """A service token as stored. ``id`` is the inner id, in clear."""

    id: str = field(default="", repr=False)
    accessor: str = ""
    parent: str = field(default="", repr=False)
    """Inner id of the parent; "" = orphan."""
    policies: tuple[str, ...] = ()
    path: str = ""
    """Where it was created: ``auth/token/create``, ``auth/approle/login``, …"""
    meta: dict[str, str] = field(default_factory=dict)
    internal_meta: dict[str, str] = field(default_factory=dict)
    display_name: str = ""
    num_uses: int = 0
    """0 unlimited; negative = being revoked."""
    creation_time: int = 0
    """Seconds since the epoch."""
    ttl_ns: int = 0
    explicit_max_ttl_ns: int = 0
    role: str = ""
    period_ns: int = 0
    type: int = SERVICE
    """1 service, 2 batch."""
    entity_id: str = ""
    no_identity_policies: bool = False
    bound_cidrs: tuple[str, ...] = ()
    namespace_id: str = "root"
    cubbyhole_id: str = field(default="", repr=False)
    inline_policy: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def is_root(self) -> bool:
        """Its policies are exactly ["root"]: no ACL applies."""
        return self.policies == ("root",)


_CODEC = Codec(
    "token entry",
    TokenEntry,
    [
        Member("type", Kind.INT),
        Member("id", Kind.TEXT),
        Member("accessor", Kind.TEXT),
        Member("parent", Kind.TEXT),
        Member("policies", Kind.TEXTS),
        Member("inline_policy", Kind.TEXT),
        Member("path", Kind.TEXT),
        Member("meta", Kind.TEXT_MAP),
        Member("internal_meta", Kind.TEXT_MAP),
        Member("display_name", Kind.TEXT),
        Member("num_uses", Kind.INT),
        Member("creation_time", Kind.INT),
        Member("ttl", Kind.INT, "ttl_ns"),
        Member("explicit_max_ttl", Kind.INT, "explicit_max_ttl_ns"),
        Member("role", Kind.TEXT),
        Member("period", Kind.INT, "period_ns"),
        Member("entity_id", Kind.TEXT),
        Member("no_identity_policies", Kind.BOOL),
        Member("bound_cidrs", Kind.TEXTS),
        Member("namespace_id", Kind.TEXT),
        Member("cubbyhole_id", Kind.TEXT),
    ],
    newline=False,
)
_EMPTY_TWINS: dict[str, Any] = {
    "DisplayName": "",
    "NumUses": 0,
    "CreationTime": 0,
    "ExplicitMaxTTL": 0,
}


def decode_token(data: bytes) -> TokenEntry:
    """The entry; the deprecated twin fields are folded in. Raises RecordError."""
    body = gojson.loads_object(compress.expand(data))
    _fold_twins(body)
    kind = body.get("type")
    body["type"] = (_TYPE_NAMES.get(kind, 0) if isinstance(kind, str) else kind) or SERVICE
    body["namespace_id"] = body.get("namespace_id") or "root"
    return _CODEC.from_json(body)


def _fold_twins(body: dict[str, Any]) -> None:
    """Values that old servers wrote under capitalised names; the tighter one wins."""
    for twin, name, is_limit in (
        ("DisplayName", "display_name", False),
        ("NumUses", "num_uses", True),
        ("CreationTime", "creation_time", True),
        ("ExplicitMaxTTL", "explicit_max_ttl", True),
    ):
        old, new = body.pop(twin, None), body.get(name)
        if old and (not new or (is_limit and isinstance(old, int) and old < new)):
            body[name] = old


def encode_token(entry: TokenEntry) -> bytes:
    """Plain JSON without line feed, deprecated twins empty."""
    body = _CODEC.to_json(entry)
    ordered: dict[str, Any] = {}
    for name, value in body.items():
        ordered[name] = value
        if name == "period":
            ordered.update(_EMPTY_TWINS)
    return gojson.dumps(ordered, sort_keys=False)


@dataclass(frozen=True, slots=True)
class AccessorEntry:
    """From accessor to token."""

    token_id: str = field(default="", repr=False)
    accessor_id: str = ""
    namespace_id: str = "root"
    extra: dict[str, Any] = field(default_factory=dict)


_ACCESSOR = Codec(
    "token accessor",
    AccessorEntry,
    [
        Member("token_id", Kind.TEXT),
        Member("accessor_id", Kind.TEXT),
        Member("namespace_id", Kind.TEXT),
    ],
    newline=True,
)


def decode_accessor(data: bytes) -> AccessorEntry:
    """Raises RecordError. Entries from before Vault 0.6.2 hold the bare token id."""
    if data[:1] not in (b"{", b"G", b"L", b"S", b"4"):
        return AccessorEntry(token_id=data.decode("utf-8", "replace"))
    return _ACCESSOR.decode(data)


def encode_accessor(entry: AccessorEntry) -> bytes:
    """Plain JSON with line feed."""
    return _ACCESSOR.encode(entry)
