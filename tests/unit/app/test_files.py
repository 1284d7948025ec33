"""Laws of the site's files: the state survives, damage is named, risks are told."""

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from zvault.app.doors_files import (
    BrokenStateError,
    ConfigFiles,
    KeyFileDoor,
    MachineDoor,
    OperatorCredentials,
    StateFile,
    folder_bytes,
    remove_empty_folder,
)
from zvault.app.doors_vault import AuditFileDoor
from zvault.base.clock import ManualClock
from zvault.base.errors import PreconditionError
from zvault.base.secret import Secret
from zvault.ops.migration.model import Retired, SiteState
from zvault.ops.unseal.keeping import Maker
from zvault.ops.unseal.passwords import FilePassword
from zvault.storage.api import Storage

STATE = SiteState(9, "s3://b/v", "r1", (Retired("file:x", "r1", 7),))


async def test_the_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "run/site.json")
    assert await file.read() is None
    await file.write(STATE)
    assert await file.read() == STATE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"format":1,"stage":"9"}',
        '{"format":2,"stage":9,"store_url":"x","run":"","retired":[]}',
    ],
)
async def test_a_damaged_or_newer_state_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "site.json").write_text(text)
    with pytest.raises(BrokenStateError):
        await StateFile(tmp_path / "site.json").read()


async def test_configuration_is_written_whole_and_removed_quietly(tmp_path: Path) -> None:
    files, path = ConfigFiles(), tmp_path / "secure/config.hcl"
    assert await files.read(path) is None
    await files.write(path, "ui = true\n")
    assert await files.read(path) == "ui = true\n"
    await files.remove(path)
    await files.remove(path)
    assert await files.read(path) is None


def key_files(tmp_path: Path, password_path: Path | None, allowed: bool = False) -> KeyFileDoor:
    async def opener(url: str, *, read_only: bool) -> Storage:
        raise AssertionError("not asked")

    async def prove(storage: Storage, shares: Sequence[Secret]) -> None:
        raise AssertionError("not asked")

    return KeyFileDoor(
        path=tmp_path / "site/key",
        root=tmp_path / "site",
        password_path=password_path,
        password=lambda: FilePassword(tmp_path / "none"),
        maker=Maker(prove=prove, clock=ManualClock()),
        opener=opener,
        name="x",
        allow_password_beside=allowed,
    )


async def test_a_password_in_the_site_s_tree_is_a_risk_unless_allowed(tmp_path: Path) -> None:
    beside = tmp_path / "site/.unseal-password"
    assert "same tree" in await key_files(tmp_path, beside).layout_risk()
    assert await key_files(tmp_path, beside, allowed=True).layout_risk() == ""
    assert await key_files(tmp_path, tmp_path / "elsewhere").layout_risk() == ""
    assert await key_files(tmp_path, None).layout_risk() == ""


async def test_credentials_that_were_not_brought_are_named(tmp_path: Path) -> None:
    nothing = OperatorCredentials(None, None, key_files(tmp_path, None))
    assert not await nothing.has_shares()
    assert not await nothing.has_token()
    with pytest.raises(PreconditionError, match="no shares"):
        await nothing.shares()
    with pytest.raises(PreconditionError, match="no token"):
        await nothing.token()


async def test_the_operators_shares_come_before_the_key_files(tmp_path: Path) -> None:
    mine = [Secret(b"mine")]
    brought = OperatorCredentials(lambda: mine, None, key_files(tmp_path, None))
    assert await brought.unseal_shares() == mine


def test_only_an_empty_folder_is_removed(tmp_path: Path) -> None:
    empty, filled = tmp_path / "empty", tmp_path / "filled"
    empty.mkdir()
    filled.mkdir()
    (filled / "x").write_text("x")
    for folder in (empty, filled, tmp_path / "none"):
        remove_empty_folder(folder)
    assert not empty.exists()
    assert (filled / "x").exists()
    assert folder_bytes(filled) > 0


def test_free_space_is_asked_of_the_nearest_folder_that_exists(tmp_path: Path) -> None:
    machine = MachineDoor(ManualClock(), tmp_path)
    free = machine.free_bytes("file:not/yet/there")
    assert free is not None
    assert free > 0
    assert machine.free_bytes("s3://bucket/x") is None


AUDIT = """\
{"time":"2026-11-21T20:00:00Z","type":"request","request":{"operation":"update","path":"zakupai/data/a"}}
{"time":"2026-11-21T20:00:00Z","type":"response","request":{"operation":"update","path":"zakupai/data/a"}}
{"time":"2026-11-21T20:00:01Z","type":"response","request":{"operation":"read","path":"zakupai/data/b"}}
{"time":"2026-11-21T20:00:02Z","type":"response","error":"denied","request":{"operation":"delete","path":"zakupai/data/c"}}
not json
{"time":"2026-11-21T20:00:03Z","type":"response","request":{"operation":"delete","path":"zakupai/data/d"}}
{"time":"2026-11-21T20:00:04Z","type":"response","request":{"operation":"delete","path":"zakupai/data/d"}}
"""


async def test_what_changed_since_is_counted_and_named(tmp_path: Path) -> None:
    from zvault.base import gotime

    (tmp_path / "audit.log").write_text(AUDIT)
    file = AuditFileDoor(tmp_path / "audit.log")
    everything = gotime.parse_time("2026-11-21T20:00:00Z")
    assert await file.changes_since(everything) == (3, ["zakupai/data/a", "zakupai/data/d"])
    assert await file.changes_since(everything + 1) == (2, ["zakupai/data/d"])
    with pytest.raises(FileNotFoundError):
        await AuditFileDoor(tmp_path / "none").changes_since(0)


async def test_an_audit_file_is_moved_away_once_per_run(tmp_path: Path) -> None:
    file = AuditFileDoor(tmp_path / "audit.log")
    assert await file.size() == 0
    (tmp_path / "audit.log").write_text("line\n")
    assert await file.size() == 5
    assert not await file.rotated_for("r1")
    await file.move_away("r1")
    assert await file.rotated_for("r1")
    assert await file.size() == 0


@pytest.mark.parametrize(
    ("stage", "url", "retired"),
    [
        (12, "file:data", "file:x"),
        (9, "file:data", "file:x"),
        (8, "s3://bucket/vault", "file:x"),
        (8, "ftp:x", "file:x"),
        (8, "", "file:x"),
        (8, "file:data", "nonsense"),
    ],
)
async def test_a_stage_that_cannot_be_is_no_state(
    tmp_path: Path, stage: int, url: str, retired: str
) -> None:
    file = StateFile(tmp_path / "site.json")
    await file.write(SiteState(stage, url, "r1", (Retired(retired, "r0", 1),)))
    with pytest.raises(BrokenStateError, match=re.escape(f"stage {stage} on {url!r}")):
        await file.read()


def test_a_folder_that_takes_nothing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, later = tmp_path / "run", tmp_path / "later/config"
    good.mkdir()
    machine = MachineDoor(ManualClock(), tmp_path, (good, later))
    assert machine.trouble() == ""
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    assert machine.trouble() == f"{tmp_path} cannot be written to"
    monkeypatch.undo()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    assert machine.trouble() == f"1000 bytes are free at {good}, 4194304 are needed"
