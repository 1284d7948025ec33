"""Reading a backup: strictly, member by member against the manifest.

What lives here: the judgement of an archive while it streams by. What never does: writing to the
file system by a member's name; values go to a spool, by storage key.
Invariant: after ``read_archive`` returns, the spool holds exactly what the manifest announces,
each entry with its digest, and the file held nothing else.
"""

import hashlib
import tarfile
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

from zvault.ops.backup.errors import (
    BackupDamagedError,
    BackupFormatError,
    UnsafeArchiveError,
)
from zvault.ops.backup.inflate import InflatingReader
from zvault.ops.backup.manifest import (
    DATA_FOLDER,
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    Manifest,
    decode_manifest,
    member_name,
    member_size,
)
from zvault.ops.backup.spool import Spool
from zvault.storage.digest import EntryDigest
from zvault.storage.file_layout import decode_entry

_BLOCK = 512
_END_BYTES = 1 << 16
_NOT_OURS = "this archive was not made by zvault; do not restore it"
_DAMAGED = "use another backup"


def read_archive(file: BinaryIO, spool: Spool, *, free_bytes: int) -> Manifest:
    """Check the archive and put its entries into ``spool``.

    ``free_bytes``: more than this is not unpacked. Raises BackupFormatError, BackupTruncatedError,
    BackupDamagedError, UnsafeArchiveError, OSError.
    """
    plain = InflatingReader(file, MAX_MANIFEST_BYTES + _END_BYTES)
    try:
        with tarfile.open(fileobj=plain, mode="r|") as archive:  # type: ignore[call-overload]
            members = _Members(archive)
            manifest = _read_manifest(members)
            announced = _announced(manifest)
            if announced > free_bytes:
                raise UnsafeArchiveError(
                    f"the archive announces {announced} bytes and {free_bytes} are free",
                    hint="free space, if you trust this archive",
                )
            plain.allow(announced)
            members.take_folder()
            for entry in manifest.entries:
                spool.put(entry.key, _value(members.take(member_name(entry.key)), entry))
            members.expect_end()
        plain.drain()
    except (tarfile.TarError, EOFError, ValueError, OverflowError):
        raise BackupDamagedError("the archive's tar structure is damaged", hint=_DAMAGED) from None
    return manifest


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    content: bytes


class _Members:
    """The members in their order; each is judged before its content is read."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self._seen: set[str] = set()

    def take(self, name: str) -> _Member:
        """The next member, which must be the regular file ``name``."""
        info = self._next()
        if info is None:
            raise BackupDamagedError(f"the archive ends before {name}", hint=_DAMAGED)
        if info.name != name or not info.isreg():
            raise _unexpected(info, name)
        content = self._archive.extractfile(info)
        return _Member(name, content.read() if content is not None else b"")

    def take_folder(self) -> None:
        """The next member, which must be the folder of the entries."""
        info = self._next()
        if info is None or not info.isdir() or info.name != DATA_FOLDER:
            raise BackupFormatError("the archive has no data folder", hint=_NOT_OURS)

    def expect_end(self) -> None:
        """Raise unless there is no further member."""
        info = self._next()
        if info is not None:
            raise _unexpected(info, "its end")

    def _next(self) -> tarfile.TarInfo | None:
        info = self._archive.next()
        if info is None:
            return None
        self._archive.members = []  # type: ignore[attr-defined]  # it would keep all of them
        _refuse_unsafe(info)
        if info.name in self._seen:
            raise UnsafeArchiveError(f"the archive holds {info.name!r} twice", hint=_NOT_OURS)
        self._seen.add(info.name)
        return info


def _refuse_unsafe(info: tarfile.TarInfo) -> None:
    path = PurePosixPath(info.name)
    if path.is_absolute() or info.name.startswith("/"):
        raise UnsafeArchiveError(
            f"the archive holds the absolute path {info.name!r}", hint=_NOT_OURS
        )
    if ".." in path.parts:
        raise UnsafeArchiveError(f"the archive holds {info.name!r} with '..'", hint=_NOT_OURS)
    if info.issym() or info.islnk():
        raise UnsafeArchiveError(f"the archive holds a link: {info.name!r}", hint=_NOT_OURS)
    if not (info.isreg() or info.isdir()) or info.issparse():
        raise UnsafeArchiveError(
            f"the archive holds something that is neither file nor folder: {info.name!r}",
            hint=_NOT_OURS,
        )


def _unexpected(info: tarfile.TarInfo, instead_of: str) -> BackupDamagedError:
    return BackupDamagedError(
        f"the archive holds {info.name!r} where {instead_of} should be", hint=_DAMAGED
    )


def _read_manifest(members: _Members) -> Manifest:
    try:
        return decode_manifest(members.take(MANIFEST_NAME).content)
    except BackupDamagedError:
        raise BackupFormatError(
            f"the archive does not begin with {MANIFEST_NAME}", hint="is it a backup of zvault?"
        ) from None


def _value(member: _Member, entry: EntryDigest) -> bytes:
    if len(member.content) == member_size(entry.size):
        try:
            value = decode_entry(member.content)
        except ValueError:
            value = None
        if value is not None and hashlib.sha256(value).hexdigest() == entry.sha256:
            return value
    raise BackupDamagedError(
        f"entry {entry.key!r} of the archive differs from the manifest", hint=_DAMAGED
    )


def _announced(manifest: Manifest) -> int:
    """The most that the entries can take in a tar: content and headers in blocks."""
    total = _END_BYTES
    for entry in manifest.entries:
        headers = 5 * _BLOCK + 4 * len(entry.key)
        total += headers + member_size(entry.size) + _BLOCK
    return total
