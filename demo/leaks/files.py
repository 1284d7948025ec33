"""The search through files, and through what is packed inside them.

What lives here: every regular file below a folder, archives opened as they are read. What never
does: a file that may hold secrets; the caller names those, and each must have mode 0600.
"""

import contextlib
import gzip
import os
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import zstandard

from demo.leaks.needles import Needle
from demo.leaks.search import PIECE_BYTES, Leak, Readable, Search, Sieve

_TARS = (".tar.zst", ".tar.gz", ".tgz")
_PACKED = (*_TARS, ".zst")


@dataclass(frozen=True)
class FileSearch:
    """What was searched and found. ``wide_inputs``: inputs that others could read."""

    files: int
    archive_members: int
    bytes_searched: int
    leaks: tuple[Leak, ...]
    wide_inputs: tuple[str, ...]


def search_files(folder: Path, needles: list[Needle], inputs: Iterable[Path]) -> FileSearch:
    """Search every file below ``folder`` but the ``inputs``; in memory is one piece at a time."""
    allowed = {path.resolve() for path in inputs}
    names = {os.path.relpath(path, folder.resolve()) for path in allowed}
    wide = [str(path) for path in sorted(allowed) if path.exists() and path.stat().st_mode & 0o077]
    search = Search(needles)
    files = members = size = 0
    leaks: list[Leak] = []
    for name in _files(folder):
        if name in names:
            continue
        path = f"{folder}/{name}"
        files += 1
        leaks += search.inside(os.fsencode(name.rpartition("/")[2]), f"the name of {path}")
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 (tens of thousands)
            sieve = Sieve(file, search, path)
            sieve.drain()
        size += sieve.size
        leaks += sieve.leaks
        if name.endswith(_PACKED):
            packed, count, unpacked_bytes = _search_packed(Path(path), search)
            leaks += packed
            members += count
            size += unpacked_bytes
    return FileSearch(files, members, size, tuple(leaks), tuple(wide))


def _files(folder: Path) -> Iterator[str]:
    """Names of the regular files below ``folder``, relative to it, in order."""
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        with os.scandir(f"{folder}/{prefix}") as entries:
            children = sorted(entries, key=lambda entry: entry.name)
        for child in children:
            if child.is_file(follow_symlinks=False):
                yield prefix + child.name
        waiting += [
            f"{prefix}{child.name}/"
            for child in reversed(children)
            if child.is_dir(follow_symlinks=False)
        ]


def _search_packed(path: Path, search: Search) -> tuple[list[Leak], int, int]:
    """What leaks, how many members there are, how many bytes unpacked.

    Members lie in the unpacked stream as they are, so searching that is enough; only when
    something is found, a second reading says in which member. A file that claims to be an archive
    and is none is an error.
    """
    with _unpacked(path) as stream:
        sieve = Sieve(stream, search, f"{path} (decompressed)")
        count = 1
        if path.name.endswith(_TARS):
            with _members(sieve) as archive:
                count += sum(member.isfile() for member in archive)
        sieve.drain()
    leaks = sieve.leaks
    if leaks and path.name.endswith(_TARS):
        leaks = leaks + _leaking_members(path, search)
    return leaks, count, sieve.size


def _leaking_members(path: Path, search: Search) -> list[Leak]:
    leaks = []
    with _unpacked(path) as stream, _members(stream) as archive:
        for member in archive:
            content = archive.extractfile(member)
            if content is not None:
                sieve = Sieve(content, search, f"{path} ({member.name})")
                sieve.drain()
                leaks += sieve.leaks
    return leaks


def _members(stream: Readable) -> tarfile.TarFile:
    """An archive that is read once, from its beginning to its end."""
    return tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r|", bufsize=PIECE_BYTES)


@contextlib.contextmanager
def _unpacked(path: Path) -> Iterator[Readable]:
    if not path.name.endswith(".zst"):
        with gzip.open(path, "rb") as stream:
            yield stream
        return
    with path.open("rb") as file:
        yield zstandard.ZstdDecompressor().stream_reader(
            file, read_size=PIECE_BYTES, read_across_frames=True
        )
