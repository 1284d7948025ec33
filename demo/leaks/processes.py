"""The search through arguments and environments of every process that starts meanwhile.

What lives here: a thread that looks at /proc again and again. What never does: anything with the
processes it sees. A process that lives shorter than one round can be missed; the report says how
many were looked at and how often.
"""

import os
import threading
from pathlib import Path

from demo.leaks.needles import Needle
from demo.leaks.search import Leak, Search

_ROUND_SECONDS = 0.03
_LOOKS = 4
"""How often one process is looked at: a program may replace itself after its start."""


class ProcessSampler:
    """Samples until stopped. Processes older than the sampler are left out.

    What it saw is kept and searched at the end, because some secrets are made on the way.
    """

    def __init__(self) -> None:
        self._old = {self._identity(pid) for pid in self._pids()}
        self._looks: dict[tuple[int, str], int] = {}
        self._seen: dict[bytes, str] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="process-sampler", daemon=True)
        self.rounds = 0

    @property
    def processes(self) -> int:
        """How many different processes were looked at."""
        return len(self._looks)

    def leaks(self, needles: list[Needle]) -> list[Leak]:
        """What lay in any argument or environment seen so far."""
        search = Search(needles)
        return [
            leak for content, where in self._seen.items() for leak in search.inside(content, where)
        ]

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> None:
        """One round."""
        self.rounds += 1
        for pid in self._pids():
            identity = self._identity(pid)
            looks = self._looks.get(identity, 0)
            if identity in self._old or looks >= _LOOKS or not identity[1]:
                continue
            if self._note(pid):
                self._looks[identity] = looks + 1

    def _run(self) -> None:
        while not self._stop.wait(_ROUND_SECONDS):
            self.look()

    def _note(self, pid: int) -> bool:
        name = ""
        for part in ("cmdline", "environ"):
            try:
                content = Path(f"/proc/{pid}/{part}").read_bytes()
            except OSError:
                return False
            name = name or os.fsdecode(content.split(b"\0")[0])
            self._seen.setdefault(content, f"{part} of {name} ({pid})")
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
