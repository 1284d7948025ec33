"""Mounting, unmounting, tuning: the live side of the mount tables.

What lives here: which mounts there are, their backends, what changes when an operator changes
them. What never does: HTTP paths and their texts' fields (``backends/system``), tokens.
Invariants: storage first, then memory, then the answer; a mount that cannot be started is not in
the table; an unmount that dies half-way leaves a tainted entry that nobody can use and that a
second unmount finishes.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from zvault.barrier.barrier import Barrier
from zvault.barrier.view import View
from zvault.base.clock import Clock
from zvault.base.ids import RandomBytes, new_uuid
from zvault.engine.api import Backend, MountContext, Request
from zvault.engine.errors import InvalidRequestError
from zvault.engine.identity.lockout import Lockout, LockoutConfig, config_of
from zvault.engine.mounts.defaults import completed, new_accessor
from zvault.engine.mounts.mounted import Mounted, prefix_of
from zvault.engine.mounts.router import Router
from zvault.engine.mounts.tables import StoredTable
from zvault.engine.settings import CoreSettings
from zvault.records.mounts import AUTH, MOUNTS, MountConfig, MountEntry
from zvault.storage.api import Delete, Operation

Maker = Callable[[MountContext], Backend]
_SWEEP_BATCH = 256

_log = logging.getLogger(__name__)


async def clear_view(view: View) -> None:
    """Delete everything below a view, in batches. Raises StorageError."""
    doomed: list[Operation] = []
    folders = [""]
    while folders:
        folder = folders.pop()
        for name in await view.list(folder):
            if name.endswith("/"):
                folders.append(folder + name)
            else:
                doomed.append(Delete(folder + name))
            if len(doomed) >= _SWEEP_BATCH:
                await view.apply(doomed)
                doomed = []
    if doomed:
        await view.apply(doomed)


class MountService:
    """All mounts of an unsealed store."""

    def __init__(
        self,
        barrier: Barrier,
        settings: CoreSettings,
        *,
        clock: Clock,
        random_bytes: RandomBytes,
        maker: Callable[[MountEntry], Maker],
    ) -> None:
        self._barrier = barrier
        self._settings = settings
        self._clock = clock
        self._random_bytes = random_bytes
        self._maker = maker
        self._lock = asyncio.Lock()
        self.tables = {table: StoredTable(barrier, table) for table in (MOUNTS, AUTH)}
        self.router: Router[Mounted] = Router()
        self.lockouts: dict[str, Lockout] = {}
        """Bad logins of the auth mounts, by accessor."""
        self.before_move: Callable[[Mounted], Awaitable[None]] | None = None
        """Called with a mount that nobody uses any more, before it gets another path."""
        self.before_unmount: Callable[[Mounted], Awaitable[None]] | None = None
        """Called with a mount that nobody uses any more, before its data goes."""

    async def load(self) -> None:
        """Read both tables and write them back when something had to be added."""
        for name, table in self.tables.items():
            await table.load()
            wanted = completed(table.entries, name, self._random_bytes)
            if wanted != table.entries or not table.exists:
                await table.save(wanted)

    def entries(self, table: str) -> list[MountEntry]:
        """Entries of one table that this server serves."""
        return [e for e in self.tables[table].entries if e.namespace_id == "root"]

    def entry(self, table: str, path: str) -> MountEntry | None:
        """The entry at exactly ``path`` (with trailing slash)."""
        return next((e for e in self.entries(table) if e.path == path), None)

    def cubbyhole_uuid(self) -> str:
        """The uuid of the one cubbyhole mount."""
        return next(e.uuid for e in self.entries(MOUNTS) if e.type == "cubbyhole")

    def prefix_for(self, path: str) -> str:
        """The mount that a request path belongs to; "" for none."""
        found = self.router.find(path)
        return "" if found is None else found[0]

    async def role_of_login(self, prefix: str, request: Request) -> str:
        """The role a login asks for, where its backend can tell beforehand; "" otherwise."""
        mounted = self.router.get(prefix)
        ask = None if mounted is None else getattr(mounted.backend, "role_of_login", None)
        role: str = "" if ask is None else await ask(request.path[len(prefix) :], request.data)
        return role

    def default_ttl_ns(self, prefix: str) -> int:
        """Effective default lease TTL of the mount at ``prefix``."""
        mounted = self.router.get(prefix)
        own = 0 if mounted is None else mounted.entry.config.default_lease_ttl_ns
        return own or self._settings.default_lease_ttl_ns

    def max_ttl_ns(self, prefix: str) -> int:
        """Effective maximum lease TTL of the mount at ``prefix``."""
        mounted = self.router.get(prefix)
        own = 0 if mounted is None else mounted.entry.config.max_lease_ttl_ns
        return own or self._settings.max_lease_ttl_ns

    async def start_all(self) -> None:
        """Make and start a backend for every entry. Raises what a backend's start raises."""
        for table in self.tables.values():
            for entry in self.entries(table.table):
                await self._start(entry)

    async def stop_all(self) -> None:
        """Stop every backend; an error of one does not keep the others from stopping."""
        for prefix, mounted in self.router.items():
            try:
                await mounted.close()
            except Exception:
                _log.exception("stopping the mount %s failed", prefix)

    async def _start(self, entry: MountEntry) -> Mounted:
        prefix = prefix_of(entry)
        view = View(self._barrier, entry.view_prefix)
        context = MountContext(
            entry=entry,
            view=view,
            clock=self._clock,
            random_bytes=self._random_bytes,
            default_ttl_ns=lambda: self.default_ttl_ns(prefix),
            max_ttl_ns=lambda: self.max_ttl_ns(prefix),
            family=self._barrier.family,
            lockout=self._lockout(entry),
        )
        backend = self._maker(entry)(context)
        await backend.start()
        mounted = Mounted(entry, backend, view)
        self.router.add(prefix, mounted)
        return mounted

    def _lockout(self, entry: MountEntry) -> Lockout:
        """The mount's one, also after it was moved or its backend made anew."""

        def config() -> LockoutConfig:
            now = next((e for e in self.entries(entry.table) if e.uuid == entry.uuid), entry)
            return config_of(now)

        known = self.lockouts.get(entry.accessor) if entry.table == AUTH else None
        if known is None:
            known = Lockout(self._clock, config)
            if entry.table == AUTH:
                self.lockouts[entry.accessor] = known
        return known

    async def mount(
        self,
        table: str,
        path: str,
        kind: str,
        *,
        description: str = "",
        config: MountConfig | None = None,
        options: Mapping[str, str] | None = None,
        local: bool = False,
        seal_wrap: bool = False,
    ) -> MountEntry:
        """Add a mount; stored and serving on return. Raises InvalidRequestError, StorageError."""
        async with self._lock:
            entry = MountEntry(
                path=path,
                type=kind,
                table=table,
                description=description,
                uuid=new_uuid(self._random_bytes),
                backend_aware_uuid=new_uuid(self._random_bytes),
                accessor=new_accessor(kind, table, self._random_bytes),
                config=config or MountConfig(),
                options=dict(options or {}),
                local=local,
                seal_wrap=seal_wrap,
            )
            conflict = self.router.conflict(prefix_of(entry))
            if conflict is not None:
                shown = conflict.removeprefix("auth/") if table == AUTH else conflict
                raise InvalidRequestError(f"path is already in use at {shown}")
            stored = self.tables[table]
            await stored.save([*stored.entries, entry])
            try:
                await self._start(entry)
            except BaseException:
                await stored.save([e for e in stored.entries if e.uuid != entry.uuid])
                raise
            return entry

    async def unmount(self, table: str, path: str) -> bool:
        """Remove a mount and all its data; False when there was none. Raises StorageError."""
        async with self._lock:
            entry = self.entry(table, path)
            if entry is None:
                return False
            prefix = prefix_of(entry)
            mounted = self.router.get(prefix)
            if mounted is not None:
                mounted.leaving = True
            if not entry.tainted:
                entry = await self._replace(replace(entry, tainted=True))
            if mounted is not None:
                await mounted.close()
                if self.before_unmount is not None:
                    await self.before_unmount(mounted)
            await clear_view(View(self._barrier, entry.view_prefix))
            stored = self.tables[table]
            await stored.save([e for e in stored.entries if e.uuid != entry.uuid])
            self.router.remove(prefix)
            self.lockouts.pop(entry.accessor, None)
            return True

    async def change(
        self, entry: MountEntry, tuned: Callable[[MountEntry], MountEntry]
    ) -> MountEntry:
        """Store and use what ``tuned`` makes of a mount as it is now; the entry before.

        A KV mount that becomes version 2 gets its new backend. Raises InvalidRequestError (also
        when the mount is gone meanwhile), StorageError.
        """
        async with self._lock:
            known = self.tables[entry.table].entries
            before = next((e for e in known if e.uuid == entry.uuid), None)
            if before is None:
                raise InvalidRequestError(f'no matching mount at "{entry.path}"')
            after = tuned(before)
            mounted = self.router.get(prefix_of(before))
            if after.kv_version == before.kv_version:
                await self._replace(after)
                if mounted is not None:
                    mounted.entry = after
                return before
            if mounted is not None:
                await mounted.close()
            try:
                await self._replace(after)
            except BaseException:
                await self._start(before)
                raise
            await self._start(after)
            return before

    async def move(self, table: str, source: str, target: str) -> MountEntry:
        """Give a mount another path; its data stays where it is. Raises InvalidRequestError."""
        async with self._lock:
            entry = self.entry(table, source)
            if entry is None:
                shown = f"auth/{source}" if table == AUTH else source
                raise InvalidRequestError(f'no matching mount at "{shown}"')
            moved = replace(entry, path=target)
            prefix = prefix_of(entry)
            conflict = self.router.conflict(prefix_of(moved))
            if conflict is not None and (conflict != prefix or source == target):
                raise InvalidRequestError(f'path already in use at "{conflict}"')
            mounted = self.router.get(prefix)
            if mounted is not None:
                await mounted.close()
            try:
                if mounted is not None and self.before_move is not None:
                    await self.before_move(mounted)
                await self._replace(moved)
            except BaseException:
                await self._start(entry)
                raise
            self.router.remove(prefix)
            await self._start(moved)
            return moved

    async def _replace(self, entry: MountEntry) -> MountEntry:
        stored = self.tables[entry.table]
        await stored.save([entry if e.uuid == entry.uuid else e for e in stored.entries])
        return entry
