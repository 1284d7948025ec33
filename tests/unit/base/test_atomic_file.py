"""A file is the old one or the new one, and a secret file is nobody else's to read."""

import os
import stat
from pathlib import Path

import pytest

from zvault.base.atomic_file import require_private, write_atomic
from zvault.base.errors import PreconditionError


def test_content_and_mode_are_what_was_asked(tmp_path: Path) -> None:
    write_atomic(tmp_path / "f", b"one")
    write_atomic(tmp_path / "f", b"two", mode=0o640)
    assert (tmp_path / "f").read_bytes() == b"two"
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["f"]


def test_a_failed_write_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_atomic(tmp_path / "f", b"old")

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_atomic(tmp_path / "f", b"new")
    assert (tmp_path / "f").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["f"]


def test_content_is_durable_before_the_name_and_the_name_on_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    sync, rename = os.fsync, Path.replace

    def noted_sync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        events.append("folder" if is_folder else "content")
        sync(descriptor)

    def noted_rename(path: Path, target: Path) -> Path:
        events.append("name")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "replace", noted_rename)
    write_atomic(tmp_path / "f", b"one")
    assert events == ["content", "name", "folder"]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o606])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "f").write_bytes(b"x")
    (tmp_path / "f").chmod(mode)
    with pytest.raises(PreconditionError, match="others can read"):
        require_private(tmp_path / "f")


def test_a_private_file_is_accepted_and_a_missing_one_named(tmp_path: Path) -> None:
    write_atomic(tmp_path / "f", b"x")
    require_private(tmp_path / "f")
    with pytest.raises(PreconditionError, match="does not exist"):
        require_private(tmp_path / "g")
