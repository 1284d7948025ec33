"""ACL policies as stored below ``sys/policy/``. Pure.

The rules themselves (``raw``) are HCL or JSON; ``hcl/`` reads them, ``engine/policy`` judges.
"""

from dataclasses import dataclass, field
from typing import Any

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


def decode_policy(data: bytes) -> PolicyEntry:
    """Raises RecordError."""
    return _CODEC.decode_over({"Version": 0}, data)


def encode_policy(entry: PolicyEntry) -> bytes:
    """JSON with line feed."""
    return _CODEC.encode(entry)
