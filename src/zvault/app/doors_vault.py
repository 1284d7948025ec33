"""Calls to a Vault and its audit file, behind the migration's doors.

What lives here: the VaultApi in the words of a migration. What never does: HTTP.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from zvault.app.site import CanarySettings
from zvault.base import gotime
from zvault.base.atomic_file import fsync_directory
from zvault.base.errors import ZvaultError
from zvault.base.private_file import read_private
from zvault.base.secret import Secret
from zvault.ops.migration.errors import CanaryError
from zvault.ops.migration.model import Target
from zvault.ops.migration.ports import SealFacts
from zvault.ops.unseal.peer import PeerRules
from zvault.ops.unseal.submit import submit_round
from zvault.vaultapi.client import VaultApi

_LOOK_SECONDS = 2.0
_CALL_SECONDS = 60.0
_UNSEAL_SECONDS = 120.0
AUDIT_DEVICE = "file"
_CHANGES = frozenset({"create", "update", "patch", "delete"})
_NAMED_PATHS = 20


@dataclass(frozen=True, slots=True)
class VaultDoor:
    """The Vault port. ``audit_file`` is the device's path as the server resolves it."""

    canary_settings: CanarySettings
    audit_file: str
    owner_uid: int
    find_pid: Callable[[], int | None]

    async def seal_status(self, target: Target) -> SealFacts:
        """See Vault. Anything but an answer is ``reachable=False`` with its reason."""
        try:
            with self._calling(target, _LOOK_SECONDS) as api:
                status = await asyncio.to_thread(api.seal_status)
        except ZvaultError as error:
            return SealFacts(reachable=False, reason=error.message)
        return SealFacts(True, status.initialized, status.sealed)

    async def unseal(self, target: Target, shares: Sequence[Secret]) -> None:
        """See Vault. Shares go to pinned TLS or to our own process on loopback only."""
        rules = PeerRules(target.address, self.owner_uid, self.find_pid, target.ca_file)
        with contextlib.closing(rules.connect(_UNSEAL_SECONDS)) as api:
            await asyncio.to_thread(submit_round, api, list(shares))

    async def canary_problem(self) -> str:
        """See Vault."""
        if not self.canary_settings.configured:
            return "zvault.toml names no canary role, so nobody would log in and try"
        try:
            _read_line(self.canary_settings.role_id_file, "canary's role_id")
            _read_line(self.canary_settings.secret_id_file, "canary's secret_id")
        except ZvaultError as error:
            return error.message
        return ""

    async def canary(self, target: Target, nonce: str) -> dict[str, Any]:
        """See Vault."""
        try:
            return await asyncio.to_thread(self._canary, target, nonce)
        except ZvaultError as error:
            raise CanaryError(f"the canary failed: {error.message}", hint=error.hint) from error

    async def audit_path(self, target: Target, token: Secret) -> str | None:
        """See Vault."""
        with self._calling(target, _CALL_SECONDS, token) as api:
            devices = await asyncio.to_thread(api.list_audit)
        device = devices.get(AUDIT_DEVICE + "/")
        return None if device is None else str(device.get("options", {}).get("file_path", ""))

    async def enable_audit(self, target: Target, token: Secret) -> None:
        """See Vault."""
        options = {"file_path": self.audit_file}
        with self._calling(target, _CALL_SECONDS, token) as api:
            await asyncio.to_thread(api.enable_audit, AUDIT_DEVICE, "file", options)

    async def disable_audit(self, target: Target, token: Secret) -> None:
        """See Vault."""
        with self._calling(target, _CALL_SECONDS, token) as api:
            await asyncio.to_thread(api.disable_audit, AUDIT_DEVICE)

    def _canary(self, target: Target, nonce: str) -> dict[str, Any]:
        settings = self.canary_settings
        role_id = _read_line(settings.role_id_file, "canary's role_id")
        secret_id = _read_line(settings.secret_id_file, "canary's secret_id")
        with self._calling(target, _CALL_SECONDS) as api:
            login = api.approle_login(role_id, secret_id, settings.auth_mount)
            canary = api.with_token(login.token)
            try:
                version = canary.kv2_write(settings.mount, settings.path, {"nonce": nonce})
                found = canary.kv2_read(settings.mount, settings.path, version)
            finally:
                canary.revoke_self()
        if found.data != {"nonce": nonce}:
            raise CanaryError(
                f"{settings.mount}/{settings.path} reads back as something else",
                hint="look at the server's log",
            )
        return {"version": version}

    @contextlib.contextmanager
    def _calling(
        self, target: Target, timeout: float, token: Secret | None = None
    ) -> Iterator[VaultApi]:
        """A client that keeps no connection: a stopping server would wait for ours to end."""
        api = VaultApi(target.address, token=token, ca_file=target.ca_file, timeout=timeout)
        try:
            yield api
        finally:
            api.close()


@dataclass(frozen=True, slots=True)
class AuditFileDoor:
    """The AuditFile port."""

    path: Path

    async def size(self) -> int:
        """See AuditFile."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    async def changes_since(self, at_ns: int) -> tuple[int, list[str]]:
        """See AuditFile. Requests that failed changed nothing and do not count."""
        return await asyncio.to_thread(self._changes_since, at_ns)

    async def rotated_for(self, run: str) -> bool:
        """See AuditFile."""
        return self._old(run).exists()

    async def move_away(self, run: str) -> str:
        """See AuditFile."""
        self.path.rename(self._old(run))
        fsync_directory(self.path.parent)
        return str(self._old(run))

    def _old(self, run: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{run}")

    def _changes_since(self, at_ns: int) -> tuple[int, list[str]]:
        count, paths = 0, dict[str, None]()
        with self.path.open("rb") as file:
            for line in file:
                path = _changed_path(line, at_ns)
                if path is not None:
                    count += 1
                    if len(paths) < _NAMED_PATHS:
                        paths[path] = None
        return count, list(paths)


def _changed_path(line: bytes, at_ns: int) -> str | None:
    """The path that an audit record's request changed; None when it did not, or before."""
    try:
        record = orjson.loads(line)
        request = record["request"]
        relevant = record["type"] == "response" and not record.get("error")
        if relevant and request["operation"] in _CHANGES:
            return str(request["path"]) if gotime.parse_time(record["time"]) >= at_ns else None
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None
    return None


def _read_line(path: Path, what: str) -> Secret:
    text = read_private(path, what).reveal().strip()
    if not text or b"\n" in text:
        raise CanaryError(f"{path} must hold one line, the {what}", hint="write it again")
    return Secret(text)
