"""The first member of a backup: what is in it, with digests (``docs/formats/backup.md``).

What lives here: the manifest as a value, its strict reading and its writing. Pure.
Invariant: everything a reader relies on is in here, so an archive is judged member by member as it
streams by, and nothing that the manifest does not announce is taken.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zvault.base.json_fields import count_field, text_field
from zvault.ops.backup.errors import (
    BackupDamagedError,
    BackupFormatError,
    UnsafeArchiveError,
)
from zvault.storage.digest import EntryDigest, StoreDigest, StoreHasher
from zvault.storage.errors import InvalidKeyError
from zvault.storage.file_layout import encode_entry, entry_path
from zvault.storage.keys import check_key, is_skipped_by_copy

FORMAT = "zvault-backup"
VERSION = 1
MANIFEST_NAME = "manifest.json"
DATA_FOLDER = "data"
MAX_MANIFEST_BYTES = 128 << 20
_ENVELOPE_BYTES = len(encode_entry(b""))


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A name in the store that is not in the backup, and why.

    ``damaged``: there is an entry and it cannot be read, so the backup lacks something.
    """

    key: str
    reason: str
    damaged: bool


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds.

    ``created`` RFC 3339; ``taken_ns`` the moment the last pass over the store ended; ``source``
    the store's URL; ``consistency`` how one moment was got; ``fingerprint`` which seal opens it.
    """

    created: str
    taken_ns: int
    source: str
    consistency: str
    passes: int
    held_ms: int
    threshold: int
    shares: int
    fingerprint: str
    digest: StoreDigest
    left_out: tuple[LeftOut, ...]
    entries: tuple[EntryDigest, ...]


def encode_manifest(manifest: Manifest) -> bytes:
    """One JSON object; an entry is ``[key, size, sha256]``."""
    body: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "created": manifest.created,
        "taken_ns": manifest.taken_ns,
        "source": manifest.source,
        "consistency": {
            "kind": manifest.consistency,
            "passes": manifest.passes,
            "held_ms": manifest.held_ms,
        },
        "seal": {
            "threshold": manifest.threshold,
            "shares": manifest.shares,
            "fingerprint": manifest.fingerprint,
        },
        "store": {
            "count": manifest.digest.count,
            "bytes": manifest.digest.bytes,
            "sha256": manifest.digest.hex,
        },
        "left_out": [[item.key, item.reason, item.damaged] for item in manifest.left_out],
        "entries": [[entry.key, entry.size, entry.sha256] for entry in manifest.entries],
    }
    return json.dumps(body, separators=(",", ":")).encode() + b"\n"


def decode_manifest(content: bytes) -> Manifest:
    """Raises BackupFormatError for anything but a manifest of a known version.

    Raises UnsafeArchiveError for a key that no store can hold, BackupDamagedError when the entries
    do not make up the store's digest.
    """
    try:
        body = json.loads(content)
        if body["format"] != FORMAT:
            raise ValueError("not ours")
        version = body["version"]
        if isinstance(version, int) and version > VERSION:
            raise BackupFormatError(
                f"the backup has format version {version}; this program knows {VERSION}",
                hint="use the newer zvault that wrote it",
            )
        manifest = _build(body)
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        raise BackupFormatError(
            "the archive's manifest cannot be read", hint="is this a backup made by zvault?"
        ) from None
    _check(manifest)
    return manifest


def digest_of(entries: Sequence[EntryDigest]) -> StoreDigest:
    """The store's digest, as ``storage.digest`` computes it from the store itself."""
    hasher = StoreHasher()
    for entry in entries:
        hasher.add(entry)
    return hasher.finish()


def member_name(key: str) -> str:
    """Where the entry lies in the archive: Vault's own file layout below ``data/``."""
    return f"{DATA_FOLDER}/{entry_path(key)}"


def member_size(value_bytes: int) -> int:
    """The bytes of an entry's file in Vault's envelope."""
    return _ENVELOPE_BYTES + 4 * ((value_bytes + 2) // 3)


def _build(body: dict[str, Any]) -> Manifest:
    seal, store, consistency = body["seal"], body["store"], body["consistency"]
    return Manifest(
        created=text_field(body["created"]),
        taken_ns=count_field(body["taken_ns"]),
        source=text_field(body["source"]),
        consistency=text_field(consistency["kind"]),
        passes=count_field(consistency["passes"]),
        held_ms=count_field(consistency["held_ms"]),
        threshold=count_field(seal["threshold"]),
        shares=count_field(seal["shares"]),
        fingerprint=text_field(seal["fingerprint"]),
        digest=StoreDigest(
            count_field(store["count"]), count_field(store["bytes"]), text_field(store["sha256"])
        ),
        left_out=tuple(
            LeftOut(text_field(key), text_field(reason), damaged is True)
            for key, reason, damaged in body["left_out"]
        ),
        entries=tuple(
            EntryDigest(text_field(key), count_field(size), text_field(sha256))
            for key, size, sha256 in body["entries"]
        ),
    )


def _check(manifest: Manifest) -> None:
    last = None
    for entry in manifest.entries:
        try:
            check_key(entry.key)
        except InvalidKeyError as cause:
            raise UnsafeArchiveError(
                f"the manifest names a key that no store can hold: {cause.message}",
                hint="this archive was not made by zvault; do not restore it",
            ) from None
        if is_skipped_by_copy(entry.key) or (last is not None and entry.key <= last):
            raise UnsafeArchiveError(
                f"the manifest names {entry.key!r} twice, out of order, or it is a lock",
                hint="this archive was not made by zvault; do not restore it",
            )
        last = entry.key
    try:
        good = digest_of(manifest.entries) == manifest.digest
    except (ValueError, OverflowError):
        good = False
    if not good:
        raise BackupDamagedError(
            "the manifest's entries do not make up its store digest", hint="use another backup"
        )
