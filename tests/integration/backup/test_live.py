"""Backups of a server under load: rotations in the walk, writes held, everybody continued."""

import asyncio
import base64
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.cli import command, environment
from tests.support.golden import Golden, unpack
from tests.support.golden_storage import shares_of
from tests.support.openbao import OpenBao, running
from zvault.base import process
from zvault.base.clock import SystemClock
from zvault.ops.backup.check import open_backup
from zvault.ops.backup.collect import HELD, PassReport
from zvault.ops.backup.errors import HoldError, StoreChangingError
from zvault.ops.backup.hold import ProcessHold, hold_of, hold_of_pid_file
from zvault.ops.backup.places import DirectoryPlace
from zvault.ops.backup.restore import restore_to_directory
from zvault.ops.backup.take import Taker
from zvault.ops.unseal.submit import submit_round
from zvault.storage.file import FileStorage
from zvault.vaultapi.client import VaultApi


@pytest.fixture
def golden(tmp_path: Path) -> Golden:
    return unpack("openbao-file", tmp_path)


@pytest.fixture
def server(tmp_path: Path, golden: Golden) -> Iterator[OpenBao]:
    (tmp_path / "bao").mkdir()
    with running(tmp_path / "bao", golden.data) as started:
        submit_round(VaultApi(started.address), shares_of(golden))
        yield started


class Load:
    """Writes a new version of a secret as fast as one connection can; remembers answers."""

    def __init__(self, server: OpenBao, token: str) -> None:
        self.server, self.token = server, token
        self.acknowledged = 0
        self.failed: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        for number in itertools.count(1):
            if self._stop.is_set():
                return
            try:
                status, body = self.server.request(
                    "POST",
                    f"zakupai/data/load/{number % 50}",
                    {"data": {"n": str(number)}},
                    self.token,
                )
            except OSError as error:
                self.failed.append(str(error))
                continue
            if status != 200:
                self.failed.append(str(body))
            else:
                self.acknowledged = number

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


@contextmanager
def load_on(server: OpenBao, golden: Golden) -> Iterator[Load]:
    with Load(server, golden.expected["root_token"]) as load:
        yield load


def file_store(golden: Golden) -> FileStorage:
    return FileStorage.open(golden.data, read_only=True)


async def test_a_rotation_during_the_walk_leaves_keyring_and_entries_fitting(
    tmp_path: Path, server: OpenBao, golden: Golden
) -> None:
    """After each pass but the last the server rotates and writes under the new term."""
    token = golden.expected["root_token"]
    rotations = []

    def rotate(seen: PassReport) -> None:
        if seen.number < 3:
            assert server.request("POST", "sys/rotate", {}, token)[0] in (200, 204)
            status, _ = server.request(
                "POST", f"zakupai/data/rotated/{seen.number}", {"data": {"a": "b"}}, token
            )
            assert status == 200
            rotations.append(seen.changed)

    place = DirectoryPlace(tmp_path / "backups")
    taker = Taker(place, SystemClock(), on_pass=rotate)
    record = await taker.take(file_store(golden), shares_of(golden))
    assert record.verified, record.problems
    assert len(rotations) == 2
    assert rotations[1] > 0
    async with open_backup(place, record.name) as backup:
        await restore_to_directory(
            backup, tmp_path / "restored", FileStorage.open, shares_of(golden)
        )
    (tmp_path / "second").mkdir()
    with running(tmp_path / "second", tmp_path / "restored") as second:
        submit_round(VaultApi(second.address), shares_of(golden))
        for number in (1, 2):
            status, body = second.request("GET", f"zakupai/data/rotated/{number}", None, token)
            assert (status, body["data"]["data"]) == (200, {"a": "b"})


@pytest.mark.row("C4")
async def test_under_writes_without_a_pause_they_are_held_and_none_fails(
    tmp_path: Path, server: OpenBao, golden: Golden
) -> None:
    place = DirectoryPlace(tmp_path / "backups")
    with load_on(server, golden) as load:
        await asyncio.to_thread(_until, lambda: load.acknowledged > 20)
        taker = Taker(place, SystemClock(), hold=hold_of(server.pid))
        record = await taker.take(file_store(golden), shares_of(golden))
        after = load.acknowledged
        await asyncio.to_thread(_until, lambda: load.acknowledged > after + 20)
    assert load.failed == []
    assert (record.verified, record.consistency) == (True, HELD), record.problems
    async with open_backup(place, record.name) as backup:
        assert 0 < backup.manifest.held_ms < 5000


async def test_without_a_hold_a_store_that_never_rests_is_refused_not_guessed(
    tmp_path: Path, server: OpenBao, golden: Golden
) -> None:
    place = DirectoryPlace(tmp_path / "backups")
    with load_on(server, golden) as load:
        await asyncio.to_thread(_until, lambda: load.acknowledged > 20)
        with pytest.raises(StoreChangingError):
            await Taker(place, SystemClock()).take(file_store(golden), shares_of(golden))
    assert list(place.directory.iterdir()) == []


SLEEPER = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"]


@contextmanager
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(SLEEPER)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _until(true: object, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def test_inside_a_hold_the_process_stands_and_afterwards_it_runs() -> None:
    with sleeper() as child:
        async with hold_of(child.pid).held():
            assert state_of(child.pid) == "T"
        assert state_of(child.pid) in "SR"


async def test_an_error_inside_a_hold_continues_the_process() -> None:
    with sleeper() as child:
        with pytest.raises(ZeroDivisionError):
            async with hold_of(child.pid).held():
                raise ZeroDivisionError
        assert state_of(child.pid) in "SR"


async def test_a_hold_whose_watchdog_was_killed_is_not_called_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    start = ProcessHold._start_watchdog

    def noted(hold: ProcessHold) -> subprocess.Popen[bytes]:
        started.append(start(hold))
        return started[-1]

    async def robbed(hold: ProcessHold) -> None:
        async with hold.held():
            started[0].kill()
            started[0].wait()

    monkeypatch.setattr(ProcessHold, "_start_watchdog", noted)
    with sleeper() as child:
        with pytest.raises(HoldError, match="watchdog ended early"):
            await robbed(hold_of(child.pid))
        assert state_of(child.pid) in "SR"


async def test_a_hold_ends_at_its_limit_and_says_so() -> None:
    with sleeper() as child:
        with pytest.raises(HoldError, match="longer than"):
            async with hold_of(child.pid, 0.5).held():
                await asyncio.sleep(30)
        assert state_of(child.pid) in "SR"


def test_a_killed_holder_leaves_nobody_stopped() -> None:
    script = (
        "import asyncio, sys\n"
        "from zvault.ops.backup.hold import hold_of\n"
        "async def main():\n"
        "    async with hold_of(int(sys.argv[1])).held():\n"
        "        print('held', flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with sleeper() as child:
        holder = subprocess.Popen(
            [sys.executable, "-c", script, str(child.pid)],
            stdout=subprocess.PIPE,
            env=environment(),
        )
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert state_of(child.pid) == "T"
        holder.kill()
        holder.wait()
        holder.stdout.close()
        _until(lambda: state_of(child.pid) in "SR")


async def test_what_is_gone_stopped_already_or_has_another_start_time_is_not_held(
    tmp_path: Path,
) -> None:
    with sleeper() as child:
        own = process.identify(child.pid)
        assert own is not None
        with pytest.raises(HoldError, match="cannot be held"):
            async with ProcessHold(process.ProcessIdentity(own.pid, own.started + 1)).held():
                pass
        os.kill(child.pid, signal.SIGSTOP)
        _until(lambda: state_of(child.pid) == "T")
        with pytest.raises(HoldError, match="already stopped"):
            async with hold_of(child.pid).held():
                pass
        assert state_of(child.pid) == "T"
    with pytest.raises(HoldError, match="no process"):
        hold_of(child.pid)
    (tmp_path / "pid").write_text("x")
    with pytest.raises(HoldError, match="holds no pid"):
        hold_of_pid_file(tmp_path / "pid")


def test_the_command_takes_lists_verifies_restores_and_prunes(
    tmp_path: Path, server: OpenBao, golden: Golden
) -> None:
    shares = tmp_path / "shares.json"
    shares.write_text(json.dumps(golden.expected["shares"][:3]))
    shares.chmod(0o600)
    (tmp_path / "pid").write_text(str(server.pid))
    place = f"file:{tmp_path / 'backups'}"

    def run(*arguments: str, code: int = 0) -> dict[str, object]:
        done = subprocess.run(
            command("backup", *arguments, "--json"),
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr + done.stdout
        for share in golden.expected["shares"]:
            assert share not in done.stdout + done.stderr
            assert base64.b64decode(share).hex() not in done.stdout + done.stderr
        return dict(json.loads(done.stdout))

    keys = ["--shares-file", str(shares)]
    with load_on(server, golden):
        taken = run(
            "take",
            *("--store", f"file:{golden.data}", "--to", place, *keys),
            *("--hold-pid-file", str(tmp_path / "pid"), "--format", "tar.gz"),
        )
    assert taken["verified"] is True
    (listed,) = run("list", "--from", place)["backups"]  # type: ignore[misc]
    assert (listed["name"], listed["verified"]) == (taken["name"], True)
    assert run("verify", "latest", "--from", place, *keys)["sha256"] == taken["sha256"]
    restored = run("restore", f"file:{tmp_path / 'r'}", "--from", place, *keys)
    assert (restored["decrypted"], restored["entries"]) == (True, taken["entries"])
    again = run("restore", f"file:{tmp_path / 'r'}", "--from", place, *keys, code=3)
    assert again["error"]["code"] == "restore-destination-not-empty"  # type: ignore[index]
    path, versions = next(iter(golden.expected["kv2"].items()))
    number, data = next((n, d) for n, d in versions["readable"].items() if d is not None)
    secret = f"zakupai/{path}"
    read = run("read", "latest", secret, "--version", number, "--from", place, *keys)
    assert read == data
    absent = run("read", "latest", "zakupai/no/such", "--from", place, *keys, code=10)
    assert absent["error"]["code"] == "secret-gone"  # type: ignore[index]
    plan = run("prune", "--from", place, "--keep-days", "0")
    assert plan["removed"] == []
    gone = run("verify", "vault-backup-x.tar.zst", "--from", place, *keys, code=10)
    assert gone["error"]["code"] == "backup-not-found"  # type: ignore[index]
