"""Which audit devices there are: the table, their salts, enabling and disabling.

What lives here: ``core/audit`` and ``core/local-audit``, a salt a device, the audited request
headers. What never does: a record's text.
Invariants: the table in storage is written before a device is attached and before ``enable``
returns; a device that cannot be written is never enabled; an unsealed server with devices in its
table has at least one that works, or does not unseal.
Source: ``docs/formats/audit.md``.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zvault.barrier.barrier import Barrier
from zvault.barrier.paths import OPENBAO
from zvault.barrier.view import View
from zvault.base.clock import Clock
from zvault.base.ids import new_uuid
from zvault.engine.audit.broker import AuditBroker
from zvault.engine.audit.declared import DeclaredDevice
from zvault.engine.audit.device import AuditWriteError, Device
from zvault.engine.audit.file_device import FileDevice
from zvault.engine.audit.hashing import Hasher, RawHasher
from zvault.engine.audit.headers import AuditedHeaders
from zvault.engine.audit.options import (
    DeviceOptions,
    FileOptions,
    SocketOptions,
    parse_options,
    refuse_tricks,
)
from zvault.engine.audit.records import RecordWriter
from zvault.engine.audit.sink import AuditSink
from zvault.engine.audit.socket_device import SocketDevice
from zvault.engine.audit.syslog_device import SyslogDevice
from zvault.engine.errors import InternalEngineError, InvalidRequestError
from zvault.records.mounts import (
    AUDIT,
    AUDIT_CONFIG,
    TABLE_KEYS,
    MountEntry,
    MountTable,
    decode_table,
)
from zvault.storage.api import Delete, Operation, Put

SALT_KEY = "salt"


class NoAuditDeviceError(InternalEngineError):
    """The table lists audit devices and none of them can be opened."""

    code = "no-audit-device"


class AuditDevices:
    """The devices of one unsealed store. Made at unseal, closed at seal."""

    def __init__(
        self,
        barrier: Barrier,
        broker: AuditBroker,
        *,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        builtin_version: str,
        declared: Sequence[DeclaredDevice] = (),
    ) -> None:
        self.broker = broker
        self._declared = {device.path: device for device in declared}
        self.headers = AuditedHeaders(View(barrier, "sys/"))
        self._barrier = barrier
        self._clock = clock
        self._random_bytes = random_bytes
        self._version = builtin_version
        self._entries: dict[str, MountEntry] = {}
        self._extras: dict[bool, dict[str, Any]] = {}
        self._hashers: dict[str, Hasher] = {}
        self._changing = asyncio.Lock()

    async def start(self) -> list[AuditWriteError]:
        """Load the table and open every device; returns what could not be opened.

        Raises NoAuditDeviceError when there are devices and none opens, RecordError, StorageError.
        """
        await self.headers.load()
        for local in (False, True):
            stored = await self._barrier.get(TABLE_KEYS[AUDIT][local])
            if stored is not None:
                table = decode_table(stored)
                self._extras[local] = table.extra
                self._entries.update({entry.path: entry for entry in table.entries})
        await self._drop_undeclared()
        errors = []
        for entry in self._entries.values():
            try:
                parsed = parse_options(entry.type, entry.options or {})
                sink = self._sink(entry, parsed, await self._salt(entry))
                self._hashers[entry.path] = sink.hasher
                self.broker.attach(sink)
            except (AuditWriteError, InvalidRequestError) as error:
                errors.append(AuditWriteError(f"audit device {entry.path}: {error.message}"))
        if self._entries and not self.broker.enabled:
            raise NoAuditDeviceError(
                "no audit device of this Vault can be opened: "
                + "; ".join(error.message for error in errors)
            )
        await self._add_declared()
        return errors

    async def _drop_undeclared(self) -> None:
        """Devices that a configuration made and no longer names, or names otherwise, go."""
        for path, entry in list(self._entries.items()):
            if self._is_as_declared(entry):
                continue
            if entry.table == AUDIT_CONFIG or path in self._declared:
                await self._remove(entry)

    def _is_as_declared(self, entry: MountEntry) -> bool:
        wanted = self._declared.get(entry.path)
        return wanted is not None and (
            (wanted.type, dict(wanted.options), wanted.local)
            == (entry.type, dict(entry.options or {}), entry.local)
        )

    async def _add_declared(self) -> None:
        """Raises InvalidRequestError: what is declared and cannot be written is no audit."""
        for path, wanted in self._declared.items():
            if path not in self._entries:
                await self._enable(
                    path,
                    wanted.type,
                    wanted.description,
                    dict(wanted.options),
                    wanted.local,
                    table=AUDIT_CONFIG if self._barrier.family == OPENBAO else AUDIT,
                )

    async def stop(self) -> None:
        """Close every file."""
        for path in list(self._entries):
            self.broker.detach(path)

    def list(self) -> dict[str, MountEntry]:
        """Path (with trailing ``/``) to entry."""
        return dict(self._entries)

    async def enable(
        self,
        path: str,
        *,
        kind: str,
        description: str = "",
        options: Mapping[str, str] | None = None,
        local: bool = False,
    ) -> None:
        """Add a device: probe written, table durable, then attached. Raises InvalidRequestError."""
        async with self._changing:
            refuse_tricks(options or {})
            await self._enable(path.strip("/") + "/", kind, description, dict(options or {}), local)

    async def _enable(
        self,
        path: str,
        kind: str,
        description: str,
        options: dict[str, str],
        local: bool,
        table: str = AUDIT,
    ) -> None:
        if path == "/":
            raise InvalidRequestError("missing path for the audit device")
        parsed = parse_options(kind, options)
        if any(path.startswith(other) or other.startswith(path) for other in self._entries):
            raise InvalidRequestError("path already in use")
        entry = self._new_entry(path, kind, description, options, local=local, table=table)
        salt = new_uuid(self._random_bytes)
        try:
            sink = self._sink(entry, parsed, salt)
            if not parsed.skip_test:
                self._probe(sink)
        except AuditWriteError as error:
            raise InvalidRequestError(error.message) from None
        try:
            put_salt = Put(entry.view_prefix + SALT_KEY, salt.encode())
            await self._save({**self._entries, path: entry}, put_salt)
        except BaseException:
            sink.file.close()
            raise
        self._entries[path] = entry
        self._hashers[path] = sink.hasher
        self.broker.attach(sink)

    async def disable(self, path: str) -> bool:
        """Remove a device; False when there was none."""
        path = path.strip("/") + "/"
        async with self._changing:
            entry = self._entries.get(path)
            if entry is None:
                return False
            if path in self._declared:
                raise InvalidRequestError("cannot disable configuration-managed audit device")
            await self._remove(entry)
            return True

    async def _remove(self, entry: MountEntry) -> None:
        left = {path: kept for path, kept in self._entries.items() if path != entry.path}
        await self._save(left, Delete(entry.view_prefix + SALT_KEY))
        self._entries = left
        self._hashers.pop(entry.path, None)
        self.broker.detach(entry.path)

    def hash(self, path: str, text: str) -> str:
        """What ``text`` looks like in that device's records. Raises InvalidRequestError."""
        path = path.strip("/") + "/"
        hasher = self._hashers.get(path)
        if hasher is None:
            raise InvalidRequestError(f'unknown audit backend "{path}"')
        if not text:
            raise InvalidRequestError('the "input" parameter is empty')
        return hasher.text(text)

    def _new_entry(
        self,
        path: str,
        kind: str,
        description: str,
        options: dict[str, str],
        *,
        local: bool,
        table: str,
    ) -> MountEntry:
        return MountEntry(
            table=table,
            path=path,
            type=kind,
            description=description,
            uuid=new_uuid(self._random_bytes),
            backend_aware_uuid=new_uuid(self._random_bytes),
            accessor=f"audit_{kind}_{self._random_bytes(4).hex()}",
            options=options,
            local=local,
        )

    def _device(self, options: DeviceOptions) -> Device:
        if isinstance(options, FileOptions):
            return FileDevice(options)
        if isinstance(options, SocketOptions):
            return SocketDevice(options, self._clock.monotonic)
        return SyslogDevice(options)

    def _sink(self, entry: MountEntry, options: DeviceOptions, salt: str) -> AuditSink:
        hasher = Hasher(salt)
        shown = RawHasher() if options.log_raw else hasher
        writer = RecordWriter(shown, options, self._version, self.headers)
        file = self._device(options)
        file.open()
        return AuditSink(entry.path, writer, file, hasher)

    def _probe(self, sink: AuditSink) -> None:
        try:
            request_id = new_uuid(self._random_bytes)
            sink.file.write(sink.writer.probe(self._clock.now_ns(), request_id))
        except AuditWriteError as error:
            sink.file.close()
            raise AuditWriteError(
                f"audit backend failed test message: {error.message}", hint=error.hint
            ) from None

    async def _salt(self, entry: MountEntry) -> str:
        view = View(self._barrier, entry.view_prefix)
        stored = await view.get(SALT_KEY)
        if stored is None:
            stored = new_uuid(self._random_bytes).encode()
            await view.put(SALT_KEY, stored)
        return stored.decode()

    async def _save(self, entries: Mapping[str, MountEntry], salt: Operation) -> None:
        operations = [salt]
        for local in (False, True):
            half = tuple(entry for entry in entries.values() if entry.local is local)
            table = MountTable(AUDIT, half, self._extras.get(local, {}))
            operations.append(Put(TABLE_KEYS[AUDIT][local], table.encode()))
        await self._barrier.apply(operations)
