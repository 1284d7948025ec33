"""The search through arguments and environments of every process that starts meanwhile.

What lives here: a thread that looks at /proc again and again. What never does: anything with the
processes it sees. A process that lives shorter than one round can be missed; the report says how
many were looked at and how often.
"""

import os
import threading
from pathlib import Path

from demo.leaks.files import Leak, search_bytes
from demo.leaks.needles import Needle

_ROUND_SECONDS = 0.03
_LOOKS = 4
"""How often one process is looked at: a program may replace itself after its start."""


class ProcessSampler:
    """Samples until stopped. Processes older than the sampler are left out."""

    def __init__(self, needles: list[Needle]) -> None:
        self._needles = list(needles)
        self._old = {self._identity(pid) for pid in self._pids()}
        self._looks: dict[tuple[int, str], int] = {}
        self._leaks: dict[Leak, None] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="process-sampler", daemon=True)
        self.rounds = 0

    @property
    def processes(self) -> int:
        """How many different processes were looked at."""
        return len(self._looks)

    @property
    def leaks(self) -> list[Leak]:
        return list(self._leaks)

    def add(self, needles: list[Needle]) -> None:
        """Look for these too from now on."""
        self._needles = [*self._needles, *needles]

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def look(self) -> None:
        """One round."""
        self.rounds += 1
        for pid in self._pids():
            identity = self._identity(pid)
            looks = self._looks.get(identity, 0)
            if identity in self._old or looks >= _LOOKS or not identity[1]:
                continue
            if self._search(pid):
                self._looks[identity] = looks + 1

    def _run(self) -> None:
        while not self._stop.wait(_ROUND_SECONDS):
            self.look()

    def _search(self, pid: int) -> bool:
        name = ""
        for part in ("cmdline", "environ"):
            try:
                content = Path(f"/proc/{pid}/{part}").read_bytes()
            except OSError:
                return False
            name = name or os.fsdecode(content.split(b"\0")[0])
            for leak in search_bytes(content, self._needles, f"{part} of {name} ({pid})"):
                self._leaks[leak] = None
        return True

    @staticmethod
    def _pids() -> list[int]:
        return [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208

    @staticmethod
    def _identity(pid: int) -> tuple[int, str]:
        """Pid and start time; the start time is empty when the process is gone."""
        try:
            text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        except OSError:
            return pid, ""
        return pid, text.rpartition(")")[2].split()[19]
