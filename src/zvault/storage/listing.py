"""What a listing says about an entry, for backends that say more than its name.

What lives here: the value and three optional protocols of a store. ``walk.py`` falls back to
``Storage.list`` for a store that lists no other way, and whoever finds no mark reads values.
"""

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

Stamp = tuple[int, ...]
"""Compared for equality only."""

Mark = Stamp | tuple[str, int | None]
"""A stamp, or an object's MD5 with its size: what an entry still is as long as it does not move."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One listed key. ``size`` in bytes and ``etag_md5`` (32 hex digits) as far as they are known.

    ``etag_md5`` is what the provider says; a multipart upload's tag is no MD5 and given as None.
    ``stamp``: as in ``Stamped``, of a moment before the listing ended.
    """

    key: str
    size: int | None = None
    etag_md5: str | None = None
    stamp: Stamp | None = None

    @property
    def mark(self) -> Mark | None:
        """What tells, without a read, that the entry is what it was; None when nothing does."""
        return self.stamp if self.etag_md5 is None else (self.etag_md5, self.size)


@runtime_checkable
class FlatListing(Protocol):
    """A store that can list every key below a prefix without going folder by folder."""

    def list_objects(
        self, prefix: str = "", *, after: str | None = None
    ) -> AsyncIterator[ObjectInfo]:
        """Every entry below ``prefix`` with a key greater than ``after``, in bytewise order."""
        ...


@runtime_checkable
class Stamped(Protocol):
    """A store that can say, without reading it, whether an entry is still what it was."""

    def stamp(self, key: str) -> Stamp | None:
        """Another one after every write that changed ``key``.

        None: absent, or too young to be told apart, or on a disk whose stamps say too little. Take
        it before the value is read: an entry written in between then has another stamp.
        """
        ...


@runtime_checkable
class Surveyed(Protocol):
    """A store that lists everything, with its marks, faster than key by key."""

    async def survey(self, known: Collection[str]) -> dict[str, ObjectInfo]:
        """Every key that the walk would name.

        ``known``: keys that were there some time ago, in order; they only help to divide the work.
        """
        ...
