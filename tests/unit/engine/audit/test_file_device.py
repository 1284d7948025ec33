"""The audit file: whole lines, appended, private, reopened on demand, never silently lost."""

import errno
import os
import stat
from pathlib import Path

import pytest

from zvault.engine.audit import file_device
from zvault.engine.audit.file_device import AuditWriteError, FileDevice
from zvault.engine.audit.options import FileOptions


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_lines_are_appended_to_what_is_there_and_the_mode_is_made_private(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_text("old\n")
    path.chmod(0o644)
    device = FileDevice(FileOptions(str(path)))
    device.open()
    device.write(b"one\n")
    device.write(b"two\n")
    assert path.read_text() == "old\none\ntwo\n"
    assert mode(path) == 0o600
    device.close()


def test_mode_zero_keeps_the_mode_of_an_existing_file(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.touch(mode=0o640)
    path.chmod(0o640)
    device = FileDevice(FileOptions(str(path), mode=0))
    device.write(b"x\n")
    device.close()
    assert mode(path) == 0o640


def test_mode_zero_makes_a_new_file_nobody_elses_to_read(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    device = FileDevice(FileOptions(str(path), mode=0))
    device.write(b"x\n")
    device.close()
    assert mode(path) == 0o600


def test_a_missing_directory_is_made_and_can_be_entered(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "deep" / "audit.log"
    device = FileDevice(FileOptions(str(path)))
    device.open()
    device.close()
    assert mode(path.parent) == 0o700


def test_a_relative_path_starts_at_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    device = FileDevice(FileOptions("audit.log"))
    device.write(b"x\n")
    device.close()
    assert (tmp_path / "audit.log").read_text() == "x\n"


def test_after_a_rotation_lines_go_to_the_new_file_and_none_is_lost(tmp_path: Path) -> None:
    path, old = tmp_path / "audit.log", tmp_path / "audit.log.1"
    device = FileDevice(FileOptions(str(path)))
    device.write(b"one\n")
    path.rename(old)
    device.write(b"two\n")
    device.reopen()
    device.write(b"three\n")
    device.close()
    assert old.read_text() == "one\ntwo\n"
    assert path.read_text() == "three\n"


def test_a_rotation_to_where_nothing_can_be_made_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    device = FileDevice(FileOptions(str(path)))
    device.write(b"one\n")
    path.unlink()
    path.mkdir()
    with pytest.raises(AuditWriteError):
        device.reopen()
    kept = device._descriptor
    assert kept is not None
    device.write(b"two\n")
    assert os.fstat(kept).st_size == len(b"one\ntwo\n")
    device.close()


def test_what_cannot_be_opened_is_refused_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(AuditWriteError, match="sanity check failed; unable to open"):
        FileDevice(FileOptions(str(tmp_path))).open()


def test_a_full_disk_is_an_error_after_one_retry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = FileDevice(FileOptions(str(tmp_path / "audit.log")))
    tries = []

    def full(descriptor: int, data: bytes) -> int:
        tries.append(descriptor)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(file_device.os, "write", full)
    with pytest.raises(AuditWriteError, match="No space left on device"):
        device.write(b"x\n")
    assert len(tries) == 2
    device.close()


def test_half_a_line_left_by_a_full_disk_never_swallows_the_next_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "audit.log"
    device = FileDevice(FileOptions(str(path)))
    real, left = os.write, [3]

    def nearly_full(descriptor: int, data: bytes) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real(descriptor, data[: left[0]])
        left[0] -= written
        return written

    monkeypatch.setattr(file_device.os, "write", nearly_full)
    with pytest.raises(AuditWriteError):
        device.write(b"first\n")
    monkeypatch.setattr(file_device.os, "write", real)
    device.write(b"second\n")
    device.close()
    assert path.read_text() == "fir\nsecond\n"


def test_a_pipe_that_nobody_reads_is_an_error_and_not_a_hung_server(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(AuditWriteError):
        FileDevice(FileOptions(str(path))).open()


def test_discard_and_null_take_everything() -> None:
    for name in ("discard", "/dev/null"):
        before = Path("/dev/null").stat().st_mode
        device = FileDevice(FileOptions(name))
        device.open()
        device.write(b"x\n")
        device.reopen()
        device.close()
        assert Path("/dev/null").stat().st_mode == before


def test_stdout_is_written_to_and_never_closed(capfd: pytest.CaptureFixture[str]) -> None:
    device = FileDevice(FileOptions("stdout"))
    device.write(b"line\n")
    device.close()
    device.write(b"again\n")
    assert capfd.readouterr().out == "line\nagain\n"
