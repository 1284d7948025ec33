"""Which audit devices there are: the table, their salts, enabling and disabling.

What lives here: ``core/audit`` and ``core/local-audit``, a salt a device, the audited request
headers. What never does: a record's text.
Invariants: the table in storage is written before a device is attached and before ``enable``
returns; a device that cannot be written is never enabled; an unsealed server with devices in its
table has at least one that works, or does not unseal.
Source: ``docs/formats/audit.md``.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from zvault.barrier.barrier import Barrier
from zvault.barrier.view import View
from zvault.base.clock import Clock
from zvault.base.ids import new_uuid
from zvault.engine.audit.broker import AuditBroker, AuditSink
from zvault.engine.audit.file_device import AuditWriteError, FileDevice
from zvault.engine.audit.hashing import Hasher, RawHasher
from zvault.engine.audit.headers import AuditedHeaders
from zvault.engine.audit.options import FileOptions, parse_options
from zvault.engine.audit.records import RecordWriter
from zvault.engine.errors import InternalEngineError, InvalidRequestError
from zvault.records.mounts import AUDIT, TABLE_KEYS, MountEntry, MountTable, decode_table
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
    ) -> None:
        self.broker = broker
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
        errors = []
        for entry in self._entries.values():
            try:
                sink = self._sink(
                    entry, parse_options(entry.options or {}), await self._salt(entry)
                )
                self._hashers[entry.path] = sink.hasher
                self.broker.attach(sink)
            except (AuditWriteError, InvalidRequestError) as error:
                errors.append(AuditWriteError(f"audit device {entry.path}: {error.message}"))
        if self._entries and not self.broker.enabled:
            raise NoAuditDeviceError(
                "no audit device of this Vault can be opened: "
                + "; ".join(error.message for error in errors)
            )
        return errors

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
            await self._enable(path.strip("/") + "/", kind, description, dict(options or {}), local)

    async def _enable(
        self, path: str, kind: str, description: str, options: dict[str, str], local: bool
    ) -> None:
        if path == "/":
            raise InvalidRequestError("missing path for the audit device")
        if kind != "file":
            raise InvalidRequestError(f'unknown backend type: "{kind}"')
        if any(path.startswith(other) or other.startswith(path) for other in self._entries):
            raise InvalidRequestError("path already in use")
        parsed = parse_options(options)
        entry = self._new_entry(path, description, options, local=local)
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
            left = {other: kept for other, kept in self._entries.items() if other != path}
            await self._save(left, Delete(entry.view_prefix + SALT_KEY))
            self._entries = left
            self._hashers.pop(path, None)
            self.broker.detach(path)
            return True

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
        self, path: str, description: str, options: dict[str, str], *, local: bool
    ) -> MountEntry:
        return MountEntry(
            table=AUDIT,
            path=path,
            type="file",
            description=description,
            uuid=new_uuid(self._random_bytes),
            backend_aware_uuid=new_uuid(self._random_bytes),
            accessor=f"audit_file_{self._random_bytes(4).hex()}",
            options=options,
            local=local,
        )

    def _sink(self, entry: MountEntry, options: FileOptions, salt: str) -> AuditSink:
        if entry.type != "file":
            raise InvalidRequestError(f'unknown backend type: "{entry.type}"')
        hasher = Hasher(salt)
        shown = RawHasher() if options.log_raw else hasher
        writer = RecordWriter(shown, options, self._version, self.headers)
        file = FileDevice(options)
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
