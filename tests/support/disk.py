"""What a program asks of the disk, in order: whether what it promises outlives a power cut."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from zvault.storage.file_layout import SCRATCH_NAME
from zvault.storage.file_system import PosixFileSystem


@dataclass(frozen=True)
class Asked:
    """``sync``: a file or folder; ``rename``: the new name. ``size_bytes`` as they were then."""

    what: str
    path: Path
    size_bytes: int


def watch_disk(monkeypatch: pytest.MonkeyPatch) -> list[Asked]:
    """Every fsync and every rename from now on."""
    seen: list[Asked] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(descriptor: int) -> None:
        fsync(descriptor)
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        seen.append(Asked("sync", path, os.fstat(descriptor).st_size))

    def noted_replace(path: Path, target: Any) -> Path:
        named = replace(path, target)
        seen.append(Asked("rename", named, named.stat().st_size))
        return named

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    return seen


def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on nothing reaches the disk."""

    def fails(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)


class WatchedDisk:
    """What is below ``root``, and how much of it a power cut now would take.

    A file's content counts from its last sync on, as long as nothing was written to it since; its
    name, from the last sync of its folder on. What is there at the start is safe.
    """

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._root = root
        self._contents: dict[int, tuple[int, int]] = {}
        self._names: dict[int, frozenset[tuple[str, int]]] = {}
        self._saw_all()
        fsync = os.fsync

        def noted(descriptor: int) -> None:
            fsync(descriptor)
            self._saw(Path(os.readlink(f"/proc/self/fd/{descriptor}")))

        sync_all = PosixFileSystem.sync_all

        def noted_all(files: PosixFileSystem) -> None:
            sync_all(files)
            self._saw_all()

        monkeypatch.setattr(os, "fsync", noted)
        monkeypatch.setattr(PosixFileSystem, "sync_all", noted_all)

    def would_lose(self) -> list[str]:
        """Paths below the root whose name, content or removal is not on the disk yet."""
        lost: list[str] = []
        for folder, _, names in os.walk(self._root):
            now, safe = _names_in(Path(folder)), self._names.get(_inode(Path(folder)), frozenset())
            changed = sorted({name for name, _ in now ^ safe})
            lost += [str(Path(folder, name).relative_to(self._root)) for name in changed]
            for name in names:
                path = Path(folder, name)
                if name not in changed and self._contents.get(_inode(path)) != _content(path):
                    lost.append(str(path.relative_to(self._root)))
        return sorted(lost)

    def _saw_all(self) -> None:
        for folder, _, names in os.walk(self._root):
            for path in (Path(folder), *(Path(folder, name) for name in names)):
                self._saw(path)

    def _saw(self, path: Path) -> None:
        if path.is_dir():
            self._names[_inode(path)] = _names_in(path)
        elif path.is_file():
            self._contents[_inode(path)] = _content(path)


def _inode(path: Path) -> int:
    return path.lstat().st_ino


def _content(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_size, found.st_mtime_ns


def _names_in(folder: Path) -> frozenset[tuple[str, int]]:
    """Without a store's scratch folder: it may come back, and the next open clears it."""
    with os.scandir(folder) as entries:
        found = frozenset((entry.name, entry.inode()) for entry in entries)
    return frozenset(one for one in found if one[0] != SCRATCH_NAME)
