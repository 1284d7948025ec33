"""What a listing says about an entry, for backends that list flat.

What lives here: the value and two optional protocols of a store. ``walk.py`` falls back to
``Storage.list`` for a store that lists no other way, and whoever finds no stamps reads values.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One listed key. ``size`` in bytes and ``etag_md5`` (32 hex digits) as far as they are known.

    ``etag_md5`` is what the provider says; a multipart upload's tag is no MD5 and given as None.
    """

    key: str
    size: int | None = None
    etag_md5: str | None = None


@runtime_checkable
class FlatListing(Protocol):
    """A store that can list every key below a prefix without going folder by folder."""

    def list_objects(
        self, prefix: str = "", *, after: str | None = None
    ) -> AsyncIterator[ObjectInfo]:
        """Every entry below ``prefix`` with a key greater than ``after``, in bytewise order."""
        ...


Stamp = tuple[int, ...]
"""Compared for equality only."""


@runtime_checkable
class Stamped(Protocol):
    """A store that can say, without reading it, whether an entry is still what it was."""

    def stamp(self, key: str) -> Stamp | None:
        """Another one after every write of ``key``. None: absent, or too young to be told apart.

        Take it before the value is read: an entry written in between then has another stamp.
        """
        ...
