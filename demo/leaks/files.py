"""The search through files, and through what is packed inside them.

What lives here: every regular file below a folder, archives opened member by member. What never
does: a file that may hold secrets; the caller names those, and each must have mode 0600.
"""

import io
import mmap
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import zstandard

from demo.leaks.needles import Needle

_PACKED = (".tar.zst", ".tar.gz", ".tgz", ".zst")


@dataclass(frozen=True)
class Leak:
    """A secret found where it must not be."""

    of: str
    spelling: str
    where: str

    def __str__(self) -> str:
        return f"{self.of} ({self.spelling}) in {self.where}"


@dataclass(frozen=True)
class FileSearch:
    """What was searched and found. ``wide_inputs``: inputs that others could read."""

    files: int
    archive_members: int
    bytes_searched: int
    leaks: tuple[Leak, ...]
    wide_inputs: tuple[str, ...]


def search_files(folder: Path, needles: list[Needle], inputs: Iterable[Path]) -> FileSearch:
    """Search every file below ``folder`` but the ``inputs``."""
    allowed = {path.resolve() for path in inputs}
    files = members = size = 0
    leaks: list[Leak] = []
    wide = [str(path) for path in sorted(allowed) if path.exists() and path.stat().st_mode & 0o077]
    for path in _files(folder):
        if path.resolve() in allowed:
            continue
        files += 1
        size += path.stat().st_size
        leaks += _search(path, needles, str(path))
        if path.name.endswith(_PACKED):
            for name, content in _members(path):
                members += 1
                size += len(content)
                leaks += search_bytes(content, needles, f"{path} ({name})")
    return FileSearch(files, members, size, tuple(leaks), tuple(wide))


def search_bytes(content: bytes | mmap.mmap, needles: list[Needle], where: str) -> list[Leak]:
    """Every needle in some bytes."""
    return [
        Leak(needle.of, needle.spelling, where)
        for needle in needles
        if content.find(needle.pattern) >= 0
    ]


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path


def _search(path: Path, needles: list[Needle], where: str) -> list[Leak]:
    found = search_bytes(path.name.encode(), needles, f"the name of {where}")
    if not path.stat().st_size:
        return found
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return found + search_bytes(content, needles, where)


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """What an archive holds. A file that claims to be one and cannot be opened is an error."""
    if path.name.endswith(".zst"):
        with path.open("rb") as file:
            unpacked = zstandard.ZstdDecompressor().stream_reader(file).read()
        yield "decompressed", unpacked
        if path.name.endswith(".tar.zst"):
            with tarfile.open(fileobj=io.BytesIO(unpacked)) as archive:
                yield from _tar_members(archive)
        return
    with tarfile.open(path) as archive:
        yield from _tar_members(archive)


def _tar_members(archive: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    for member in archive:
        content = archive.extractfile(member)
        if content is not None:
            yield member.name, content.read()
