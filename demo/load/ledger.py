"""The ledger of a lane: every operation's intent and outcome, one JSON line each.

What lives here: writing it (appended and handed to the kernel line by line) and reading it back.
What never does: a token, a secret_id or a value. Tokens are named by their accessor, values by
lane and number (``values.py``).
Times are seconds of CLOCK_MONOTONIC, which all processes of one machine share.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Operation:
    """One operation of one lane. ``ended`` is None while nobody knows what came of it."""

    lane: str
    number: int
    kind: str
    intent: dict[str, Any]
    started: float
    ended: float | None = None
    error: str = ""
    got: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.ended is not None and not self.error

    @property
    def seconds(self) -> float:
        return (self.ended if self.ended is not None else time.monotonic()) - self.started


class Ledger:
    """One lane's file. A line is in the kernel when the call returns, so a kill keeps it."""

    def __init__(self, path: Path, lane: str) -> None:
        self.lane = lane
        self.number = 0
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def close(self) -> None:
        os.close(self._file)

    def run(self, kind: str, intent: dict[str, Any], act: Callable[[], dict[str, Any]]) -> bool:
        """Note the intent, act once, note the outcome. False when it failed."""
        self.number += 1
        started = time.monotonic()
        self._write({"n": self.number, "kind": kind, "at": started, "intent": intent})
        error, got = "", {}
        try:
            got = act()
        except Exception as problem:
            error = f"{type(problem).__name__}: {problem}"[:400]
        self._write({"n": self.number, "end": time.monotonic(), "error": error, "got": got})
        return not error

    def _write(self, entry: dict[str, Any]) -> None:
        line = json.dumps(entry, ensure_ascii=False, separators=(",", ":")) + "\n"
        os.write(self._file, line.encode())


class LedgerReader:
    """All lanes' files below a directory, read on from where the last call stopped."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._offsets: dict[Path, int] = {}
        self._open: dict[tuple[str, int], Operation] = {}

    def new_operations(self) -> list[Operation]:
        """Operations that ended since the last call, lane by lane in their order."""
        ended: list[Operation] = []
        for path in sorted(self._directory.glob("*.jsonl")):
            with path.open("rb") as file:
                file.seek(self._offsets.get(path, 0))
                block = file.read()
            whole = block[: block.rfind(b"\n") + 1]
            self._offsets[path] = self._offsets.get(path, 0) + len(whole)
            for line in whole.splitlines():
                operation = self._take(path.stem, json.loads(line))
                if operation is not None:
                    ended.append(operation)
        return ended

    def unfinished(self) -> list[Operation]:
        """Operations without an outcome so far."""
        return list(self._open.values())

    def _take(self, lane: str, entry: dict[str, Any]) -> Operation | None:
        key = (lane, int(entry["n"]))
        if "kind" in entry:
            self._open[key] = Operation(lane, key[1], entry["kind"], entry["intent"], entry["at"])
            return None
        begun = self._open.pop(key)
        return Operation(
            lane,
            begun.number,
            begun.kind,
            begun.intent,
            begun.started,
            entry["end"],
            entry["error"],
            entry["got"],
        )
