"""``sys/locked-users`` and the ``user_lockout_config`` of an auth mount's tuning.

What lives here: who is locked, unlocking, and how tuning asks for it and shows it. What never does:
counting (``engine/identity/lockout.py``).
Source: ``docs/api/userpass.md``.
"""

from collections.abc import Mapping
from typing import Any

from zvault.base.gotime import SECOND_NS
from zvault.engine.api import Operation, Request, Response
from zvault.engine.backends.fields import FieldKind, coerce
from zvault.engine.backends.framework import Field, FieldData, Route
from zvault.engine.errors import InvalidRequestError
from zvault.engine.identity.lockout import KINDS, STORED_AT
from zvault.engine.services import Services
from zvault.records.mounts import MountConfig

_ACCESSOR = {"mount_accessor": Field(FieldKind.STRING, "")}
_ONE = {**_ACCESSOR, "alias_identifier": Field(FieldKind.STRING, "")}
_STORED = {
    "lockout_threshold": ("lockout_threshold", FieldKind.INT),
    "lockout_duration": ("lockout_duration", FieldKind.DURATION),
    "lockout_counter_reset_duration": ("lockout_counter_reset", FieldKind.DURATION),
    "lockout_disable": ("disable_lockout", FieldKind.BOOL),
}
"""What tuning calls it, what the mount table calls it."""


class LockedUsers:
    """Two paths."""

    def __init__(self, services: Services) -> None:
        self._lockouts = services.mounts.lockouts

    def routes(self) -> list[Route]:
        """The path table."""
        return [
            Route("locked-users", {Operation.READ: self._read}, _ACCESSOR),
            Route(
                "locked-users/(?P<mount_accessor>[^/]+)/unlock/(?P<alias_identifier>.+)",
                {Operation.UPDATE: self._unlock},
                _ONE,
            ),
        ]

    async def _read(self, request: Request, data: FieldData) -> Response:
        wanted = data["mount_accessor"]
        found = {name: lockout.locked() for name, lockout in self._lockouts.items()}
        if wanted:
            found = {wanted: found.get(wanted, [])}
        else:
            found = {name: names for name, names in found.items() if names}
        mounts = [
            {
                "mount_accessor": name,
                "counts": len(names),
                "alias_identifiers": names or None,
            }
            for name, names in sorted(found.items())
        ]
        total = sum(len(names) for names in found.values())
        root = {
            "namespace_id": "root",
            "namespace_path": "",
            "counts": total,
            "mount_accessors": mounts,
        }
        return Response(data={"by_namespace": [root], "total": total})

    async def _unlock(self, request: Request, data: FieldData) -> None:
        lockout = self._lockouts.get(data["mount_accessor"])
        if lockout is not None:
            lockout.unlock(data["alias_identifier"])


def with_lockout(config: MountConfig, kind: str, asked: Any) -> Mapping[str, Any]:
    """``extra`` of a mount's tuning with what ``user_lockout_config`` asks for.

    Raises InvalidRequestError.
    """
    if kind not in KINDS:
        raise InvalidRequestError(
            f'tuning of user lockout configuration for auth type "{kind}" not allowed'
        )
    if not isinstance(asked, dict):
        raise InvalidRequestError("user_lockout_config must be a map")
    stored = dict(config.extra.get(STORED_AT) or {})
    for name, (kept_as, value_kind) in _STORED.items():
        if asked.get(name) is None:
            continue
        try:
            value = coerce(value_kind, asked[name])
            if value < 0:
                raise ValueError("cannot be negative")
        except (ValueError, TypeError):
            words = name.replace("_", " ")
            raise InvalidRequestError(f"unable to parse user {words}") from None
        stored.pop(kept_as, None)
        if value:
            stored[kept_as] = value
    return {**config.extra, STORED_AT: stored}


def lockout_shown(config: MountConfig) -> dict[str, Any]:
    """What reading the tuning shows; nothing when nobody has tuned it."""
    stored = config.extra.get(STORED_AT)
    if not isinstance(stored, dict):
        return {}
    return {
        "user_lockout_counter_reset_duration": stored.get("lockout_counter_reset", 0) // SECOND_NS,
        "user_lockout_disable": stored.get("disable_lockout", False),
        "user_lockout_duration": stored.get("lockout_duration", 0) // SECOND_NS,
        "user_lockout_threshold": stored.get("lockout_threshold", 0),
    }
