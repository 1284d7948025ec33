"""A declaration brought into a Vault: observe, decide, act, read back, until nothing is left.

What lives here: the loop and the reading of a Vault into ``Observed``. What never does: a decision
(``decide.py``).
Invariants: success is a second observation in which nothing is left; with a conflict nothing is
changed at all.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from zvault.base.errors import ZvaultError
from zvault.ops.declare.decide import decide
from zvault.ops.declare.errors import (
    DeclarationConflictError,
    DeclarationUnmetError,
    HalfDeclaredError,
)
from zvault.ops.declare.model import (
    Action,
    Declaration,
    EnableAuth,
    EnableKv,
    Observed,
    Plan,
    PutPolicy,
    PutRole,
    Role,
    RoleValue,
    SeenMount,
    SetMaxVersions,
)
from zvault.vaultapi.client import VaultApi
from zvault.vaultapi.errors import VaultAnswerError, VaultNotFoundError, VaultRefusedError

T = TypeVar("T")
APPROLE = "approle"
_ROUNDS = 3
_UPGRADE_SECONDS = 30.0
_LOOK_AGAIN_SECONDS = 0.1
_UPGRADING = "Upgrading from non-versioned to versioned"


@dataclass(frozen=True, slots=True)
class Applied:
    """Read back: nothing is left. ``done`` is empty when nothing was to be done."""

    done: tuple[Action, ...]


def plan(vault: VaultApi, declared: Declaration) -> Plan:
    """What is left to do now. Raises DeclarationConflictError and what the client raises."""
    decided = decide(declared, observe(vault, declared))
    if decided.conflicts:
        raise DeclarationConflictError(
            "; ".join(decided.conflicts),
            hint="move the data to another path by hand, or declare another one",
        )
    return decided


def apply(vault: VaultApi, declared: Declaration, say: Callable[[str], None]) -> Applied:
    """Do what is left and read it back.

    Raises DeclarationConflictError (nothing was changed), HalfDeclaredError (something was),
    DeclarationUnmetError (done, and it reads back as something else), or what the client raises.
    """
    done: list[Action] = []
    for _ in range(_ROUNDS):
        left = _going_on(partial(plan, vault, declared), done)
        if not left.actions:
            return Applied(tuple(done))
        for action in left.actions:
            say(str(action))
            _going_on(partial(act, vault, action), done)
            done.append(action)
    left = _going_on(partial(plan, vault, declared), done)
    if not left.actions:
        return Applied(tuple(done))
    raise DeclarationUnmetError(
        f"done {_ROUNDS} times and still left: {'; '.join(map(str, left.actions))}",
        hint="does somebody else change this Vault at the same time?",
    )


def _going_on(step: Callable[[], T], done: list[Action]) -> T:
    """The step; its failure after a change says what was changed."""
    try:
        return step()
    except ZvaultError as error:
        if not done:
            raise
        raise HalfDeclaredError(
            f"{error.message}; done before: {'; '.join(map(str, done))}",
            hint=(f"{error.hint}; " if error.hint else "") + "then the same command goes on",
        ) from error


def act(vault: VaultApi, action: Action) -> None:
    """One action."""
    match action:
        case EnableKv(path):
            vault.enable_mount(path, "kv", {"version": "2"})
        case SetMaxVersions(path, _, after):
            _when_upgraded(lambda: vault.kv2_set_max_versions(path, after))
        case EnableAuth(path):
            vault.enable_auth(path, path)
        case PutPolicy(name, text):
            vault.put_policy(name, text)
        case PutRole(name, settings):
            vault.put_role(name, {key: _sent(value) for key, value in settings.items()}, APPROLE)


def observe(vault: VaultApi, declared: Declaration) -> Observed:
    """What the Vault has of what is declared. Raises what the client raises."""
    auth = {
        path.rstrip("/"): str(row.get("type"))
        for path, row in _rows(vault.list_auth(), "sys/auth").items()
    }
    names = set(vault.list_policies()) & set(declared.policies)
    has_roles = auth.get(APPROLE) == APPROLE
    roles = {role.name: _role(vault, role) for role in declared.roles if has_roles}
    return Observed(
        mounts=_mounts(vault, declared),
        auth=auth,
        policies={name: vault.read_policy(name) for name in names},
        roles={name: found for name, found in roles.items() if found is not None},
    )


def _mounts(vault: VaultApi, declared: Declaration) -> dict[str, SeenMount]:
    wanted = {mount.path for mount in declared.kv}
    seen = {}
    for path, row in _rows(vault.list_mounts(), "sys/mounts").items():
        kind, options = str(row.get("type")), row.get("options") or {}
        name = path.rstrip("/")
        version = _version(options.get("version")) if kind == "kv" else 0
        kept = _max_versions(vault, name) if name in wanted and version == 2 else None
        seen[name] = SeenMount(kind, version, kept)
    return seen


def _version(value: Any) -> int:
    text = str(value or "1")
    if not text.isdecimal():
        raise VaultAnswerError(f"sys/mounts names a KV version {text!r}")
    return int(text)


def _max_versions(vault: VaultApi, path: str) -> int:
    return _when_upgraded(lambda: vault.kv2_max_versions(path))


def _when_upgraded(call: Callable[[], T]) -> T:
    """A fresh version 2 mount refuses everything for a moment; that is waited for, nothing else."""
    deadline = time.monotonic() + _UPGRADE_SECONDS
    while True:
        try:
            return call()
        except VaultRefusedError as refusal:
            if _UPGRADING not in refusal.message or time.monotonic() > deadline:
                raise
        time.sleep(_LOOK_AGAIN_SECONDS)


def _role(vault: VaultApi, role: Role) -> dict[str, RoleValue] | None:
    try:
        found = vault.read_role(role.name, APPROLE)
    except VaultNotFoundError:
        return None
    return {name: _received(found.get(name)) for name in role.settings}


def _received(value: Any) -> RoleValue:
    if isinstance(value, list):
        return tuple(sorted(str(item) for item in value))
    if value is None:
        return ()
    if isinstance(value, bool) or not isinstance(value, int):
        raise VaultAnswerError("an AppRole role reads back with a setting of another type")
    return value


def _sent(value: RoleValue) -> int | list[str]:
    return list(value) if isinstance(value, tuple) else value


def _rows(answer: dict[str, Any], what: str) -> dict[str, dict[str, Any]]:
    if not all(isinstance(row, dict) for row in answer.values()):
        raise VaultAnswerError(f"{what} answers in a form that no Vault uses")
    return answer
