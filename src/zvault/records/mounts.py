"""Mount tables: secret engines, auth methods and audit devices.

What lives here: the entry, the table, and which key prefix a mount's data lies under. Pure.
Source: ``docs/formats/records.md``. Audit devices use the same entry.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zvault.records import compress, gojson
from zvault.records.codec import Codec, Kind, Member
from zvault.records.errors import RecordError

MOUNTS = "mounts"
AUTH = "auth"
AUDIT = "audit"
AUDIT_CONFIG = "audit-config"
"""``table`` of an audit device that OpenBao has from its configuration."""
TABLE_KEYS = {
    MOUNTS: ("core/mounts", "core/local-mounts"),
    AUTH: ("core/auth", "core/local-auth"),
    AUDIT: ("core/audit", "core/local-audit"),
}
"""Table type to the storage keys of its two halves: ordinary entries, local entries."""
_TOKEN_TYPES = {"default": 0, "service": 1, "batch": 2, "default-service": 3, "default-batch": 4}


@dataclass(frozen=True, slots=True)
class MountConfig:
    """Tuning of a mount."""

    default_lease_ttl_ns: int = 0
    max_lease_ttl_ns: int = 0
    force_no_cache: bool = False
    audit_non_hmac_request_keys: tuple[str, ...] = ()
    audit_non_hmac_response_keys: tuple[str, ...] = ()
    listing_visibility: str = ""
    passthrough_request_headers: tuple[str, ...] = ()
    allowed_response_headers: tuple[str, ...] = ()
    token_type: int = 0
    """0 default, 1 service, 2 batch, 3 default-service, 4 default-batch."""
    extra: dict[str, Any] = field(default_factory=dict)


def _token_type(body: Mapping[str, Any]) -> dict[str, Any]:
    """Very old stores have the name instead of the number."""
    value = body.get("token_type")
    if isinstance(value, str):
        return {**body, "token_type": _TOKEN_TYPES.get(value, 0)}
    return dict(body)


_CONFIG = Codec(
    "mount config",
    MountConfig,
    [
        Member("default_lease_ttl", Kind.INT, "default_lease_ttl_ns", omit_empty=True),
        Member("max_lease_ttl", Kind.INT, "max_lease_ttl_ns", omit_empty=True),
        Member("force_no_cache", Kind.BOOL, omit_empty=True),
        Member("audit_non_hmac_request_keys", Kind.TEXTS, omit_empty=True),
        Member("audit_non_hmac_response_keys", Kind.TEXTS, omit_empty=True),
        Member("listing_visibility", Kind.TEXT, omit_empty=True),
        Member("passthrough_request_headers", Kind.TEXTS, omit_empty=True),
        Member("allowed_response_headers", Kind.TEXTS, omit_empty=True),
        Member("token_type", Kind.INT, omit_empty=True),
    ],
    newline=False,
)


@dataclass(frozen=True, slots=True)
class MountEntry:
    """One mount, auth method or audit device."""

    path: str = ""
    """With trailing ``/``, without ``auth/``."""
    type: str = ""
    table: str = MOUNTS
    description: str = ""
    uuid: str = ""
    backend_aware_uuid: str = ""
    accessor: str = ""
    config: MountConfig = field(default_factory=MountConfig)
    options: dict[str, str] | None = None
    """None and {} are listed differently, so both are kept."""
    local: bool = False
    seal_wrap: bool = False
    external_entropy_access: bool = False
    tainted: bool = False
    namespace_id: str = "root"
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def view_prefix(self) -> str:
        """The key prefix below which this mount's data lies."""
        if self.table == AUTH:
            return "sys/token/" if self.type in ("token", "ns_token") else f"auth/{self.uuid}/"
        if self.table in (AUDIT, AUDIT_CONFIG):
            return f"audit/{self.uuid}/"
        return "sys/" if self.type in ("system", "ns_system") else f"logical/{self.uuid}/"

    @property
    def kv_version(self) -> int:
        """1 or 2 for a KV mount, 0 for anything else."""
        if self.type not in ("kv", "generic"):
            return 0
        return 2 if (self.options or {}).get("version") == "2" else 1


_ENTRY = Codec(
    "mount entry",
    MountEntry,
    [
        Member("table", Kind.TEXT),
        Member("path", Kind.TEXT),
        Member("type", Kind.TEXT),
        Member("description", Kind.TEXT),
        Member("uuid", Kind.TEXT),
        Member("backend_aware_uuid", Kind.TEXT),
        Member("accessor", Kind.TEXT),
        Member("config", Kind.ANY),
        Member("options", Kind.TEXT_MAP_OR_NULL),
        Member("local", Kind.BOOL),
        Member("seal_wrap", Kind.BOOL),
        Member("external_entropy_access", Kind.BOOL, omit_empty=True),
        Member("tainted", Kind.BOOL, omit_empty=True),
        Member("namespace_id", Kind.TEXT),
    ],
    newline=True,
)


def _entry_from_json(body: Mapping[str, Any]) -> MountEntry:
    config = body.get("config") or {}
    if not isinstance(config, dict):
        raise RecordError("mount entry: field 'config' is not as it must be")
    return _ENTRY.from_json(
        {
            **body,
            "config": _CONFIG.from_json(_token_type(config)),
            "namespace_id": body.get("namespace_id") or "root",
        }
    )


def _entry_to_json(entry: MountEntry) -> dict[str, Any]:
    return {**_ENTRY.to_json(entry), "config": _CONFIG.to_json(entry.config)}


def decode_entry(data: bytes) -> MountEntry:
    """One entry of a per-entry table (OpenBao on transactional storage). Raises RecordError."""
    return _entry_from_json(gojson.loads_object(compress.expand(data)))


def encode_entry(entry: MountEntry) -> bytes:
    """One entry of a per-entry table: plain JSON with a line feed."""
    return gojson.dumps(_entry_to_json(entry), sort_keys=False, newline=True)


@dataclass(frozen=True, slots=True)
class MountTable:
    """One stored table (or one half of it)."""

    type: str
    entries: tuple[MountEntry, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Compressed JSON, as servers write it."""
        entries = [_entry_to_json(entry) for entry in self.entries]
        body = {"type": self.type, "entries": entries or None, **self.extra}
        return compress.gzipped(gojson.dumps(body, sort_keys=False, newline=True))


def decode_table(data: bytes) -> MountTable:
    """A stored table, compressed or not. Raises RecordError."""
    body = gojson.loads_object(compress.expand(data))
    table, entries = body.pop("type", None), body.pop("entries", None)
    entries = [] if entries is None else entries
    if not isinstance(table, str) or not isinstance(entries, list):
        raise RecordError("mount table: it has no type or its entries are no list")
    if not all(isinstance(entry, dict) for entry in entries):
        raise RecordError("mount table: an entry is no object")
    defaults = {"table": table}
    return MountTable(table, tuple(_entry_from_json(defaults | entry) for entry in entries), body)
