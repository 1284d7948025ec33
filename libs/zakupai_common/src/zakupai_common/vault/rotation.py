"""A new secret_id in the place of the old one, with no moment in which neither works.

What lives here: deliver new, prove a login with what was delivered, destroy the old accessor; and
what a run that was killed leaves to the next one. What never does: where the operator's token
comes from. Invariants: the old secret_id is destroyed only after a login with the new one; a
failure before that puts the old one back; no accessor that was made is forgotten.
"""

import contextlib
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zakupai_common.secret import Secret
from zakupai_common.vault.connection import VaultConnection, data_of
from zakupai_common.vault.errors import (
    RotationError,
    SecretAbsentError,
    SettingsError,
    VaultClientError,
)
from zakupai_common.vault.private_file import (
    WRITABLE_BY_STRANGERS,
    read_private,
    write_private,
)

_NOTE_SUFFIX = ".rotation"
_MARK = "rotation"
"""The metadata by which a secret_id is found whose accessor nobody noted."""


@dataclass(frozen=True, slots=True)
class _Note:
    """What a killed run leaves: accessors to destroy, and the mark of the secret_id it made."""

    accessors: frozenset[str] = frozenset()
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation did. Accessors are no secrets."""

    role: str
    new_accessor: str
    destroyed_accessors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RotationPlace:
    """Which secret_id: the role's name and mount, and the two files that its service reads."""

    role: str
    role_id_file: Path
    secret_id_file: Path
    auth_mount: str = "approle"

    @property
    def note_file(self) -> Path:
        """Holds the accessors that a killed run has left to destroy."""
        return self.secret_id_file.with_name(self.secret_id_file.name + _NOTE_SUFFIX)


def rotate_secret_id(
    operator: VaultConnection,
    place: RotationPlace,
    *,
    overlap_seconds: float = 0.0,
    wait: Callable[[float], None] = time.sleep,
) -> Rotated:
    """Replace the secret_id in ``place.secret_id_file``.

    ``operator`` uses a token that may create, look up and destroy secret_ids of the role. For
    ``overlap_seconds`` both work. Safe to repeat after a kill at any point.
    Raises RotationError when the new secret_id does not log in (the old one is back in its place)
    or when an old one could not be destroyed (the next run tries again); VaultClientError.
    """
    return _Rotation(operator, place).run(overlap_seconds, wait)


class _Rotation:
    def __init__(self, operator: VaultConnection, place: RotationPlace) -> None:
        self._operator, self._place = operator, place
        self._path = f"auth/{place.auth_mount.strip('/')}/role/{place.role}"

    def run(self, overlap_seconds: float, wait: Callable[[float], None]) -> Rotated:
        place = self._place
        role_id = read_private(place.role_id_file, "role_id", forbidden_bits=WRITABLE_BY_STRANGERS)
        self._check_role(role_id)
        old = self._delivered()
        noted = self._noted()
        leave = {*noted.accessors, *self._marked(noted.mark)}
        leave |= {self._accessor_of(old)} - {""} if old else set()
        mark = secrets.token_hex(8)
        self._note(leave, mark)
        new, accessor = self._make(mark)
        self._note({*leave, accessor})
        try:
            write_private(place.secret_id_file, new)
            self._prove(role_id)
        except (VaultClientError, OSError) as cause:
            failure = self._put_back(old, accessor, leave, cause)
        else:
            self._note(leave)
            wait(overlap_seconds)
            return self._destroy_all(leave, accessor)
        raise failure

    # -- before -----------------------------------------------------------------------------

    def _check_role(self, role_id: Secret[str]) -> None:
        """The files belong to this role, or the proof would be about another one."""
        answer = self._ask("get", "role-id")
        if Secret(str(data_of(answer).get("role_id"))) != role_id:
            raise SettingsError(
                f"{self._place.role_id_file} does not hold the role_id of {self._place.role}",
                hint="name the role whose files these are",
            )

    def _delivered(self) -> Secret[str] | None:
        if not self._place.secret_id_file.exists():
            return None
        return read_private(self._place.secret_id_file, "secret_id")

    def _accessor_of(self, secret_id: Secret[str]) -> str:
        """ "" for a secret_id that is dead already."""
        try:
            answer = self._operator.call(
                lambda: self._operator.hvac.adapter.post(
                    f"/v1/{self._path}/secret-id/lookup", json={"secret_id": secret_id.reveal()}
                ),
                hide=(secret_id,),
            )
        except SecretAbsentError:
            return ""
        found = answer.get("data") if isinstance(answer, dict) else None
        return str((found or {}).get("secret_id_accessor", ""))

    def _make(self, mark: str) -> tuple[Secret[str], str]:
        made = data_of(self._ask("post", "secret-id", {"metadata": json.dumps({_MARK: mark})}))
        secret_id, accessor = made.get("secret_id"), made.get("secret_id_accessor")
        if not isinstance(secret_id, str) or not isinstance(accessor, str):
            raise RotationError("Vault made a secret_id, and did not tell it")
        if made.get("secret_id_num_uses") == 1:
            self._destroy(accessor)
            raise RotationError(
                f"secret_ids of {self._place.role} work once, and the proof would use them up",
                hint="set secret_id_num_uses to 0, or deliver wrapped secret_ids",
            )
        return Secret(secret_id), accessor

    # -- proof ------------------------------------------------------------------------------

    def _prove(self, role_id: Secret[str]) -> None:
        """Log in with what the file holds, as the service will."""
        delivered = read_private(self._place.secret_id_file, "secret_id")
        service = self._operator.sibling()
        try:
            grant = service.approle_login(role_id, delivered, self._place.auth_mount)
            service.use(grant.token)
            service.revoke_self()
        finally:
            service.close()

    def _put_back(
        self,
        old: Secret[str] | None,
        accessor: str,
        leave: set[str],
        cause: VaultClientError | OSError,
    ) -> RotationError:
        if old is None:
            self._place.secret_id_file.unlink(missing_ok=True)
        else:
            write_private(self._place.secret_id_file, old)
        # the old one is served again: only the new one and what was left before may go
        keep = {self._accessor_of(old)} if old else set()
        rest = {accessor, *leave} - keep
        self._note(rest)
        with contextlib.suppress(VaultClientError):  # noted: the next run destroys it
            self._destroy(accessor)
            self._note(rest - {accessor})
        reason = cause.message if isinstance(cause, VaultClientError) else cause.strerror
        return RotationError(
            f"the new secret_id of {self._place.role} was not proven: {reason}",
            hint="the old one is back in its place; nothing is lost",
        )

    # -- after ------------------------------------------------------------------------------

    def _destroy_all(self, leave: set[str], accessor: str) -> Rotated:
        done: list[str] = []
        for one in sorted(leave):
            try:
                self._destroy(one)
            except VaultClientError as cause:
                failure = RotationError(
                    f"the new secret_id works, but an old one is not destroyed: {cause.message}",
                    hint="rotate again: the next run destroys it",
                )
            else:
                done.append(one)
                self._note(leave - set(done))
                continue
            raise failure
        return Rotated(self._place.role, accessor, tuple(done))

    def _destroy(self, accessor: str) -> None:
        """Destroy it; one that is gone already is fine. Read back."""
        body = {"secret_id_accessor": accessor}
        if not self._exists(accessor):
            return
        self._ask("post", "secret-id-accessor/destroy", body)
        if self._exists(accessor):
            raise RotationError("Vault said it destroyed a secret_id, and it is still there")

    def _exists(self, accessor: str) -> bool:
        return bool(self._look_up(accessor))

    def _look_up(self, accessor: str) -> dict[str, Any]:
        """What Vault knows of a secret_id; {} when there is none."""
        body = {"secret_id_accessor": accessor}
        try:
            answer = self._ask("post", "secret-id-accessor/lookup", body)
        except SecretAbsentError:
            return {}
        return (answer.get("data") or {}) if isinstance(answer, dict) else {}

    def _marked(self, mark: str) -> set[str]:
        """The accessors of what a run made that was killed before it noted them."""
        if not mark:
            return set()
        try:
            known = data_of(self._ask("list", "secret-id")).get("keys") or []
        except SecretAbsentError:
            return set()
        return {
            one for one in known if (self._look_up(one).get("metadata") or {}).get(_MARK) == mark
        }

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        adapter = self._operator.hvac.adapter
        return self._operator.call(
            lambda: adapter.request(method, f"/v1/{self._path}/{path}", json=body)
        )

    # -- the note ---------------------------------------------------------------------------

    def _noted(self) -> _Note:
        if not self._place.note_file.exists():
            return _Note()
        text = read_private(self._place.note_file, "rotation note").reveal()
        with contextlib.suppress(ValueError, TypeError, KeyError):
            found = json.loads(text)
            return _Note(frozenset(map(str, found["accessors"])), str(found["mark"]))
        raise SettingsError(f"{self._place.note_file} is no note of a rotation")

    def _note(self, accessors: set[str], mark: str = "") -> None:
        if accessors or mark:
            text = json.dumps({"accessors": sorted(accessors), "mark": mark})
            write_private(self._place.note_file, Secret(text))
        else:
            self._place.note_file.unlink(missing_ok=True)
