"""Programs that stay: started below one folder, known by pid and start time, stopped by it.

What lives here: starting one with a log and a record, asking whether it runs, stopping it. What
never does: what a program is for.
Invariant: only a process that the record names is ever signalled (``zvault.base.process``), so a
pid that went to somebody else is left alone.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zvault.base.process import (
    ProcessIdentity,
    is_alive,
    send_signal,
    spawn_detached,
    terminate,
)


class LauncherError(Exception):
    """Something could not be started, made or proven; one sentence that names the cause."""


@dataclass(frozen=True)
class Programs:
    """Records and logs of the programs of one place."""

    folder: Path

    def log(self, name: str) -> Path:
        """What the program writes."""
        return self.folder / f"{name}.log"

    def start(
        self,
        name: str,
        argv: Sequence[str | Path],
        environment: Mapping[str, str] | None = None,
    ) -> ProcessIdentity:
        """Start it unless the recorded one still runs. Raises OSError."""
        running = self.running(name)
        if running:
            return running
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        process = spawn_detached(
            [str(part) for part in argv],
            cwd=self.folder,
            env={**plain_environment(self.folder), **(environment or {})},
            log_path=self.log(name),
        )
        self._record(name).write_text(json.dumps([process.pid, process.started]))
        return process

    def running(self, name: str) -> ProcessIdentity | None:
        """The recorded process if exactly that one still runs."""
        try:
            pid, started = json.loads(self._record(name).read_text())
        except (FileNotFoundError, ValueError):
            return None
        process = ProcessIdentity(int(pid), int(started))
        return process if is_alive(process) else None

    def names(self) -> list[str]:
        """Every program that was ever started here and not stopped, last started first."""
        records = self.folder.glob("*.process")
        newest_first = sorted(records, key=lambda path: path.stat().st_mtime_ns, reverse=True)
        return [path.stem for path in newest_first]

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM, seconds: float = 20) -> bool:
        """Signal it and wait; kill it when it stays. False when it did not run."""
        process = self.running(name)
        if process:
            if number != signal.SIGTERM:
                send_signal(process, number)
            if not terminate(process, seconds):
                send_signal(process, signal.SIGKILL)
                terminate(process, seconds)
        self._record(name).unlink(missing_ok=True)
        return process is not None

    def wait(self, name: str, holds: Callable[[], bool], seconds: float = 30) -> None:
        """Wait until it serves. Raises LauncherError with the end of its log."""
        deadline = time.monotonic() + seconds
        while not holds():
            if not self.running(name):
                raise LauncherError(f"{name} ended at once: {self.last_words(name)}")
            if time.monotonic() > deadline:
                raise LauncherError(f"{name} does not answer after {seconds:.0f} s")
            time.sleep(0.02)

    def last_words(self, name: str) -> str:
        """The last line of the log."""
        lines = self.log(name).read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it wrote nothing"

    def _record(self, name: str) -> Path:
        return self.folder / f"{name}.process"


def plain_environment(home: Path) -> dict[str, str]:
    """What a program needs to know of its surroundings, and nothing else."""
    return {"PATH": os.environ.get("PATH", ""), "HOME": str(home), "LC_ALL": "C.UTF-8"}


def beside_python(program: str) -> Path:
    """A program of this environment."""
    return Path(sys.executable).parent / program


def answers(port: int) -> bool:
    """Something accepts connections there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def run_once(argv: Sequence[str | Path], environment: Mapping[str, str]) -> str:
    """Run a command to its end; what it printed. Raises LauncherError with its last line."""
    done = subprocess.run(
        [str(part) for part in argv],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise LauncherError(f"{Path(argv[0]).name} ended with {done.returncode}: {last}")
    return done.stdout
