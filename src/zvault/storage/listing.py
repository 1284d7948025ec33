"""What a listing says about an entry, for backends that list flat.

What lives here: the value and the optional second protocol of a store. ``walk.py`` falls back to
``Storage.list`` for a store that lacks it.
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
