"""Backups for tests: a store in memory, a manifest of it, archives good and bad."""

import contextlib
import io
import tarfile
from collections.abc import Iterable, Mapping

import zstandard

from zvault.ops.backup.archive_write import ArchiveFormat, write_archive
from zvault.ops.backup.manifest import Manifest, digest_of, encode_manifest, member_name
from zvault.ops.backup.spool import Spool
from zvault.storage.file_layout import encode_entry

ENTRIES = {
    "a": b"1",
    "a/b": b"2" * 100,
    "core/keyring": b"\0" * 70,
    "logical/с пробелом/+%": bytes(range(256)),
    "sys/empty": b"",
}
Member = tuple[tarfile.TarInfo, bytes]


def make_spool(entries: Mapping[str, bytes] = ENTRIES) -> Spool:
    """A spool that holds the entries."""
    spool = Spool()
    for key, value in entries.items():
        spool.put(key, value)
    return spool


def make_manifest(entries: Mapping[str, bytes] = ENTRIES) -> Manifest:
    """A manifest of the entries."""
    with contextlib.closing(make_spool(entries)) as spool:
        digests = spool.digests()
    return Manifest(
        created="2026-11-21T00:00:00Z",
        taken_ns=1_795_219_200_000_000_000,
        source="file:/x",
        consistency="two-equal-passes",
        passes=2,
        held_ms=0,
        threshold=3,
        shares=5,
        fingerprint="f" * 64,
        digest=digest_of(digests),
        left_out=(),
        entries=digests,
    )


def make_archive(
    entries: Mapping[str, bytes] = ENTRIES, archive_format: ArchiveFormat = "tar.zst"
) -> bytes:
    """A good archive, by the product's own writer."""
    file = io.BytesIO()
    with contextlib.closing(make_spool(entries)) as spool:
        write_archive(file, make_manifest(entries), spool.read, archive_format)
    return file.getvalue()


def members(entries: Mapping[str, bytes] = ENTRIES) -> list[Member]:
    """The members of a good archive, to be tampered with."""
    manifest = make_manifest(entries)
    folder = tarfile.TarInfo("data")
    folder.type = tarfile.DIRTYPE
    first = encode_manifest(manifest)
    found = [(_file("manifest.json", first), first), (folder, b"")]
    for entry in manifest.entries:
        content = encode_entry(entries[entry.key])
        found.append((_file(member_name(entry.key), content), content))
    return found


def pack(content: Iterable[Member]) -> bytes:
    """An archive of any members, by hand."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, body in content:
            archive.addfile(info, io.BytesIO(body))
    return zstandard.ZstdCompressor().compress(plain.getvalue())


def _file(name: str, content: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info
