"""The Vault of the services: a Stage 7 site of zvault, set up as a person would set it up.

What lives here: the site's file, first set-up, unsealing, first values of secrets, AppRole files.
What never does: an import of the engine; it calls the command line and the API.
Invariant: a value that is in Vault is never overwritten (check-and-set): nothing that an operator
changed is lost when the launcher runs again.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import hvac
from hvac.exceptions import InvalidPath

from launcher.place import ROOT, Place
from launcher.programs import LauncherError, beside_python
from launcher.tool import Tool, ToolError
from zakupai_common.web.service import Service

MOUNT = "zakupai"
SHARES, THRESHOLD = 5, 3


class Keeper(Protocol):
    """The Vault that the services of an estate live on, as whoever operates it sees it."""

    def up(self) -> None: ...

    def down(self) -> None: ...

    def seed(self, values: Mapping[str, Mapping[str, object]]) -> None:
        """Write what is not there yet, by path below the mount."""

    def read(self, path: str) -> dict[str, Any]:
        """The values at a path below the mount."""

    def give_ids(self) -> None:
        """Each service's role_id and a secret_id, unless it has them."""

    def told(self) -> dict[str, str]:
        """What a service is told about where this Vault is."""


@dataclass
class ServiceVault:
    """One site; ``up`` it before anything else."""

    place: Place
    services: Sequence[Service]

    def __post_init__(self) -> None:
        self._tool = Tool(self.place.site_file, self.place.site, lambda line: None)

    def up(self) -> None:
        """Start, set up what is missing, unseal, declare. Raises LauncherError."""
        self._write_site()
        keys = self.place.keys_file
        try:
            shares: tuple[str | Path, ...] = ("--shares-file", keys) if keys.exists() else ()
            self._tool("stage", "up", "--stage", "7", *shares)
            if not keys.exists():
                made = ("--shares", str(SHARES), "--threshold", str(THRESHOLD))
                self._tool("init", "--keys-file", keys, *made)
            # The server itself: the front door holds every request while there is none unsealed.
            server = f"http://127.0.0.1:{self.place.ports['vault-plain']}"
            self._tool("unseal", "--address", server, "--shares-file", keys)
            self._tool("declare", "apply", "--token-file", keys)
        except ToolError as error:
            raise LauncherError(str(error)) from None

    def down(self) -> None:
        """Stop server and front door."""
        if self.place.site_file.exists():
            for words in (("stage", "down"), ("frontdoor", "stop")):
                try:
                    self._tool(*words)
                except ToolError as error:
                    raise LauncherError(str(error)) from None

    def seed(self, values: Mapping[str, Mapping[str, object]]) -> None:
        """Write what is not there yet, by path below the mount."""
        client = self._administrator()
        for path, wanted in sorted(values.items()):
            version, present = self._read(client, path)
            missing = {key: value for key, value in wanted.items() if key not in present}
            if missing:
                client.secrets.kv.v2.create_or_update_secret(
                    path, {**present, **missing}, cas=version, mount_point=MOUNT
                )

    def read(self, path: str) -> dict[str, Any]:
        """The values at a path below the mount."""
        return self._read(self._administrator(), path)[1]

    def give_ids(self) -> None:
        """Each service's role_id and a secret_id, unless it has them."""
        approle = self._administrator().auth.approle
        for service in self.services:
            role_file, secret_file = self.place.ids(service.name)
            role_file.parent.mkdir(mode=0o700, exist_ok=True)
            write_private(role_file, approle.read_role_id(service.name)["data"]["role_id"])
            if not secret_file.exists():
                issued = approle.generate_secret_id(service.name)["data"]
                write_private(secret_file, issued["secret_id"])

    def told(self) -> dict[str, str]:
        """The front door's address."""
        return {"VAULT_ADDR": self.place.vault_address}

    def _administrator(self) -> hvac.Client:
        kept = json.loads(self.place.keys_file.read_text())
        return hvac.Client(url=self.place.vault_address, token=kept["root_token"])

    def _read(self, client: hvac.Client, path: str) -> tuple[int, dict[str, Any]]:
        try:
            found = client.secrets.kv.v2.read_secret_version(
                path, mount_point=MOUNT, raise_on_deleted_version=True
            )["data"]
        except InvalidPath:
            return 0, {}
        return int(found["metadata"]["version"]), dict(found["data"])

    def _write_site(self) -> None:
        place, ports = self.place, self.place.ports
        policies = place.site / "policies"
        policies.mkdir(parents=True, exist_ok=True)
        lines = [
            f'[server]\nplain_address = "127.0.0.1:{ports["vault-plain"]}"',
            f'tls_address = "127.0.0.1:{ports["vault-tls"]}"',
            f'[frontdoor]\nplain_address = "127.0.0.1:{ports["door-plain"]}"',
            f'tls_address = "127.0.0.1:{ports["door-tls"]}"',
            f"caddy = {json.dumps(str(beside_python('caddy')))}",
            f"[declare.kv.{MOUNT}]\nmax_versions = 10",
        ]
        for service in self.services:
            shutil.copy(policy_file(service), policies / f"{service.name}.hcl")
        named = [f'{one.name} = "policies/{one.name}.hcl"' for one in self.services]
        lines += ["[declare.policies]", *named]
        for service in self.services:
            lines += [
                f"[declare.approle.{service.name}]",
                f'policies = ["{service.name}"]',
                'token_ttl = "1h"',
                'token_max_ttl = "4h"',
                'secret_id_ttl = "0s"',
            ]
        place.site_file.write_text("\n".join(lines) + "\n")


def policy_file(service: Service) -> Path:
    """The policy that the service is deployed with."""
    return ROOT / "services" / service.package.removeprefix("zakupai_") / "policy.hcl"


def write_private(path: Path, text: str) -> None:
    """A file that only its owner reads."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
