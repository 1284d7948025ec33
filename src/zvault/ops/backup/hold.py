"""Holding a server's writes by holding its process.

What lives here: SIGSTOP, the proof that every thread stands, SIGCONT. What never does: how long
the work inside takes.
Why a signal: it works for the embedded server, for OpenBao and for HashiCorp Vault alike, whatever
the storage, and what it leaves behind is what a power cut would leave, which every Vault must
survive. Clients wait; nothing is refused.
Invariant: the process is continued whatever becomes of us: a watchdog of its own sends SIGCONT
when our end of a pipe closes, or after the limit.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from zvault.base import process
from zvault.base.process import ProcessIdentity
from zvault.ops.backup import thaw
from zvault.ops.backup.errors import HoldError

DEFAULT_LIMIT_SECONDS = 20.0
_STAND_SECONDS = 5.0
_LOOK_AGAIN_SECONDS = 0.002
_STANDING = frozenset("Tt")
_GONE = frozenset("ZX")


@dataclass(frozen=True, slots=True)
class ProcessHold:
    """Holds one server process, at most for ``limit_seconds``."""

    server: ProcessIdentity
    limit_seconds: float = DEFAULT_LIMIT_SECONDS

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Inside, the process stands still.

        Raises HoldError: it is gone, not ours to stop, does not come to a stand, or the limit
        passed before the end.
        """
        if set(_states(self.server.pid)) & _STANDING:
            raise HoldError(
                f"the server (pid {self.server.pid}) is already stopped by somebody",
                hint=f"continue it first: kill -CONT {self.server.pid}",
            )
        watchdog = self._start_watchdog()
        try:
            self._signal(signal.SIGSTOP)
            await asyncio.to_thread(self._await_standing)
            try:
                async with asyncio.timeout(self.limit_seconds * 0.9):
                    yield
            except TimeoutError:
                raise HoldError(
                    f"the last passes took longer than {self.limit_seconds:g} s of held writes",
                    hint="raise --hold-limit, or take the backup while less is written",
                ) from None
            if watchdog.poll() is not None:
                raise HoldError("the watchdog ended early, so writes went on", hint="try again")
        finally:
            with contextlib.suppress(PermissionError):
                process.send_signal(self.server, signal.SIGCONT)
            assert watchdog.stdin is not None
            watchdog.stdin.close()
            await asyncio.to_thread(watchdog.wait)

    def _start_watchdog(self) -> subprocess.Popen[bytes]:
        identity = [str(self.server.pid), str(self.server.started), str(self.limit_seconds)]
        watchdog = subprocess.Popen(
            [sys.executable, "-I", "-S", thaw.__file__, *identity],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PATH": os.defpath},
            start_new_session=True,
        )
        assert watchdog.stdout is not None
        with watchdog.stdout as said:
            ready = said.readline()
        if ready != b"ready\n":
            assert watchdog.stdin is not None
            watchdog.stdin.close()
            watchdog.wait()
            raise HoldError(
                f"the server (pid {self.server.pid}) cannot be held: it is gone, or not ours",
                hint="run this as the server's user, with its present pid",
            )
        return watchdog

    def _signal(self, number: signal.Signals) -> None:
        try:
            sent = process.send_signal(self.server, number)
        except PermissionError:
            raise HoldError(
                f"the server (pid {self.server.pid}) belongs to another user",
                hint="run this as the server's user",
            ) from None
        if not sent:
            raise HoldError(
                f"the server (pid {self.server.pid}) has ended", hint="take the backup again"
            )

    def _await_standing(self) -> None:
        deadline = time.monotonic() + _STAND_SECONDS
        while not set(_states(self.server.pid)) <= _STANDING | _GONE:
            if time.monotonic() > deadline:
                raise HoldError(
                    f"the server (pid {self.server.pid}) does not come to a stand",
                    hint="is its disk hanging?",
                )
            time.sleep(_LOOK_AGAIN_SECONDS)


def hold_of(pid: int, limit_seconds: float = DEFAULT_LIMIT_SECONDS) -> ProcessHold:
    """A hold on the process that now has ``pid``. Raises HoldError."""
    server = process.identify(pid)
    if server is None:
        raise HoldError(f"no process has the pid {pid}", hint="is the server running?")
    return ProcessHold(server, limit_seconds)


def hold_of_pid_file(path: Path, limit_seconds: float = DEFAULT_LIMIT_SECONDS) -> ProcessHold:
    """A hold on the process whose pid is in a file. Raises HoldError."""
    try:
        pid = int(path.read_text().strip())
    except (OSError, ValueError):
        raise HoldError(f"{path} holds no pid", hint="is the server running?") from None
    return hold_of(pid, limit_seconds)


def _states(pid: int) -> list[str]:
    """The state letter of every thread: proc(5)."""
    states = []
    for thread in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            states.append(thread.read_text(errors="replace").rpartition(")")[2].split()[0])
        except (OSError, IndexError):
            continue
    return states
