"""ACL policies as stored below ``sys/policy/``. Pure.

The rules themselves (``raw``) are HCL or JSON; ``hcl/`` reads them, ``engine/policy`` judges.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from zvault.base.gotime import ZERO_NS
from zvault.records.codec import Codec, Kind, Member

PREFIX = "sys/policy/"
ACL = 0


@dataclass(frozen=True, slots=True)
class PolicyEntry:
    """One policy. Fields that only OpenBao has stay in ``extra``."""

    raw: str = ""
    templated: bool = False
    type: int = ACL
    version: int = 2
    """0: the stored entry has none (OpenBao's newer ones), and gets none when rewritten."""
    extra: dict[str, Any] = field(default_factory=dict)


_MEMBERS = [
    Member("Version", Kind.INT, "version", omit_empty=True),
    Member("Raw", Kind.TEXT, "raw"),
    Member("Templated", Kind.BOOL, "templated"),
    Member("Type", Kind.INT, "type"),
]
_CODEC = Codec("policy", PolicyEntry, _MEMBERS, newline=True)


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What OpenBao keeps of a policy besides; times in ns, ``ZERO_NS`` for none."""

    version: int = 0
    """Counts its writes."""
    cas_required: bool = False
    expires_ns: int = ZERO_NS
    modified_ns: int = ZERO_NS
    takes_wildcards: bool = False
    takes_slashes: bool = False
    extra: dict[str, Any] = field(default_factory=dict)


_UPKEEP_CODEC = Codec(
    "policy",
    Upkeep,
    [
        Member("DataVersion", Kind.INT, "version"),
        Member("CASRequired", Kind.BOOL, "cas_required"),
        Member("Expiration", Kind.TIME, "expires_ns"),
        Member("Modified", Kind.TIME, "modified_ns"),
        Member("AllowWildcardsInIdentityTemplates", Kind.BOOL, "takes_wildcards"),
        Member("AllowSlashesInIdentityTemplates", Kind.BOOL, "takes_slashes"),
    ],
    newline=False,
)


def upkeep_of(entry: PolicyEntry) -> Upkeep | None:
    """None: no OpenBao that keeps any has written the policy. Raises RecordError."""
    return _UPKEEP_CODEC.from_json(entry.extra) if "DataVersion" in entry.extra else None


def with_upkeep(entry: PolicyEntry, upkeep: Upkeep) -> PolicyEntry:
    """The entry as OpenBao writes it."""
    return replace(entry, extra=_UPKEEP_CODEC.to_json(upkeep))


def decode_policy(data: bytes) -> PolicyEntry:
    """Raises RecordError."""
    return _CODEC.decode_over({"Version": 0}, data)


def encode_policy(entry: PolicyEntry) -> bytes:
    """JSON with line feed."""
    return _CODEC.encode(entry)
