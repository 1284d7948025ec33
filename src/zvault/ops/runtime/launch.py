"""A new process writes who it is into its record, then becomes the program.

What lives here: a stand-alone script, run by path with ``python -I -S``; standard library only.
Why: the parent may be killed between starting a child and writing its pid down; a child that
nobody knows keeps the port and the data lock for ever. So the child writes its own pid, durably,
before the program begins, while it still holds the record's lock that it inherited.
Invariant: when the lock is free again, the record names the process that runs, or none runs.
Arguments: record file, lock's descriptor, then the program and its arguments.
"""

import json
import os
import sys


def start_ticks(stat: str) -> int:
    """Field 22 of /proc/PID/stat: start time in clock ticks since boot (proc(5))."""
    return int(stat.rpartition(")")[2].split()[19])


def main(arguments: list[str]) -> None:
    record_path, lock, *program = arguments
    with open(record_path, "rb") as file:  # noqa: PTH123 - pathlib costs start-up time
        record = json.load(file)
    with open("/proc/self/stat", errors="replace") as file:  # noqa: PTH123
        ticks = start_ticks(file.read())
    with open("/proc/sys/kernel/random/boot_id") as file:  # noqa: PTH123
        boot = file.read().strip()
    record["process"] = {"pid": os.getpid(), "started": ticks, "boot_id": boot}
    temporary = f"{record_path}.{os.getpid()}.partial"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        json.dump(record, out)
        out.flush()
        os.fsync(out.fileno())
    os.replace(temporary, record_path)  # noqa: PTH105
    # The program must not keep the lock: exec closes it.
    os.set_inheritable(int(lock), False)
    os.execv(program[0], program)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
