"""Keys that rotate themselves.

What lives here: which keys are due, and the round that rotates them. What never does: how a key is
rotated (``keys``).
Invariants: a key that fails is told in the log and keeps no other from its turn; a round does not
keep requests waiting.
Source: ``docs/api/transit.md``.
"""

import asyncio
import contextlib
import logging

from zvault.base.clock import Clock
from zvault.base.errors import ZvaultError
from zvault.engine.backends.transit.keys import Keys
from zvault.engine.backends.transit.store import TransitStore
from zvault.engine.backends.transit.versions import Key
from zvault.records.transit import TransitPolicy

ROUND_SECONDS = 60.0
"""How often keys that are known to rotate themselves are looked at."""
_log = logging.getLogger(__name__)


def is_due(policy: TransitPolicy, now_ns: int) -> bool:
    """The latest version has had its time."""
    if not policy.auto_rotate_period_ns:
        return False
    if policy.imported and not policy.allow_imported_key_rotation:
        return False
    latest = policy.keys.get(policy.latest_version)
    return latest is not None and now_ns >= latest.time_ns + policy.auto_rotate_period_ns


class Rotation:
    """The rounds of one mount."""

    def __init__(self, store: TransitStore, keys: Keys, clock: Clock, mount: str) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock
        self._mount = mount
        self._names: set[str] = set()
        """Keys with a period, once ``_look_at_all`` has been through."""
        self._task: asyncio.Task[None] | None = None
        store.on_change = self._changed

    def _changed(self, name: str, policy: TransitPolicy | None) -> None:
        if policy is not None and policy.auto_rotate_period_ns:
            self._names.add(name)
        else:
            self._names.discard(name)

    def start(self) -> None:
        """Begin to look, at once and then every minute."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="transit-rotation")

    async def stop(self) -> None:
        """End the rounds."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        is_complete = False
        while True:
            try:
                if not is_complete:
                    await self.look_at_all()
                    is_complete = True
                await self.rotate_due()
            except ZvaultError as error:
                _log.warning("rotation of keys at %s: %s", self._mount, error.message)
            except Exception:
                _log.exception("rotation of keys at %s failed and goes on", self._mount)
            await asyncio.sleep(ROUND_SECONDS)

    async def look_at_all(self) -> None:
        """Find the keys with a period. Raises StorageError."""
        for name in await self._store.names():
            if not name.endswith("/"):
                key = await self._readable(name)
                if key is not None:
                    self._changed(name, key.policy)
            # Thousands of keys must not keep requests waiting.
            await asyncio.sleep(0)

    async def _readable(self, name: str) -> Key | None:
        try:
            return await self._store.key(name)
        except ZvaultError as error:
            _log.warning("key %s at %s cannot be read: %s", name, self._mount, error.message)
            return None

    async def rotate_due(self) -> int:
        """Rotate every key whose time has come; how many."""
        rotated = 0
        for name in sorted(self._names):
            async with self._store.hold(name):
                key = await self._readable(name)
                if key is None or not is_due(key.policy, self._clock.now_ns()):
                    continue
                try:
                    await self._keys.rotated(key)
                    rotated += 1
                except ZvaultError as error:
                    _log.warning("rotation of %s at %s: %s", name, self._mount, error.message)
        return rotated
