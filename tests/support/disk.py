"""What a program asks of the disk, in order: whether what it promises outlives a power cut."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


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
