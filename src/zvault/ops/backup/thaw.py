"""The watchdog of a held server: continues it when the backup ends, dies or takes too long.

What lives here: a stand-alone script, run by path with ``python -I -S``; standard library only.
Why: a backup that is killed while the server is stopped must not leave it stopped for ever.
Arguments: pid, start time in clock ticks, limit in seconds. It says ``ready``, then waits until
its standard input ends or the limit is over, and sends SIGCONT to exactly that process.
"""

import contextlib
import os
import select
import signal
import sys


def started(pid: int) -> int:
    """Start time of a process: proc(5), field 22; -1 when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", errors="replace") as file:  # noqa: PTH123
            return int(file.read().rpartition(")")[2].split()[19])
    except OSError:
        return -1


def main(arguments: list[str]) -> None:
    pid, ticks, limit = int(arguments[0]), int(arguments[1]), float(arguments[2])
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    descriptor = os.pidfd_open(pid)
    if started(pid) != ticks:
        raise SystemExit(1)
    os.write(1, b"ready\n")
    select.select([0], [], [], limit)
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(descriptor, signal.SIGCONT)


if __name__ == "__main__":
    main(sys.argv[1:])
