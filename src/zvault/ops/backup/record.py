"""What is known about a backup file: its sidecar ``NAME.json``.

What lives here: the record as a value, reading and writing it, the names of files. Pure.
Invariant: ``verified`` is true only in a record written after the file was read back from its
place, checked against its manifest, and every entry of it decrypted.
"""

import json
import re
from dataclasses import asdict, dataclass, field
from typing import Any

from zvault.base.gotime import SECOND_NS, format_time
from zvault.ops.backup.archive_write import ArchiveFormat
from zvault.ops.backup.manifest import Manifest

VERSION = 1
PARTIAL = ".partial"
SIDECAR = ".json"
_NAME = re.compile(r"vault-backup-\d{8}T\d{6}Z-[0-9a-f]{6}\.tar\.(zst|gz)")


@dataclass(frozen=True, slots=True)
class BackupRecord:
    """One backup. ``taken_ns``: the moment it shows. ``bytes``: of the file.

    ``seen``: what was counted when every entry was decrypted. ``problems``: why it is not verified.
    """

    name: str
    taken_ns: int
    store: str
    sha256: str
    bytes: int
    entries: int
    store_digest: str
    fingerprint: str
    threshold: int
    consistency: str
    verified: bool
    verified_ns: int
    seen: dict[str, int] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listed:
    """One backup file. ``record`` None: nobody ever verified it, or its record is broken."""

    name: str
    bytes: int | None
    record: BackupRecord | None

    @property
    def verified(self) -> bool:
        """Recorded as verified, and the file still has the size it had then."""
        if self.record is None or not self.record.verified:
            return False
        return self.bytes is None or self.bytes == self.record.bytes


def backup_name(taken_ns: int, token: bytes, archive_format: ArchiveFormat) -> str:
    """``vault-backup-20261121T204500Z-1a2b3c.tar.zst``; ``token`` of 3 bytes makes it unique."""
    moment = format_time(taken_ns // SECOND_NS * SECOND_NS).replace("-", "").replace(":", "")
    return f"vault-backup-{moment}-{token.hex()}.{archive_format}"


def is_backup_name(name: str) -> bool:
    """Whether a file is named like a backup."""
    return _NAME.fullmatch(name) is not None


def record_of(
    name: str,
    manifest: Manifest,
    sha256: str,
    size: int,
    *,
    verified_ns: int,
    seen: dict[str, int],
    problems: tuple[str, ...],
) -> BackupRecord:
    """The record of a backup that was read back; verified when there are no problems."""
    return BackupRecord(
        name=name,
        taken_ns=manifest.taken_ns,
        store=manifest.source,
        sha256=sha256,
        bytes=size,
        entries=manifest.digest.count,
        store_digest=manifest.digest.hex,
        fingerprint=manifest.fingerprint,
        threshold=manifest.threshold,
        consistency=manifest.consistency,
        verified=not problems,
        verified_ns=verified_ns,
        seen=seen,
        problems=problems,
    )


def encode_record(record: BackupRecord) -> bytes:
    """JSON, keys sorted."""
    body = {"format": "zvault-backup-record", "version": VERSION, **asdict(record)}
    return (json.dumps(body, sort_keys=True, indent=1) + "\n").encode()


def decode_record(content: bytes, name: str) -> BackupRecord | None:
    """The record of the file ``name``; None for anything else, which then counts as unverified."""
    try:
        body: dict[str, Any] = json.loads(content)
        if body.pop("format") != "zvault-backup-record" or body.pop("version") != VERSION:
            return None
        body["problems"] = tuple(str(problem) for problem in body["problems"])
        body["seen"] = {str(kind): int(count) for kind, count in body["seen"].items()}
        record = BackupRecord(**body)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return record if _is_sound(record, name) else None


def _is_sound(record: BackupRecord, name: str) -> bool:
    numbers = (record.taken_ns, record.bytes, record.entries, record.verified_ns, record.threshold)
    whole = all(isinstance(number, int) and not isinstance(number, bool) for number in numbers)
    return record.name == name and whole and isinstance(record.verified, bool)
