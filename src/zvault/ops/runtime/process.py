"""A detached process, known by a record file that several programs agree on.

What lives here: start, stop, signal, liveness of one named process (the server, the agent). What
never does: what the process is for.
Invariants: every change of the record happens under its lock; liveness is pid + start time + boot,
so a recycled pid is not mistaken for ours; the child gets a clean environment that holds no secret.
The record (JSON, 0600, replaced atomically)::

    {"format": 1, "desired": "running", "command": [...], "environment": {...}, "label": {...},
     "process": {"pid": 1, "started": 1, "boot_id": "..."} | null}
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import orjson

from zvault.base import process
from zvault.base.atomic_file import write_atomic
from zvault.ops.runtime import launch
from zvault.ops.runtime.api import Desired
from zvault.ops.runtime.errors import BrokenRecordError, ServerStartError, StopTimeoutError

FORMAT = 1
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_POLL_SECONDS = 0.01


class Identity(msgspec.Struct, frozen=True):
    """Which process, for ever: a pid comes back, its start time of this boot does not."""

    pid: int
    started: int
    boot_id: str

    @property
    def process(self) -> process.ProcessIdentity:
        return process.ProcessIdentity(self.pid, self.started)

    def alive(self) -> bool:
        """True while that very process runs; a zombie is dead."""
        if self.boot_id != _BOOT_ID.read_text().strip():
            return False
        return process.is_alive(self.process)


class Record(msgspec.Struct, frozen=True):
    """What is written down about the process."""

    format: int = FORMAT
    desired: str = Desired.UNKNOWN.value
    command: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    label: dict[str, str] = {}
    process: Identity | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """What to run. ``label`` is for observers (configuration, address); nothing here is secret."""

    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    label: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DetachedProcess:
    """One process that outlives its starter. ``record_path``'s folder must exist."""

    name: str
    record_path: Path
    log_path: Path
    working_directory: Path

    def read(self) -> Record:
        """The record; an empty one when nothing was ever started. Raises BrokenRecordError."""
        try:
            text = self.record_path.read_bytes()
        except FileNotFoundError:
            return Record()
        try:
            record = msgspec.json.decode(text, type=Record)
            Desired(record.desired)
        except (msgspec.DecodeError, ValueError):
            raise BrokenRecordError(
                f"the record of the {self.name} at {self.record_path} cannot be read",
                hint=f"look whether the {self.name} runs, stop it, then remove that file",
            ) from None
        if record.format > FORMAT:
            raise BrokenRecordError(
                f"{self.record_path} has format {record.format}, newer than {FORMAT}",
                hint="use the zvault that wrote it",
            )
        return record

    def alive(self) -> bool:
        """Whether the recorded process runs."""
        seen = self.read().process
        return seen is not None and seen.alive()

    def start(self, command: Command, desired: Desired = Desired.RUNNING) -> None:
        """Write ``desired`` and start it. A running one is left alone. Raises ServerStartError."""
        with self._lock() as lock:
            record = self.read()
            if record.process is not None and record.process.alive():
                self._write(replace_desired(record, desired))
                return
            self._spawn(lock, command, desired)

    def restart(self) -> bool:
        """Start again what died, as it was last started; never what is stopped or fenced.

        True when a process was started.
        """
        with self._lock() as lock:
            record = self.read()
            dead = record.process is None or not record.process.alive()
            if record.desired != Desired.RUNNING or not record.command or not dead:
                return False
            again = Command(record.command, record.environment, record.label)
            self._spawn(lock, again, Desired.RUNNING)
            return True

    def stop(self, desired: Desired, timeout_seconds: float) -> None:
        """Write ``desired``, SIGTERM, wait until it is gone. Raises StopTimeoutError."""
        with self._lock():
            record = self.read()
            self._write(replace_desired(record, desired))
        seen = record.process
        if seen is None or not seen.alive():
            return
        if not process.terminate(seen.process, timeout_seconds):
            raise StopTimeoutError(
                f"the {self.name} (pid {seen.pid}) still runs {timeout_seconds:.0f} s"
                " after SIGTERM",
                hint=f"look at {self.log_path}",
            )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal. Raises ServerStartError when it does not run."""
        seen = self.read().process
        if seen is None or not seen.alive() or not process.send_signal(seen.process, number):
            raise ServerStartError(f"the {self.name} is not running", hint=self._log_hint())

    def _spawn(self, lock: int, command: Command, desired: Desired) -> None:
        record = Record(
            desired=desired.value,
            command=tuple(command.arguments),
            environment=dict(command.environment),
            label=dict(command.label),
        )
        self._write(record)
        self.log_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        launcher = [sys.executable, "-I", "-S", launch.__file__, str(self.record_path), str(lock)]
        try:
            child = subprocess.Popen(
                [*launcher, *command.arguments],
                cwd=self.working_directory,
                env=dict(command.environment),
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                pass_fds=(lock,),
                start_new_session=True,
            )
        finally:
            os.close(descriptor)
        # Collects the child should it end while we still run: a zombie would look like a leftover.
        threading.Thread(target=child.wait, name=f"reap-{child.pid}", daemon=True).start()
        self._await_identity(child)

    def _await_identity(self, child: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + 10
        while self.read().process is None:
            if process.identify(child.pid) is None or time.monotonic() > deadline:
                raise ServerStartError(
                    f"the {self.name} could not be started", hint=self._log_hint()
                )
            time.sleep(_POLL_SECONDS)

    def _write(self, record: Record) -> None:
        content = orjson.dumps(msgspec.to_builtins(record), option=orjson.OPT_INDENT_2)
        write_atomic(self.record_path, content)

    def _log_hint(self) -> str:
        return f"look at the end of {self.log_path}"

    @contextlib.contextmanager
    def _lock(self) -> Iterator[int]:
        path = self.record_path.with_suffix(".lock")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)


def replace_desired(record: Record, desired: Desired) -> Record:
    """The same record with another wish."""
    return msgspec.structs.replace(record, desired=desired.value)


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a child may see: where programs are and how to write text, nothing of the caller's."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}
    return {**kept, **(extra or {})}


def last_lines(path: Path, count: int = 3) -> str:
    """The end of a log, for an error's sentence; empty when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            tail = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return " / ".join(line.strip() for line in tail[-count:] if line.strip())
