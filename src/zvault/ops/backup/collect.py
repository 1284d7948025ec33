"""A store read while a server writes to it, until it is one moment's picture.

What lives here: the passes. What never does: the archive, keys.
Why it is enough: what two passes in a row read alike did not change between them, so all of it was
true at once, at the moment between the two passes. While writes go on without a pause no two
passes agree; then writes are held for the time of the last two passes, or the backup is refused.
The keyring is an entry like the others, so a rotation during a pass means one more pass.
A pass reads only what has changed where the store can tell that without reading (an object's tag, a
file's stamp), so that the passes under a hold are short however large the store is.
"""

import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from zvault.base.clock import Clock
from zvault.ops.backup.errors import StoreChangingError
from zvault.ops.backup.manifest import LeftOut
from zvault.ops.backup.spool import Spool
from zvault.storage.api import Storage
from zvault.storage.errors import CorruptEntryError, InvalidKeyError
from zvault.storage.keys import check_key, is_leftover_name, is_skipped_by_copy
from zvault.storage.listing import Mark, ObjectInfo
from zvault.storage.walk import survey
from zvault.storage.window import ordered_map

OPEN_PASSES = 4
HELD_PASSES = 5
_PARALLEL = 64

TWO_PASSES = "two-equal-passes"
HELD = "writes-held"


class Hold(Protocol):
    """Something that keeps the server from writing for a moment."""

    def held(self) -> AbstractAsyncContextManager[None]:
        """Inside, nothing is written. Raises HoldError."""
        ...


@dataclass(frozen=True, slots=True)
class PassReport:
    """One pass: how many entries there are, how many had changed since the last."""

    number: int
    entries: int
    changed: int
    held: bool


OnPass = Callable[[PassReport], None]


@dataclass(frozen=True, slots=True)
class Collected:
    """How one moment was got. ``taken_ns`` is the end of the last pass."""

    consistency: str
    passes: int
    held_ms: int
    taken_ns: int
    left_out: tuple[LeftOut, ...]


@dataclass
class Collector:
    """Fills ``spool`` from ``storage``."""

    storage: Storage
    spool: Spool
    clock: Clock
    hold: Hold | None = None
    on_pass: OnPass | None = None
    _passes: int = 0
    _marks: dict[str, Mark] = field(default_factory=dict)
    _left_out: dict[str, LeftOut] = field(default_factory=dict)

    async def collect(self) -> Collected:
        """Read until two passes agree, holding writes when that does not come by itself.

        An entry that is damaged is left out and named. Raises StoreChangingError, HoldError,
        StorageError, OSError for the temporary file.
        """
        if await self._until_equal(OPEN_PASSES, held=False):
            return self._done(TWO_PASSES, 0)
        if self.hold is None:
            raise StoreChangingError(
                f"{self.storage.url} changed during each of {OPEN_PASSES} passes",
                hint="hold the server's writes for the last pass: --hold-pid-file, or stop it",
            )
        begin = self.clock.monotonic()
        async with self.hold.held():
            equal = await self._until_equal(HELD_PASSES, held=True)
        held_ms = round((self.clock.monotonic() - begin) * 1000)
        if not equal:
            raise StoreChangingError(
                f"{self.storage.url} went on changing while its server was held",
                hint="does another program write to this store?",
            )
        return self._done(HELD, held_ms)

    async def _until_equal(self, limit: int, *, held: bool) -> bool:
        for _ in range(limit):
            changed = await self._pass()
            self._passes += 1
            if self.on_pass is not None:
                self.on_pass(PassReport(self._passes, len(self.spool.keys()), changed, held))
            if not changed and self._passes > 1:
                return True
        return False

    def _done(self, consistency: str, held_ms: int) -> Collected:
        left_out = tuple(item for _, item in sorted(self._left_out.items()))
        return Collected(consistency, self._passes, held_ms, self.clock.now_ns(), left_out)

    async def _pass(self) -> int:
        """One walk; how many entries are new, other or gone."""
        before, changed = self.spool.keys(), 0
        seen: set[str] = set()
        left_out: dict[str, LeftOut] = {}
        async with contextlib.aclosing(
            ordered_map(self._wanted(seen, left_out), self._look, _PARALLEL)
        ) as looks:
            async for look in looks:
                if look.left_out is not None:
                    left_out[look.info.key] = look.left_out
                    continue
                seen.add(look.info.key)
                changed += self._keep(look)
        gone = before - seen
        self.spool.drop(gone)
        changed += len(gone) + (left_out != self._left_out)
        self._left_out = left_out
        return changed

    async def _wanted(
        self, seen: set[str], left_out: dict[str, LeftOut]
    ) -> AsyncIterator[ObjectInfo]:
        """What has to be read; what is known to be unchanged is ``seen`` without."""
        listed = await survey(self.storage, self._marks)
        for info in (listed[key] for key in sorted(listed)):
            if is_skipped_by_copy(info.key):
                continue
            try:
                check_key(info.key)
            except InvalidKeyError:
                shown = ascii(info.key)
                left_out[shown] = LeftOut(shown, "no server can have written this name", False)
                continue
            if info.mark is not None and self._marks.get(info.key) == info.mark:
                seen.add(info.key)
                continue
            yield info

    async def _look(self, info: ObjectInfo) -> "_Look":
        try:
            value = await self.storage.get(info.key)
        except CorruptEntryError as error:
            damaged = not is_leftover_name(info.key)
            return _Look(info, left_out=LeftOut(info.key, error.cause, damaged))
        if value is None:
            return _Look(
                info, left_out=LeftOut(info.key, "a name without an entry behind it", False)
            )
        return _Look(info, value)

    def _keep(self, look: "_Look") -> bool:
        info, tag = look.info, look.info.etag_md5
        is_listed = tag is None or tag == hashlib.md5(look.value, usedforsecurity=False).hexdigest()
        if info.mark is not None and is_listed:
            self._marks[info.key] = info.mark
        return self.spool.put(info.key, look.value)


@dataclass(frozen=True, slots=True)
class _Look:
    """One entry as a pass saw it. ``info`` is from before ``value``."""

    info: ObjectInfo
    value: bytes = b""
    left_out: LeftOut | None = None
