"""What the whole Vault must hold: the originals, plus what was acknowledged, minus what was undone.

What lives here: the effect of every kind of operation in the ledger on secrets, tokens, secret_ids,
policies and roles. Pure: no server is asked.
Invariant: only an operation with a good outcome changes the world. A failed one leaves it as it
was; the demo fails because of it anyway.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from demo.load.ledger import Operation
from demo.load.values import Values
from demo.proof.findings import REPEATED, Finding
from demo.proof.secret import Secret, Version

Seconds = tuple[float, float]


@dataclass
class Token:
    """A token by its accessor. ``about``: what a lookup said when it was first seen."""

    accessor: str
    owner: str
    parent: str | None = None
    alive: bool = True
    about: dict[str, Any] | None = None


@dataclass
class World:
    """Everything that must be. ``kills``: from each signal to the moment the process was gone.

    ``tools``: roles with which zvault itself logs in; its tokens are its own business.
    """

    values: Values
    secrets: dict[str, Secret]
    legacy: dict[str, dict[str, Any]]
    policies: dict[str, str]
    settings: dict[str, Any] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    secret_ids: dict[str, set[str]] = field(default_factory=dict)
    gone_secret_ids: dict[str, set[str]] = field(default_factory=dict)
    mount_max: int = 0
    tools: set[str] = field(default_factory=set)
    kills: list[Seconds] = field(default_factory=list)
    replayed: list[Operation] = field(default_factory=list)
    at_risk: list[Operation] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def apply(self, operation: Operation) -> None:
        """Take in one operation that ended."""
        if self.was_at_risk(operation):
            self.at_risk.append(operation)
        effect = _EFFECTS.get(operation.kind)
        if operation.ok and effect is not None:
            effect(self, operation)

    def was_at_risk(self, operation: Operation) -> bool:
        """Whether it was in flight when a server was killed: it may have been sent again."""
        return any(
            operation.started <= gone and (operation.ended is None or operation.ended >= killed)
            for killed, gone in self.kills
        )

    def adopt(self, accessor: str, owner: str, parent: str | None, operation: Operation) -> None:
        """A second token that a repeated request made: it exists, and must go on existing."""
        self.tokens[accessor] = Token(accessor, owner, parent)
        self.replayed.append(operation)

    def revoke(self, accessor: str) -> None:
        """The token and everything below it."""
        token = self.tokens.get(accessor)
        if token is not None:
            token.alive = False
        for child in self.tokens.values():
            if child.parent == accessor and child.alive:
                self.revoke(child.accessor)

    def counted(self, operation: Operation, repeated: int) -> None:
        """A write made ``repeated`` versions too many."""
        if repeated <= 0:
            return
        if self.was_at_risk(operation):
            self.replayed.extend([operation] * repeated)
        else:
            what = f"{operation.lane} operation {operation.number}"
            self.findings.append(
                Finding(REPEATED, what, f"{operation.kind} was applied {repeated + 1} times")
            )

    def secret(self, operation: Operation) -> Secret:
        """The secret an operation is about; made when new."""
        path = str(operation.intent["path"])
        return self.secrets.setdefault(path, Secret(mount_max=self.mount_max))


Effect = Callable[[World, Operation], None]


def _write(world: World, operation: Operation) -> None:
    data = world.values.data(operation.lane, operation.number)
    repeated = world.secret(operation).write(data, int(operation.got["version"]))
    world.counted(operation, repeated)


def _patch(world: World, operation: Operation) -> None:
    change = world.values.patch(operation.lane, operation.number)
    repeated = world.secret(operation).patch(change, int(operation.got["version"]))
    world.counted(operation, repeated)


def _settings(world: World, operation: Operation) -> None:
    settings = operation.intent["settings"]
    secret = world.secret(operation)
    secret.max_versions = settings.get("max_versions", secret.max_versions)
    secret.custom_metadata = settings.get("custom_metadata", secret.custom_metadata)


def _legacy_write(world: World, operation: Operation) -> None:
    data = world.values.data(operation.lane, operation.number)
    world.legacy[operation.intent["path"]] = data


def _login(world: World, operation: Operation) -> None:
    accessor = operation.got["accessor"]
    world.tokens[accessor] = Token(accessor, operation.lane)


def _child(world: World, operation: Operation) -> None:
    accessor = operation.got["accessor"]
    world.tokens[accessor] = Token(accessor, operation.lane, operation.intent["parent"])


def _revoke(world: World, operation: Operation) -> None:
    world.revoke(operation.intent["accessor"])


def _issue(world: World, operation: Operation) -> None:
    role = operation.intent["role"]
    world.secret_ids.setdefault(role, set()).add(operation.got["accessor"])


def _withdraw(world: World, operation: Operation) -> None:
    role, accessor = operation.intent["role"], operation.intent["accessor"]
    world.secret_ids.setdefault(role, set()).discard(accessor)
    world.gone_secret_ids.setdefault(role, set()).add(accessor)


def _policy(world: World, operation: Operation) -> None:
    world.policies[operation.intent["name"]] = operation.intent["text"]


_EFFECTS: dict[str, Effect] = {
    "kv.write": _write,
    "kv.cas": _write,
    "kv.patch": _patch,
    "kv.delete": lambda world, operation: world.secret(operation).delete_latest(),
    "kv.delete-versions": lambda world, operation: world.secret(operation).delete(
        operation.intent["versions"]
    ),
    "kv.undelete": lambda world, operation: world.secret(operation).undelete(
        operation.intent["versions"]
    ),
    "kv.destroy": lambda world, operation: world.secret(operation).destroy(
        operation.intent["versions"]
    ),
    "kv.settings": _settings,
    "kv1.write": _legacy_write,
    "login": _login,
    "login.issued": _login,
    "login.leave": _revoke,
    "token.create": _child,
    "token.revoke": _revoke,
    "secret-id.create": _issue,
    "secret-id.destroy": _withdraw,
    "secret-id.gone": _withdraw,
    "policy.write": _policy,
}


def originals(expected: dict[str, Any], values: Values, mount_max: int) -> World:
    """The world as the museum's own note (``expected.json``) has it."""
    return World(
        values=values,
        secrets={
            path: _original_secret(entry, mount_max) for path, entry in expected["kv2"].items()
        },
        legacy=copy.deepcopy(expected["kv1"]),
        policies=dict(expected["policies"]),
        tokens={
            token["accessor"]: Token(token["accessor"], "original") for token in expected["tokens"]
        },
        secret_ids={role: {ids["secret_id_accessor"]} for role, ids in expected["approle"].items()},
        mount_max=mount_max,
    )


def _original_secret(entry: dict[str, Any], mount_max: int) -> Secret:
    metadata = entry["metadata"]
    versions = {}
    for number, about in metadata["versions"].items():
        versions[int(number)] = Version(
            data=None if about["destroyed"] else entry["data"][number],
            deleted=bool(about["deletion_time"]),
            destroyed=about["destroyed"],
            created=about["created_time"],
        )
    return Secret(
        mount_max=mount_max,
        versions=versions,
        current=metadata["current_version"],
        oldest=metadata["oldest_version"],
        max_versions=metadata["max_versions"],
        custom_metadata=metadata["custom_metadata"],
        cas_required=metadata["cas_required"],
    )
