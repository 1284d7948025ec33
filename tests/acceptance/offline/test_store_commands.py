"""``zvault store`` as a user runs it, on stores that real servers wrote."""

import errno
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.support.cli import Ran, command, environment, zvault
from tests.support.golden import Golden, unpack
from tests.support.golden_storage import shares_of
from tests.support.keyfiles import PASSWORD, make_key_file
from zvault.cli.store import app


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Golden:
    return unpack("vault-rotated-rekeyed", tmp_path_factory.mktemp("store"))


def private(path: Path, content: Any) -> Path:
    path.touch(mode=0o600)
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def shares(golden: Golden, tmp_path: Path) -> Path:
    return private(tmp_path / "shares.json", golden.expected["shares"][:4])


def url(golden: Golden) -> str:
    return f"file:{golden.data}"


def error(ran: Ran) -> dict[str, str]:
    """The error of a ``--json`` run, which standard error says too."""
    body = ran.json()["error"]
    assert body["message"] in ran.err
    assert "Traceback" not in ran.err
    return dict(body)


@pytest.mark.row("C1")
def test_verify_opens_every_entry_and_counts(golden: Golden, shares: Path) -> None:
    ran = zvault("store", "verify", url(golden), "--shares-file", shares, "--json")
    assert ran.code == 0, ran.err
    report = ran.json()
    expected = golden.expected
    assert report["ok"] is True
    assert report["unopened"] == []
    assert report["mounts"] == len(expected["mounts"])
    assert report["policies"] == len(expected["policies"]) + 3
    assert report["roles"] == len(expected["approle"])
    assert report["secrets"] == len(expected["kv1"]) + len(expected["kv2"])
    assert report["entries_per_second"] > 0


def test_verify_says_so_in_sentences_too(golden: Golden, shares: Path) -> None:
    ran = zvault("store", "verify", url(golden), "--shares-file", shares)
    assert ran.code == 0
    assert ran.out.endswith("every entry opens\n")


@pytest.mark.row("C1")
def test_verify_names_what_it_could_not_open_and_exits_4(
    golden: Golden, shares: Path, tmp_path: Path
) -> None:
    tree = Path(shutil.copytree(golden.data, tmp_path / "data"))
    victim = tree / "sys/policy/_billing"
    content = bytearray(victim.read_bytes())
    content[40] ^= 2
    victim.write_bytes(content)
    ran = zvault("store", "verify", f"file:{tree}", "--shares-file", shares, "--json")
    assert ran.code == 4
    assert [item["key"] for item in ran.json()["unopened"]] == ["sys/policy/billing"]
    assert "sys/policy/billing" in ran.err


def test_verify_with_dead_shares_exits_4(golden: Golden, tmp_path: Path) -> None:
    dead = private(tmp_path / "old.json", golden.expected["old_shares"])
    ran = zvault("store", "verify", url(golden), "--shares-file", dead, "--json")
    assert ran.code == 4
    assert error(ran)["code"] == "wrong-unseal-key"


def test_too_few_shares_are_a_wrong_call(golden: Golden, tmp_path: Path) -> None:
    few = private(tmp_path / "few.json", golden.expected["shares"][:3])
    ran = zvault("store", "verify", url(golden), "--shares-file", few, "--json")
    assert ran.code == 2
    assert "3 distinct shares given, 4 are needed" in error(ran)["message"]


def test_a_shares_file_that_others_can_read_is_refused(golden: Golden, shares: Path) -> None:
    shares.chmod(0o644)
    ran = zvault("store", "verify", url(golden), "--shares-file", shares, "--json")
    assert ran.code == 3
    assert "chmod" in error(ran)["hint"]


@pytest.mark.parametrize(
    ("store", "code", "slug"),
    [
        ("file:/nonexistent/place", 10, "storage-not-found"),
        ("file:/tmp/", 7, "not-initialized"),
        ("ftp://x", 2, "store-url"),
        ("nothing", 2, "store-url"),
        ("raft-snapshot:/etc/hostname", 4, "raft-snapshot"),
        ("s3://no-such-bucket/x", 2, "s3-options"),
    ],
)
def test_a_wrong_place_is_one_sentence(
    shares: Path, tmp_path: Path, store: str, code: int, slug: str
) -> None:
    if store == "file:/tmp/":
        store = f"file:{tmp_path}"
    ran = zvault("store", "verify", store, "--shares-file", shares, "--json")
    assert (ran.code, error(ran)["code"]) == (code, slug)


def test_read_prints_the_data_object_of_every_kind_of_path(golden: Golden, shares: Path) -> None:
    for path in ("with space/and+plus%25", "a", "a/b", "shared/db"):
        readable = golden.expected["kv2"][path]["readable"]
        number, data = list(readable.items())[-1]
        ran = zvault(
            "store", "read", url(golden), f"zakupai/{path}",
            "--version", number, "--shares-file", shares, "--json",
        )  # fmt: skip
        assert ran.code == 0, ran.err
        assert ran.json() == data
    path, data = next(iter(golden.expected["kv1"].items()))
    ran = zvault("store", "read", url(golden), f"legacy/{path}", "--shares-file", shares)
    assert ran.json() == data


@pytest.mark.parametrize(
    ("path", "version", "words"),
    [
        ("shared/redis", "1", "was deleted at"),
        ("shared/jwt", "1", "was destroyed"),
        ("shared/db", "1", "max_versions pushed it out"),
        ("shared/db", "99", "does not exist"),
        ("shared%2Fdb", None, "does not exist"),
        ("data/shared/db", None, "does not exist"),
        ("shared//db", None, "does not exist"),
        ("shared/./db", None, "does not exist"),
        ("a/../shared/db", None, "does not exist"),
    ],
)
def test_read_of_what_is_gone_exits_10_and_says_which(
    golden: Golden, shares: Path, path: str, version: str | None, words: str
) -> None:
    chosen = ["--version", version] if version else []
    ran = zvault(
        "store", "read", url(golden), f"zakupai/{path}",
        "--shares-file", shares, "--json", *chosen,
    )  # fmt: skip
    assert ran.code == 10
    assert words in error(ran)["message"]


@pytest.mark.parametrize(
    ("path", "code"),
    [("nowhere/x", 10), ("transit/orders", 2), ("zakupai/", 2), ("legacy/x", 10)],
)
def test_read_of_what_is_no_secret_is_one_sentence(
    golden: Golden, shares: Path, path: str, code: int
) -> None:
    ran = zvault("store", "read", url(golden), path, "--shares-file", shares, "--json")
    assert ran.code == code
    assert error(ran)["hint"]


@pytest.mark.parametrize("version", ["0", "-1", str(1 << 63), "9" * 30])
def test_a_version_that_cannot_be_is_a_wrong_call(
    golden: Golden, shares: Path, version: str
) -> None:
    ran = zvault(
        "store", "read", url(golden), "zakupai/shared/db",
        "--version", version, "--shares-file", shares, "--json",
    )  # fmt: skip
    assert (ran.code, error(ran)["code"]) == (2, "secret-path")


def test_shares_come_from_a_prompt_when_nothing_is_named(golden: Golden) -> None:
    typed = "".join(share + "\n" for share in golden.expected["shares"][:4])
    ran = zvault("store", "read", url(golden), "zakupai/shared/db", "--json", stdin=typed)
    assert ran.code == 0, ran.err
    assert ran.json() == golden.expected["kv2"]["shared/db"]["readable"]["7"]
    for share in golden.expected["shares"]:
        assert share not in ran.out + ran.err


def test_inspect_needs_no_shares(golden: Golden) -> None:
    ran = zvault("store", "inspect", url(golden), "--json")
    assert ran.code == 0
    found = ran.json()
    assert found["initialized"] is True
    assert found["seal"] == {"type": "shamir", "shares": 7, "threshold": 4, "stored_shares": 1}
    assert set(found["terms"]) == {"1", "2"}
    assert found["suspicions"] == []


def test_inspect_of_something_odd_exits_4(golden: Golden, tmp_path: Path) -> None:
    tree = Path(shutil.copytree(golden.data, tmp_path / "data"))
    (tree / "core/_keyring.temp").write_bytes(b"{")
    ran = zvault("store", "inspect", f"file:{tree}")
    assert ran.code == 4
    assert "core/keyring.temp" in ran.out


@pytest.mark.row("C1")
def test_copy_compare_and_verify_end_equal(golden: Golden, shares: Path, tmp_path: Path) -> None:
    copy = f"file:{tmp_path / 'copy'}"
    made = zvault("store", "copy", url(golden), copy, "--json", cwd=tmp_path)
    assert made.code == 0, made.err
    assert made.json()["equal"] is True
    assert made.json()["entries"] == 168
    assert "entries/s" in made.err
    again = zvault("store", "copy", url(golden), copy, "--json", cwd=tmp_path)
    assert (again.code, error(again)["code"]) == (3, "copy-destination-not-empty")
    compared = zvault("store", "compare", url(golden), copy, "--json")
    assert compared.code == 0
    assert (compared.json()["equal"], compared.json()["compared"]) == (True, 168)
    assert zvault("store", "verify", copy, "--shares-file", shares).code == 0
    assert not list(tmp_path.glob("*.journal"))


@pytest.mark.row("C1")
def test_compare_names_every_difference_and_exits_4(golden: Golden, tmp_path: Path) -> None:
    tree = Path(shutil.copytree(golden.data, tmp_path / "data"))
    (tree / "sys/policy/_billing").unlink()
    shutil.copy(tree / "sys/policy/_calc", tree / "sys/policy/_etl")
    shutil.copy(tree / "sys/policy/_calc", tree / "sys/policy/_new")
    (tree / "core/_lock").write_bytes(b'{"Value":"eA=="}\n')
    ran = zvault("store", "compare", url(golden), f"file:{tree}", "--json")
    assert ran.code == 4
    found = ran.json()
    assert found["missing_in_b"] == ["sys/policy/billing"]
    assert found["differing"] == ["sys/policy/etl"]
    assert found["extra_in_b"] == ["sys/policy/new"]
    assert found["skipped"] == 1
    shown = zvault("store", "compare", url(golden), f"file:{tree}")
    assert "sys/policy/billing" in shown.out


def test_comparing_a_store_with_itself_or_nothing_with_nothing_shows_nothing(
    golden: Golden, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(golden.data)
    same = zvault("store", "compare", url(golden), f"file:{link}", "--json")
    assert (same.code, "same store" in error(same)["message"]) == (3, True)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "stray").touch()
    nothing = zvault("store", "compare", f"file:{tmp_path}/a", f"file:{tmp_path}/b", "--json")
    assert (nothing.code, error(nothing)["code"]) == (3, "copy-source-empty")


def test_a_folder_that_is_no_vault_is_not_copied_and_nothing_is_made(
    golden: Golden, tmp_path: Path
) -> None:
    for source in (golden.data.parent, golden.data / "core"):
        ran = zvault(
            "store", "copy", f"file:{source}", f"file:{tmp_path}/new", "--json", cwd=tmp_path
        )
        assert (ran.code, error(ran)["code"]) == (7, "not-initialized")
        assert list(tmp_path.iterdir()) == []


def test_a_copy_that_is_refused_leaves_neither_folder_nor_journal(
    golden: Golden, tmp_path: Path
) -> None:
    tree = Path(shutil.copytree(golden.data, tmp_path / "data"))
    work = tmp_path / "work"
    work.mkdir()
    inside = zvault("store", "copy", f"file:{tree}", f"file:{tree}/sub/x", "--json", cwd=work)
    assert (inside.code, "overlap" in error(inside)["message"]) == (3, True)
    assert not (tree / "sub").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/_x").touch()
    filled = zvault("store", "copy", f"file:{tree}", f"file:{tmp_path}/full", "--json", cwd=work)
    assert (filled.code, error(filled)["code"]) == (3, "copy-destination-not-empty")
    assert list(work.iterdir()) == []
    empty = tmp_path / "mine"
    empty.touch()
    zvault("store", "copy", f"file:{tree}", f"file:{tmp_path}/full", "--journal", empty, cwd=work)
    assert empty.exists(), "a file that was there is not ours to remove"


def test_a_full_disk_under_the_journal_loses_no_permission_to_go_on(
    golden: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In process, because the disk must fill up in the middle."""
    real, full = os.write, [True]

    def write(descriptor: int, data: bytes) -> int:
        if full[0] and data.startswith(b'{"finishing"'):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    monkeypatch.chdir(tmp_path)
    arguments = ["copy", url(golden), f"file:{tmp_path}/copy"]
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code == 3
    assert "No space left" in refused.output
    full[0] = False
    resumed = CliRunner().invoke(app, arguments)
    assert resumed.exit_code == 0, resumed.output
    assert "resumed" in resumed.output


def test_a_copy_into_a_snapshot_is_refused(golden: Golden, tmp_path: Path) -> None:
    ran = zvault(
        "store", "copy", url(golden), f"raft-snapshot:{tmp_path}/x", "--json", cwd=tmp_path
    )
    assert (ran.code, error(ran)["code"]) == (2, "storage-read-only")


def test_two_sources_of_shares_are_a_wrong_call(golden: Golden, shares: Path) -> None:
    ran = zvault(
        "store", "verify", url(golden), "--shares-file", shares, "--key-file", shares, "--json"
    )
    assert (ran.code, error(ran)["code"]) == (2, "usage")


@pytest.mark.row("C3")
def test_a_key_file_and_its_password_open_a_store(golden: Golden, tmp_path: Path) -> None:
    key_file, password = tmp_path / "key.enc", tmp_path / "password"
    for path in (key_file, password):
        path.touch(mode=0o600)
    key_file.write_bytes(make_key_file(shares_of(golden)[:4], threshold=4))
    password.write_bytes(PASSWORD.reveal())
    options = ["--key-file", key_file, "--password-file", password, "--json"]
    ran = zvault("store", "verify", url(golden), *options)
    assert (ran.code, ran.json()["ok"]) == (0, True), ran.err
    password.write_text("another password, also long enough to be one")
    refused = zvault("store", "verify", url(golden), *options)
    assert refused.code == 4
    assert "password" in error(refused)["message"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_copy_that_was_stopped_goes_on_with_the_same_command(
    golden: Golden, shares: Path, tmp_path: Path, how: signal.Signals
) -> None:
    copy = tmp_path / "copy"
    process = subprocess.Popen(
        command("store", "copy", url(golden), f"file:{copy}"),
        cwd=tmp_path,
        env=environment(),
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 30
    while not list(copy.rglob("_*")) and process.poll() is None:
        assert time.monotonic() < deadline
    process.send_signal(how)
    _, said = process.communicate()
    if process.returncode and how == signal.SIGINT:
        assert process.returncode == 6, said
        assert b"the same command goes on" in said
    ran = zvault("store", "copy", url(golden), f"file:{copy}", "--json", cwd=tmp_path)
    if process.returncode == 0:  # it was faster than the kill
        assert ran.code == 3
    else:
        assert (ran.code, ran.json()["equal"]) == (0, True), ran.err
    assert zvault("store", "verify", f"file:{copy}", "--shares-file", shares).code == 0
