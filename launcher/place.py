"""Where everything lies that ``make services`` starts: folders, ports, files.

What lives here: the places below one folder. What never does: a process, a secret.
Invariant: ports are chosen once and kept, so addresses survive a stop and a start.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from launcher.ports import free_ports

ROOT = Path(__file__).parent.parent
DEFAULT = ROOT / ".services"
_PORTS_FILE = "ports.json"
VAULT_PORTS = ("vault-plain", "vault-tls", "door-plain", "door-tls")
OUTSIDE = "outside"
"""The name of the stand-ins for servers of others."""


@dataclass(frozen=True)
class Place:
    """``work`` is the folder; ``ports`` by name."""

    work: Path
    ports: dict[str, int]

    @property
    def site(self) -> Path:
        return self.work / "vault"

    @property
    def site_file(self) -> Path:
        return self.site / "zvault.toml"

    @property
    def keys_file(self) -> Path:
        """Shares and root token; in production no file like this stays."""
        return self.work / "private" / "vault-keys.json"

    @property
    def vault_address(self) -> str:
        """The front door: it outlives every server behind it."""
        return f"http://127.0.0.1:{self.ports['door-plain']}"

    def ids(self, service: str) -> tuple[Path, Path]:
        """Files with role_id and secret_id of a service."""
        folder = self.work / "private" / service
        return folder / "role-id", folder / "secret-id"

    def files(self, service: str) -> Path:
        """The folder for files that a service keeps."""
        return self.work / "files" / service

    def outside_secret(self, name: str) -> Path:
        """The file with a secret that a stand-in wants to see."""
        return self.work / "private" / OUTSIDE / name

    def metrics_port(self, service: str) -> int:
        """The port that a service may have for its metrics alone."""
        return self.ports[_metrics(service)]

    def url(self, service: str) -> str:
        """Where a service answers."""
        return f"http://127.0.0.1:{self.ports[service]}"


def is_begun(work: Path) -> bool:
    """Something was started at ``work`` before."""
    return (work / _PORTS_FILE).exists()


def place_at(work: Path, services: Sequence[str]) -> Place:
    """The place at ``work``; new ports for whatever has none yet."""
    work.mkdir(mode=0o711, parents=True, exist_ok=True)
    (work / "private").mkdir(mode=0o700, exist_ok=True)
    file = work / _PORTS_FILE
    ports: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    wanted = (*VAULT_PORTS, "postgresql", "redis", OUTSIDE, *services, *map(_metrics, services))
    missing = [name for name in wanted if name not in ports]
    if missing:
        ports |= dict(zip(missing, free_ports(len(missing)), strict=True))
        file.write_text(json.dumps(ports, indent=1) + "\n")
    return Place(work, ports)


def _metrics(service: str) -> str:
    return f"{service}-metrics"
