"""A file is the old one or the new one, and a secret file is nobody else's to read."""

import os
import stat
from pathlib import Path

import pytest

from zvault.base.atomic_file import make_folders, require_private, write_atomic
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


def test_a_private_folder_is_private_and_those_above_it_are_as_the_umask_has_them(
    tmp_path: Path,
) -> None:
    """Others may have a way to go through them: a restored store's parent, a site's root."""
    (tmp_path / "usual").mkdir()
    usual = (tmp_path / "usual").stat().st_mode
    made = make_folders(tmp_path / "a" / "b" / "c")
    assert made == (tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "c")
    assert [path.stat().st_mode for path in made[:2]] == [usual, usual]
    assert made[2].stat().st_mode & 0o777 == 0o700
    assert make_folders(tmp_path / "a" / "b" / "c") == ()
