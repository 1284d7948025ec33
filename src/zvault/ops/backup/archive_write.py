"""Writing a backup: a plain tar, compressed, that ``tar`` alone opens.

What lives here: members and compression. What never does: where the file goes.
Layout: ``manifest.json``, then ``data/`` in Vault's own file layout, so that unpacking the archive
with ``tar`` gives a directory that a Vault with file storage starts on.
"""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, BinaryIO, Literal, cast

import zstandard

from zvault.ops.backup.manifest import (
    DATA_FOLDER,
    MANIFEST_NAME,
    Manifest,
    encode_manifest,
    member_name,
)
from zvault.storage.file_layout import encode_entry

ArchiveFormat = Literal["tar.zst", "tar.gz"]
_ZSTD_LEVEL, _GZIP_LEVEL = 3, 6
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Written:
    """The file's own digest and size."""

    sha256: str
    bytes: int


def write_archive(
    file: BinaryIO,
    manifest: Manifest,
    read: Callable[[str], bytes | None],
    archive_format: ArchiveFormat,
) -> Written:
    """Write the whole archive. ``read`` gives an entry's value by key. Raises OSError."""
    digest = _Digesting(file)
    seconds = manifest.taken_ns // _NS
    with (
        _compressor(digest, archive_format) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as archive,
    ):
        _add(archive, MANIFEST_NAME, encode_manifest(manifest), seconds)
        folder = _info(DATA_FOLDER, seconds)
        folder.type, folder.mode = tarfile.DIRTYPE, 0o700
        archive.addfile(folder)
        for entry in manifest.entries:
            value = read(entry.key)
            if value is None:
                raise KeyError(entry.key)
            _add(archive, member_name(entry.key), encode_entry(value), seconds)
    file.flush()
    return Written(digest.sha256.hexdigest(), digest.bytes)


class _Digesting(io.RawIOBase):
    """Passes bytes on and counts them."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()
        self.bytes = 0

    def writable(self) -> bool:
        return True

    def write(self, chunk: "bytes | memoryview | bytearray") -> int:  # type: ignore[override]
        self.sha256.update(chunk)
        self.bytes += len(chunk)
        self._file.write(chunk)
        return len(chunk)


@contextmanager
def _compressor(file: _Digesting, archive_format: ArchiveFormat) -> Iterator[IO[bytes]]:
    if archive_format == "tar.zst":
        codec = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True)
        with codec.stream_writer(cast("IO[bytes]", file), closefd=False) as packed:
            yield packed
    else:
        with gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as zipped:
            yield cast("IO[bytes]", zipped)


def _add(archive: tarfile.TarFile, name: str, content: bytes, seconds: int) -> None:
    info = _info(name, seconds)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def _info(name: str, seconds: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode, info.mtime = 0o600, seconds
    return info
