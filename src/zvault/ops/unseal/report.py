"""What the agent tells the world: lines for people, a status file for programs, one lock.

What lives here: the run directory with ``unseal-agent.json`` (how things stand), and
``unseal-agent.pid`` (held by flock, so there is one agent a directory). What never does: secrets;
the status file may be read by anybody who may read the directory.
"""

import fcntl
import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import orjson

from zvault.base.atomic_file import write_atomic
from zvault.base.clock import Clock
from zvault.base.gotime import SECOND_NS, format_time
from zvault.ops.unseal.decide import Memory
from zvault.ops.unseal.errors import AgentRunningError
from zvault.vaultapi.answers import SealStatus

STATUS_NAME = "unseal-agent.json"
PID_NAME = "unseal-agent.pid"
HEARTBEAT_SECONDS = 5.0
FORMAT = 1
_LOCK_PAUSES_SECONDS = (0.02, 0.05, 0.1, 0.0)


@dataclass
class StatusJournal:
    """The agent's journal: lines to ``stream``, the status file rewritten on every change."""

    address: str
    run_dir: Path | None
    clock: Clock
    stream: TextIO = field(default_factory=lambda: sys.stderr)
    _last: tuple[object, ...] = ()
    _written_at: float = float("-inf")
    _said_unwritable: bool = False

    def say(self, text: str) -> None:
        with suppress(OSError):  # a full disk under the log must not end the agent
            self.stream.write(f"{self._now()} unseal-agent: {text}\n")
            self.stream.flush()

    def record(self, state: str, reason: str, memory: Memory, status: SealStatus | None) -> None:
        now = self.clock.monotonic()
        shown = (state, reason, memory.unseals, memory.restarts)
        changed = shown != self._last
        if changed and self._last[:2] != (state, reason):
            self.say(state if reason == state else f"{state}: {reason}")
        if changed or now - self._written_at >= HEARTBEAT_SECONDS:
            self._try_to_write(state, reason, memory, status)
            self._written_at = now
        self._last = shown

    def _try_to_write(
        self, state: str, reason: str, memory: Memory, status: SealStatus | None
    ) -> None:
        """A status file that cannot be written is said once; it must not end the agent."""
        try:
            self._write(state, reason, memory, status)
            self._said_unwritable = False
        except OSError as cause:
            if not self._said_unwritable:
                self.say(f"the status file cannot be written: {cause.strerror}")
            self._said_unwritable = True

    def _write(self, state: str, reason: str, memory: Memory, status: SealStatus | None) -> None:
        if self.run_dir is None:
            return
        body: dict[str, Any] = {
            "format": FORMAT,
            "address": self.address,
            "last_unseal_seconds": memory.last_unseal_seconds,
            "pid": os.getpid(),
            "reason": reason,
            "restarts": memory.restarts,
            "sealed": None if status is None else status.sealed,
            "state": state,
            "unseals": memory.unseals,
            "updated": self._now(),
        }
        write_atomic(self.run_dir / STATUS_NAME, orjson.dumps(body) + b"\n")

    def _now(self) -> str:
        return format_time(self.clock.now_ns() // SECOND_NS * SECOND_NS)


def holder_of(run_dir: Path) -> str | None:
    """The pid of the agent that holds a run directory; None when none does."""
    try:
        descriptor = os.open(run_dir / PID_NAME, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.read(descriptor, 32).decode("ascii", "replace").strip()
    finally:
        os.close(descriptor)
    return None


class SingleInstance:
    """Holds ``unseal-agent.pid`` in a run directory until it is closed."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / PID_NAME
        run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(self._path, flags, 0o600)
        if not self._locked():
            holder = os.read(self._descriptor, 32).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise AgentRunningError(
                f"another unseal agent (pid {holder}) holds {run_dir}",
                hint="stop it first, or give this one a run directory of its own",
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def _locked(self) -> bool:
        """Tried for a moment: somebody may only be looking (``holder_of``)."""
        for pause in _LOCK_PAUSES_SECONDS:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(pause)
            else:
                return True
        return False

    def close(self) -> None:
        """Empty the pid file and let go. The file stays: removing it would let two in."""
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)
