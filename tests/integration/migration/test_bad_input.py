"""What a user can do wrong: one sentence, one hint, the documented exit code, nothing changed."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.migration.real_site import RealSite, real_site
from tests.support.cli import Ran, zvault
from tests.support.golden import unpack
from tests.support.real import require
from zvault.ops.migration.journal import DiskJournalFile


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealSite]:
    """Stage 7, unsealed, with a verified backup; every test leaves it so."""
    require("caddy")
    with real_site(tmp_path_factory.mktemp("bad"), None) as made:
        made.stand()
        made.must("stage", "backup", "--shares-file", made.shares)
        yield made


def tree(site: RealSite) -> dict[str, str]:
    """Every file that is not a log or a counter of the running processes."""
    return {
        str(path.relative_to(site.root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in site.root.rglob("*")
        if path.is_file() and "frontdoor" not in path.parts and path.suffix != ".log"
    }


def refused(done: Ran, code: int, sentence: str) -> None:
    assert done.code == code, done
    assert sentence in done.err, done
    assert "Traceback" not in done.err
    said = [line for line in done.err.splitlines() if line.startswith("zvault: ")]
    assert len(said) == 1
    assert "hint: " in done.err


def test_a_folder_without_a_site(tmp_path: Path) -> None:
    refused(zvault("status", cwd=tmp_path), 2, "zvault.toml does not exist")


def test_a_site_that_never_stood(tmp_path: Path) -> None:
    (tmp_path / "zvault.toml").write_text("")
    refused(zvault("plan", "--to", "8", cwd=tmp_path), 3, "no active stage")
    refused(zvault("resume", cwd=tmp_path), 3, "no run is open")
    refused(zvault("rollback", cwd=tmp_path), 3, "no active stage")
    done = zvault("status", "--json", cwd=tmp_path)
    assert (done.code, done.json()["stage"]) == (0, None)


def test_a_plan_leaves_no_trace(tmp_path: Path) -> None:
    (tmp_path / "zvault.toml").write_text("")
    zvault("plan", "--to", "8", cwd=tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["zvault.toml"]


def test_a_plan_of_a_running_site_changes_nothing(site: RealSite) -> None:
    before = tree(site)
    done = site.run("plan", "--to", "8", "--shares-file", site.shares, "--json")
    assert done.code == 0, done
    assert done.json()["steps"][0]["step"] == "rehearse-canary"
    assert tree(site) == before


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("--to", "6"), 2, "no stage 6"),
        (("--to", "9"), 3, "no migration from stage 7 to stage 9"),
        (("--to", "7"), 3, "no migration from stage 7 to stage 7"),
        (("--to", "8"), 3, "no key file and no shares"),
        (("--to", "8", "--shares-file", "none.json"), 3, "none.json"),
        (("--to", "8", "--shares-file", "zvault.toml"), 3, "mode"),
        (("--to", "8", "--prompt-shares", "3", "--shares-file", "x"), 2, "one place"),
    ],
)
def test_a_wrong_call_is_named_and_changes_nothing(
    site: RealSite, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    before = tree(site)
    refused(site.run("migrate", "--yes", *arguments), code, sentence)
    assert tree(site) == before
    assert site.status()["stage"] == 7


def test_shares_of_another_vault_are_refused(site: RealSite, tmp_path: Path) -> None:
    other = unpack("vault-rotated-rekeyed", tmp_path)
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps(other.expected["shares"][:4]))
    wrong.chmod(0o600)
    before = tree(site)
    done = site.run("migrate", "--to", "8", "--yes", "--shares-file", wrong)
    assert done.code == 3, done
    assert tree(site) == before
    assert not site.site.unseal.key_file.exists()
    assert site.status()["server"]["sealed"] is False


def test_a_token_that_nobody_issued_is_refused(site: RealSite) -> None:
    token = site.root / "wrong-token"
    token.write_text("hvs.wrong")
    token.chmod(0o600)
    arguments = ("--to", "8", "--shares-file", site.shares, "--token-file", token)
    refused(site.run("migrate", "--yes", *arguments), 3, "permission denied")
    token.unlink()


def test_without_a_plan_s_id_nothing_begins(site: RealSite) -> None:
    before = tree(site)
    shares = ("--shares-file", site.shares)
    refused(site.run("migrate", "--to", "8", *shares), 3, "nothing was changed")
    refused(site.run("migrate", "--to", "8", "--plan", "0" * 12, *shares), 3, "the plan is")
    assert tree(site) == before


def test_a_second_operator_is_refused(site: RealSite) -> None:
    first = DiskJournalFile(site.site.places.run_dir / "journal.jsonl")
    try:
        done = site.run("migrate", "--to", "8", "--yes", "--shares-file", site.shares)
        refused(done, 9, "another zvault holds the journal")
        assert site.run("status").code == 0, "looking is always allowed"
        assert site.run("plan", "--to", "8", "--shares-file", site.shares).code == 0
    finally:
        first.close()


@pytest.mark.parametrize(
    ("line", "code", "sentence"),
    [
        (b'{"v":2,"chain":"x"}\n', 3, "newer than 1"),
        (b'{"v":1,"run":"x","chain":"0"}\n{}\n', 4, "altered or damaged"),
    ],
)
def test_a_journal_that_is_not_ours_to_read_stops_everything(
    site: RealSite, line: bytes, code: int, sentence: str
) -> None:
    path = site.site.places.run_dir / "journal.jsonl"
    before = path.read_bytes()
    path.write_bytes(before + line)
    try:
        done = site.run("migrate", "--to", "8", "--yes", "--shares-file", site.shares)
        refused(done, code, sentence)
        looked = site.run("status")
        refused(looked, code, sentence)
        assert "stage      7" in looked.out, "the stage does not depend on the journal"
    finally:
        path.write_bytes(before)


def test_a_rollback_never_goes_up(site: RealSite) -> None:
    before = tree(site)
    for stage in (7, 8, 9):
        done = site.run("rollback", "--to", str(stage), "--yes", "--shares-file", site.shares)
        refused(done, 2, f"stage 7 is active, so stage {stage} is no way back")
    assert tree(site) == before


def test_a_store_marked_by_somebody_else_is_left_alone(site: RealSite) -> None:
    marker = site.site.places.data_dir / "core/_migration"
    marker.write_text('{"Value":"eyJzdGFydCI6IngifQ=="}\n')
    try:
        done = site.run("migrate", "--to", "8", "--yes", "--shares-file", site.shares)
        refused(done, 3, "another migration works on it")
    finally:
        marker.unlink()


def test_a_sealed_server_is_not_migrated_forward(site: RealSite) -> None:
    site.must("stage", "down")
    site.must("stage", "up", "--stage", "7")
    try:
        done = site.run("migrate", "--to", "8", "--yes", "--shares-file", site.shares)
        refused(done, 3, "the server is sealed")
        refused(site.run("status", "--require-unsealed"), 7, "the server is sealed")
    finally:
        address = f"http://{site.site.server.plain_address}"
        site.must("unseal", "--address", address, "--shares-file", site.shares)


def test_a_server_that_is_down_is_said(site: RealSite) -> None:
    site.must("stage", "down")
    try:
        refused(site.run("status", "--require-unsealed"), 8, "does not answer")
        done = site.run("migrate", "--to", "8", "--yes", "--shares-file", site.shares)
        refused(done, 3, "the server is not running")
    finally:
        site.stand()


def test_a_time_that_is_none_is_named(site: RealSite) -> None:
    done = site.run("rollback", "--to", "7", "--accept-loss-since", "yesterday", "--yes")
    refused(done, 2, "is no time")


def test_a_site_file_with_errors_names_them_all(tmp_path: Path) -> None:
    (tmp_path / "zvault.toml").write_text('x = 1\n[server]\nplain_address = "y"\n')
    done = zvault("status", cwd=tmp_path)
    refused(done, 2, "x is not known")
    assert "server.plain_address must be host:port" in done.err


def test_errors_are_json_when_asked(tmp_path: Path) -> None:
    done = zvault("status", "--json", cwd=tmp_path)
    assert done.json()["error"]["code"] == "site-file"
    assert done.json()["error"]["hint"]


def test_the_state_file_must_be_readable(site: RealSite) -> None:
    path = site.site.places.run_dir / "site.json"
    before = path.read_bytes()
    path.write_bytes(b"{")
    try:
        refused(site.run("status"), 4, "cannot be read")
    finally:
        path.write_bytes(before)
        os.chmod(path, 0o600)
