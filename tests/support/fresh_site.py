"""A site without a Vault yet: zvault.toml, and the processes zvault starts for it."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher.ports import free_ports
from tests.support.cli import Ran, zvault
from zvault.app.doors_process import agent_process, server_process
from zvault.app.site import Site, load_site


@dataclass
class FreshSite:
    """One site; ``declare`` is the text of its [declare] tables."""

    root: Path

    @property
    def site(self) -> Site:
        return load_site(self.root / "zvault.toml")

    @property
    def address(self) -> str:
        return f"http://{self.site.server.plain_address}"

    @property
    def keys(self) -> Path:
        return self.root / "keys.json"

    def kept(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.keys.read_text())
        return found

    def run(self, *arguments: str | Path) -> Ran:
        return zvault(*arguments, cwd=self.root, timeout=120)

    def must(self, *arguments: str | Path) -> Ran:
        done = self.run(*arguments)
        assert done.code == 0, f"{arguments}: {done.code}\n{done.err}\n{done.out}"
        return done

    def stop(self) -> None:
        """Everything this site started, by its recorded pids."""
        self.run("stage", "down")
        self.run("frontdoor", "stop")
        for process in (agent_process(self.site), server_process(self.site)):
            seen = process.read().process
            if seen is not None and seen.alive():
                os.kill(seen.pid, signal.SIGKILL)


@contextmanager
def fresh_site(root: Path, declare: str = "") -> Iterator[FreshSite]:
    """Nothing of it is started yet; all of it is stopped at the end."""
    root.mkdir(parents=True, exist_ok=True)
    ports = free_ports(4)
    (root / "zvault.toml").write_text(
        f'[server]\nplain_address = "127.0.0.1:{ports[0]}"\ntls_address = "127.0.0.1:{ports[1]}"\n'
        f'[frontdoor]\nplain_address = "127.0.0.1:{ports[2]}"\n'
        f'tls_address = "127.0.0.1:{ports[3]}"\n{declare}'
    )
    made = FreshSite(root)
    try:
        yield made
    finally:
        made.stop()
