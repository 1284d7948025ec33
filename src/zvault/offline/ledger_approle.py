"""Do an AppRole mount's roles, indexes, secret ids and accessors belong together?

What lives here: what has been seen below one ``auth/<uuid>/``, and the findings at the end. Pure.
"""

from collections.abc import Iterator

from zvault.offline.report import Finding
from zvault.records.approle import (
    ACCESSOR_PREFIX,
    ROLE_ID_PREFIX,
    ROLE_PREFIX,
    RoleEntry,
    RoleIdIndex,
    SecretIdEntry,
    keyed,
    salted,
)


class AppRoleLedger:
    """Collects in key order (accessors, roles, role_ids, secret_ids); ``findings`` concludes."""

    def __init__(self, prefix: str, salt: str) -> None:
        self._prefix = prefix
        self._salt = salt
        self._accessors: dict[str, bool] = {}
        """Key below the mount → a secret id names it."""
        self._folders: dict[str, str] = {}
        """Folder of secret ids → role name."""
        self._wanted_indexes: dict[str, str] = {}
        self._found: list[Finding] = []

    def saw_accessor(self, relative: str) -> None:
        self._accessors[relative] = False

    def saw_role(self, name: str, role: RoleEntry) -> None:
        lowered = name.lower() if role.lower_case_role_name else name
        self._folders[keyed(role.hmac_key, lowered)] = name
        self._wanted_indexes[ROLE_ID_PREFIX + salted(self._salt, role.role_id)] = name

    def saw_role_id(self, relative: str, index: RoleIdIndex) -> None:
        if self._wanted_indexes.get(relative) == index.name:
            del self._wanted_indexes[relative]
        else:
            self._note(relative, "leftover: no role has this role_id")

    def saw_secret_id(self, relative: str, entry: SecretIdEntry) -> None:
        """``secret_id/<folder>/<hmac>`` or the local form."""
        kind, _, rest = relative.partition("/")
        folder, _, _ = rest.partition("/")
        if folder not in self._folders:
            self._note(relative, "leftover: the role of this secret id is gone")
            return
        prefix = ACCESSOR_PREFIX if kind == "secret_id" else "accessor_local/"
        accessor = prefix + salted(self._salt, entry.secret_id_accessor)
        if accessor in self._accessors:
            self._accessors[accessor] = True
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
