"""Do an AppRole mount's roles, indexes, secret ids and accessors belong together?

What lives here: what has been seen below one ``auth/<uuid>/``, and the findings at the end. Pure.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from zvault.offline.report import Finding
from zvault.records.approle import (
    ACCESSOR_LOCAL_PREFIX,
    ACCESSOR_PREFIX,
    ROLE_ID_PREFIX,
    ROLE_PREFIX,
    RoleEntry,
    SecretIdEntry,
    keyed,
    salted,
)


@dataclass(frozen=True, slots=True)
class RoleFact:
    """What a role says: the folder of its secret ids, the key of its role_id's index."""

    folder: str
    index: str


@dataclass(frozen=True, slots=True)
class RoleIdFact:
    """What a role_id's index says: the role's name."""

    name: str


@dataclass(frozen=True, slots=True)
class SecretIdFact:
    """What a secret id says: the key of its accessor."""

    accessor: str


@dataclass(frozen=True, slots=True)
class AccessorFact:
    """What an accessor says: nothing but that it is whole."""


ACCESSOR = AccessorFact()
Fact = RoleFact | RoleIdFact | SecretIdFact | AccessorFact


def role_fact(salt: str, name: str, role: RoleEntry) -> RoleFact:
    """Of a role of that name."""
    lowered = name.lower() if role.lower_case_role_name else name
    return RoleFact(keyed(role.hmac_key, lowered), ROLE_ID_PREFIX + salted(salt, role.role_id))


def secret_id_fact(salt: str, kind: str, entry: SecretIdEntry) -> SecretIdFact:
    """Of a secret id below ``kind``: ``secret_id`` or the local form."""
    prefix = ACCESSOR_PREFIX if kind == "secret_id" else ACCESSOR_LOCAL_PREFIX
    return SecretIdFact(prefix + salted(salt, entry.secret_id_accessor))


class AppRoleLedger:
    """Collects in key order (accessors, roles, role_ids, secret_ids); ``findings`` concludes."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._accessors: dict[str, bool] = {}
        """Key below the mount → a secret id names it."""
        self._folders: dict[str, str] = {}
        """Folder of secret ids → role name."""
        self._wanted_indexes: dict[str, str] = {}
        self._found: list[Finding] = []

    def saw_accessor(self, relative: str) -> None:
        self._accessors[relative] = False

    def saw_role(self, name: str, role: RoleFact) -> None:
        self._folders[role.folder] = name
        self._wanted_indexes[role.index] = name

    def saw_role_id(self, relative: str, index: RoleIdFact) -> None:
        if self._wanted_indexes.get(relative) == index.name:
            del self._wanted_indexes[relative]
        else:
            self._note(relative, "leftover: no role has this role_id")

    def saw_secret_id(self, relative: str, secret_id: SecretIdFact) -> None:
        """``secret_id/<folder>/<hmac>`` or the local form."""
        folder = relative.partition("/")[2].partition("/")[0]
        if folder not in self._folders:
            self._note(relative, "leftover: the role of this secret id is gone")
            return
        if secret_id.accessor in self._accessors:
            self._accessors[secret_id.accessor] = True
        else:
            self._note(relative, "its accessor entry is missing, so a login with it is refused")

    def _note(self, relative: str, problem: str, *, is_loss: bool = False) -> None:
        self._found.append(Finding(self._prefix + relative, problem, is_loss))

    def findings(self) -> Iterator[Finding]:
        yield from self._found
        for relative, is_used in self._accessors.items():
            if not is_used:
                yield Finding(
                    self._prefix + relative,
                    "leftover: the secret id of this accessor is gone",
                    False,
                )
        for relative, name in self._wanted_indexes.items():
            yield Finding(
                f"{self._prefix}{ROLE_PREFIX}{name}",
                f"its role_id index {relative} is missing, so no login works",
                is_loss=True,
            )
