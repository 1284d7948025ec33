"""The demo's Vault as the operator of the services sees it: through the front door, with root.

What lives here: policies, roles whose tokens live 20 seconds, secrets, id files. What never does: a
role or a secret of the load.
Invariant: whatever is written here is known to the world, so every comparison looks at it too.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo.load.client import MOUNT
from demo.load.ledger import Ledger
from demo.load.worker import Session, Worker
from demo.looking import Looking
from demo.place import Place
from demo.proof.secret import Secret
from launcher.place import Place as EstatePlace
from launcher.programs import LauncherError
from launcher.smoke.grounds import texts_of
from launcher.vault import policy_file, write_private
from zakupai_common.web.service import Service

LANE = "programs.0"
TOKEN_SECONDS, LONGEST_TOKEN_SECONDS = 20, 30
"""A token is renewed twice, then granted too little: a login about every 28 seconds."""


def role_of(service: str) -> str:
    """The load has roles under the services' own names."""
    return f"program-{service}"


@dataclass
class DemoKeeper:
    """``launcher.vault.Keeper`` over the demo's front door."""

    place: Place
    estate_place: EstatePlace
    services: Sequence[Service]
    looking: Looking
    worker: Worker
    hidden: list[tuple[str, str]] = field(default_factory=list, repr=False)
    """Every secret that was ever written here, and what it is called."""

    def up(self) -> None:
        """Policies and roles. Raises LauncherError."""
        for service in self.services:
            role = role_of(service.name)
            self._write_policy(role, policy_file(service).read_text())
            self._client().auth.approle.create_or_update_approle(
                role,
                token_policies=[role],
                token_ttl=f"{TOKEN_SECONDS}s",
                token_max_ttl=f"{LONGEST_TOKEN_SECONDS}s",
            )
        self.looking.world.tools |= {role_of(one.name) for one in self.services}

    def down(self) -> None:
        """The demo's own Vault goes down with the demo."""

    def seed(self, values: Mapping[str, Mapping[str, object]]) -> None:
        """Write what is not there yet."""
        for path, wanted in sorted(values.items()):
            known = self.looking.world.secrets.get(path)
            present = self.read(path) if known is not None and known.current else {}
            missing = {key: value for key, value in wanted.items() if key not in present}
            if missing:
                self.write(path, {**present, **missing})

    def write(self, path: str, data: Mapping[str, Any]) -> None:
        """A new version, by check-and-set; the world learns of it."""
        world = self.looking.world
        secret = world.secrets.setdefault(path, Secret(mount_max=world.mount_max))
        answer = self._client().secrets.kv.v2.create_or_update_secret(
            path, dict(data), cas=secret.current, mount_point=MOUNT
        )
        secret.write(dict(data), int(answer["data"]["version"]))
        self.hidden += [(f"{path}: {key}", text) for key in data for text in texts_of(data[key])]

    def read(self, path: str) -> dict[str, Any]:
        found = self._client().secrets.kv.v2.read_secret_version(
            path, mount_point=MOUNT, raise_on_deleted_version=True
        )
        return dict(found["data"]["data"])

    def give_ids(self) -> None:
        approle = self._client().auth.approle
        for service in self.services:
            role = role_of(service.name)
            role_file, secret_file = self.estate_place.ids(service.name)
            if secret_file.exists():
                continue
            role_file.parent.mkdir(mode=0o700, exist_ok=True)
            write_private(role_file, approle.read_role_id(role)["data"]["role_id"])
            self._do("secret-id.create", {"role": role}, lambda: self._issue(role, secret_file))  # noqa: B023

    def told(self) -> dict[str, str]:
        """The address file follows the migration from http to https and back."""
        return {
            "VAULT_ADDR_FILE": str(self.place.address_file),
            "VAULT_CACERT": str(self.place.ca_file),
        }

    def _issue(self, role: str, file: Path) -> dict[str, Any]:
        issued = self._client().auth.approle.generate_secret_id(role)["data"]
        write_private(file, issued["secret_id"])
        self.hidden.append((f"secret_id of {role}", issued["secret_id"]))
        return {"accessor": issued["secret_id_accessor"]}

    def _write_policy(self, name: str, text: str) -> None:
        def act() -> dict[str, Any]:
            self._client().sys.create_or_update_policy(name, text)
            return {}

        self._do("policy.write", {"name": name, "text": text}, act)

    def _do(self, kind: str, intent: dict[str, Any], act: Callable[[], dict[str, Any]]) -> None:
        if not self.worker.run(kind, intent, act):
            raise LauncherError(f"{kind} {intent.get('name') or intent.get('role')} failed")

    def _client(self) -> Any:
        return self.worker.client.use(self.worker.session.token)


def keeper_at(
    place: Place,
    estate_place: EstatePlace,
    services: Sequence[Service],
    looking: Looking,
    root_token: str,
) -> DemoKeeper:
    """Bound to the place's ledger; nothing is written yet."""
    worker = Worker(
        "programs",
        looking.client,
        Ledger(place.ledger / f"{LANE}.jsonl", LANE),
        looking.world.values,
        random.Random(0),
        [Session(root_token, "root")],
    )
    return DemoKeeper(place, estate_place, services, looking, worker)
