"""A ``zvault`` that writes down what it waited for; ``stalls.py`` runs it by its path.

What lives here: a clock around whatever can make a server wait, put on from outside. What never
does: load, another module of this folder (the server runs in a folder of its own).
"""

import asyncio
import functools
import gc
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, TextIO

from zvault.cli.main import main as zvault
from zvault.engine.audit.file_device import FileDevice
from zvault.server.lifecycle import Server
from zvault.storage.file_log import Log
from zvault.storage.file_logged import LoggedCommitter
from zvault.storage.file_system import PosixFileSystem

WAITS: dict[str, list[tuple[type, str]]] = {
    "the log: a record written and synced": [(Log, "append")],
    "the log: the next segment begun": [(Log, "turn")],
    "the tree made durable (syncfs)": [(PosixFileSystem, "sync_all")],
    "a file made": [(PosixFileSystem, "create")],
    "a folder made": [(PosixFileSystem, "make_folder")],
    "a file or folder removed": [(PosixFileSystem, "remove"), (PosixFileSystem, "remove_folder")],
    "a piece put off, now done": [(LoggedCommitter, "age"), (LoggedCommitter, "settle")],
    "a batch, all of it": [(LoggedCommitter, "commit")],
    "audit records written": [(FileDevice, "write")],
}
GARBAGE = "the collector of cycles"
LOOP = "the event loop did not come round"
BEAT_SECONDS = 0.002
FOUND = "stalls"
"""The file in the server's folder: a line for each wait, part and milliseconds."""


class Watch:
    """Writes down what took longer than ``limit_ms``."""

    def __init__(self, file: TextIO, limit_ms: float) -> None:
        self._file = file
        self._limit_ms = limit_ms
        self._lock = threading.Lock()
        self._collecting = 0.0

    def put_on(self) -> None:
        """Around every part, for the rest of the process."""
        for part, places in WAITS.items():
            for owner, name in places:
                setattr(owner, name, self._timed(part, getattr(owner, name)))
        gc.callbacks.append(self._collector)
        serve = Server.serve

        @functools.wraps(serve)
        async def watched(*args: Any) -> int:
            beating = asyncio.create_task(self._beat())
            try:
                return await serve(*args)
            finally:
                beating.cancel()

        setattr(Server, "serve", watched)  # noqa: B010 (no type fits a method put on from outside)

    def _timed(self, part: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def timed(*args: Any, **options: Any) -> Any:
            started = perf_counter()
            try:
                return method(*args, **options)
            finally:
                self._note(part, perf_counter() - started)

        return timed

    def _collector(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._collecting = perf_counter()
        else:
            self._note(GARBAGE, perf_counter() - self._collecting)

    async def _beat(self) -> None:
        while True:
            started = perf_counter()
            await asyncio.sleep(BEAT_SECONDS)
            self._note(LOOP, perf_counter() - started - BEAT_SECONDS)

    def _note(self, part: str, seconds: float) -> None:
        if seconds * 1e3 >= self._limit_ms:
            with self._lock:
                self._file.write(f"{seconds * 1e3:.1f} {part}\n")


def run(limit_ms: float, arguments: list[str]) -> None:
    """A server like any other, watched."""
    sys.argv = ["zvault", *arguments]
    with Path(FOUND).open("a", buffering=1) as file:  # appended to, so that it can be emptied
        Watch(file, limit_ms).put_on()
        zvault()


if __name__ == "__main__":
    run(float(sys.argv[1]), sys.argv[2:])
