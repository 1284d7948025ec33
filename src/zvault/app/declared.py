"""What a site declares of its Vault: the ``[declare]`` table of ``zvault.toml``.

What lives here: its settings and their reading. What never does: a Vault (``ops/declare``).
Invariant: names are of a form that Vault keeps as they are, or what is read back would always
differ. Policies' files are read when they are used, so a site whose policies lie elsewhere loads.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zvault.app.toml_table import Table
from zvault.base import gotime
from zvault.ops.declare.apply import APPROLE
from zvault.ops.declare.errors import DeclarationFileError
from zvault.ops.declare.model import Declaration, KvMount, Role, RoleValue

_PATH = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")
_TAKEN = ("sys", "auth", "audit", "identity", "cubbyhole")
_NAME = re.compile(r"[a-z0-9_-]+")
_DURATIONS = ("token_ttl", "token_max_ttl", "secret_id_ttl")
_COUNTS = ("secret_id_num_uses", "token_num_uses")
_USUAL_MOUNT, _USUAL_METHODS = "zakupai", (APPROLE,)


@dataclass(frozen=True, slots=True)
class DeclareSettings:
    """The table; ``policy_files`` name to an absolute path."""

    kv: tuple[KvMount, ...]
    auth_methods: tuple[str, ...]
    roles: tuple[Role, ...]
    policy_files: Mapping[str, Path] = field(default_factory=dict)

    def read(self) -> Declaration:
        """With the policies' texts. Raises DeclarationFileError."""
        texts = {name: _text(path) for name, path in self.policy_files.items()}
        return Declaration(self.kv, self.auth_methods, texts, self.roles)


def read_declare(table: Table, root: Path) -> DeclareSettings:
    """The settings; problems are collected in the table."""
    kv = table.table("kv")
    methods = table.texts("auth_methods")
    if not table.has("auth_methods"):
        methods = _USUAL_METHODS
    settings = DeclareSettings(
        kv=_mounts(kv) if table.has("kv") else (KvMount(_USUAL_MOUNT),),
        auth_methods=tuple(dict.fromkeys(methods)),
        roles=_roles(table.table("approle")),
        policy_files=_policies(table.table("policies"), root),
    )
    for method in settings.auth_methods:
        _check(table, method, _PATH, f"auth_methods: {method!r}")
    if settings.roles and APPROLE not in settings.auth_methods:
        table.problems.append(f"{table.name}.approle needs {APPROLE!r} in auth_methods")
    table.done()
    return settings


def _mounts(table: Table) -> tuple[KvMount, ...]:
    found = []
    for path in table.values:
        row = table.table(path)
        most = row.whole("max_versions", at_least=1) if row.has("max_versions") else None
        row.done()
        _check(table, path, _PATH, repr(path))
        if path.partition("/")[0] in _TAKEN:
            table.problems.append(f"{table.name}: {path!r} is Vault's own")
        if any(path.startswith(f"{other}/") for other in table.values):
            table.problems.append(f"{table.name}: {path!r} lies inside another mount")
        found.append(KvMount(path, most))
    return tuple(found)


def _policies(table: Table, root: Path) -> dict[str, Path]:
    found = {}
    for name in table.values:
        _check(table, name, _NAME, repr(name))
        if name == "root":
            table.problems.append(f"{table.name}: the policy root cannot be written")
        found[name] = root / table.path(name, "")
    return found


def _roles(table: Table) -> tuple[Role, ...]:
    found = []
    for name in table.values:
        _check(table, name, _NAME, repr(name))
        row = table.table(name)
        found.append(Role(name, _settings(row)))
        row.done()
    return tuple(found)


def _settings(row: Table) -> dict[str, RoleValue]:
    settings: dict[str, RoleValue] = {}
    if row.has("policies"):
        policies = row.texts("policies")
        for name in policies:
            _check(row, name, _NAME, f"policies: {name!r}")
        settings["token_policies"] = tuple(sorted(set(policies)))
    for name in _DURATIONS:
        if row.has(name):
            settings[name] = _seconds(row, name)
    for name in _COUNTS:
        if row.has(name):
            settings[name] = row.whole(name)
    return settings


def _seconds(row: Table, name: str) -> int:
    text = row.text(name, "")
    try:
        ns = gotime.parse_duration(text)
    except ValueError:
        ns = -1
    if ns < 0 or ns % gotime.SECOND_NS or not text:
        row.problems.append(f"{row.name}.{name} must be whole seconds as text like '90s' or '24h'")
        return 0
    return ns // gotime.SECOND_NS


def _check(table: Table, text: str, form: re.Pattern[str], what: str) -> None:
    if not form.fullmatch(text):
        letters = "small letters" if form is _NAME else "letters"
        table.problems.append(f"{table.name}: {what} must be {letters}, digits, - and _")


def _text(path: Path) -> str:
    try:
        text = path.read_text()
    except OSError as cause:
        raise DeclarationFileError(
            f"the policy file {path} cannot be read: {cause.strerror}",
            hint="docs/config.md, declare.policies",
        ) from None
    except UnicodeDecodeError:
        raise DeclarationFileError(
            f"the policy file {path} is no text", hint="is it HCL?"
        ) from None
    if not text.strip():
        raise DeclarationFileError(
            f"the policy file {path} is empty", hint="a policy that allows nothing has a comment"
        )
    return text
