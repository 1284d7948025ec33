"""Processes that outlive the one that started them, known by pid and start time.

What lives here: starting one in a session of its own, telling whether exactly that one still runs,
ending it. What never does: what the process is for.
Invariant: a signal goes to the process that was recorded and to no other, also when the kernel has
given its pid to somebody else (pidfd, start time compared after opening it).
"""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Places in /proc/PID/stat behind the command's closing bracket: proc(5), fields 3, 20 and 22.
_STATE, _THREADS, _STARTED = 0, 17, 19
_POLL_SECONDS = 0.01


@dataclass(frozen=True)
class ProcessIdentity:
    """One process for ever: ``started`` is in clock ticks since the machine's start."""

    pid: int
    started: int


def identify(pid: int) -> ProcessIdentity | None:
    """The running process with that pid; None when there is none or only its zombie.

    A killed program whose first thread is a zombie while others still end holds its ports and
    locks, so it counts as running.
    """
    try:
        fields = _stat(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[_STATE] in ("Z", "X") and int(fields[_THREADS]) <= 1:
        return None
    return ProcessIdentity(pid, int(fields[_STARTED]))


def _stat(pid: int) -> list[str]:
    """The fields of ``/proc/PID/stat`` from the state on."""
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()


def is_alive(process: ProcessIdentity) -> bool:
    """Whether exactly this process runs."""
    return identify(process.pid) == process


def spawn_detached(
    argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], log_path: Path
) -> ProcessIdentity:
    """Start a program that stays when we go; its output is appended to ``log_path`` (0600).

    ``env`` is the whole environment; whoever needs the program alive asks ``is_alive``. Raises
    OSError when it cannot be started.
    """
    descriptor = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    try:
        child = subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)
    # Before it can be reaped: what ended at once has its start time too.
    process = ProcessIdentity(child.pid, int(_stat(child.pid)[_STARTED]))
    threading.Thread(target=child.wait, name=f"reap-{child.pid}", daemon=True).start()
    return process


def send_signal(process: ProcessIdentity, number: signal.Signals) -> bool:
    """Signal exactly this process; False when it is gone."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        if not is_alive(process):
            return False
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, number)
            return True
        return False
    finally:
        os.close(descriptor)


def wait_gone(process: ProcessIdentity, timeout_seconds: float) -> bool:
    """Wait for its end; False when it still runs after the time."""
    deadline = time.monotonic() + timeout_seconds
    while is_alive(process):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def terminate(process: ProcessIdentity, timeout_seconds: float) -> bool:
    """SIGTERM and wait; False when it still runs after the time (nothing harsher is sent)."""
    send_signal(process, signal.SIGTERM)
    return wait_gone(process, timeout_seconds)
