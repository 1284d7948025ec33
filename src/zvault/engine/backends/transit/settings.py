"""What a transit mount is told about itself: the cache's size, whether encryption makes keys.

What lives here: ``cache-config`` and ``config/keys``. Source: ``docs/api/transit.md``.
"""

from typing import Any

from zvault.barrier.view import View
from zvault.engine.api import Request, Response
from zvault.engine.backends.framework import FieldData
from zvault.engine.backends.transit.store import DEFAULT_CACHED, TransitStore
from zvault.engine.errors import InvalidRequestError
from zvault.records import gojson
from zvault.records.transit import CACHE_CONFIG_KEY, KEYS_CONFIG_KEY

_SMALLEST_CACHE = 10


class MountSettings:
    """The settings of one mount."""

    def __init__(self, view: View, store: TransitStore) -> None:
        self._view = view
        self._store = store

    async def _stored(self, key: str) -> dict[str, Any]:
        stored = await self._view.get(key)
        return {} if stored is None else gojson.loads_object(stored)

    async def start(self) -> None:
        """Bound the cache as it was told to be. Raises RecordError, StorageError."""
        size = (await self._stored(CACHE_CONFIG_KEY)).get("size")
        if isinstance(size, int) and size >= _SMALLEST_CACHE:
            self._store.shrink(size)

    async def is_upsert_disabled(self) -> bool:
        """Encryption with an absent key does not make it."""
        return (await self._stored(KEYS_CONFIG_KEY)).get("disable_upsert") is True

    async def read_cache(self, request: Request, data: FieldData) -> Response:
        """The cache's bound; 0 is none that anybody asked for."""
        size = (await self._stored(CACHE_CONFIG_KEY)).get("size", 0)
        return Response(data={"size": size})

    async def write_cache(self, request: Request, data: FieldData) -> Response:
        """Bound the cache."""
        size = data["size"]
        if size != 0 and size < _SMALLEST_CACHE:
            raise InvalidRequestError("size must be 0 or a value greater or equal to 10")
        await self._view.put(CACHE_CONFIG_KEY, gojson.dumps({"size": size}, newline=True))
        self._store.shrink(min(size, DEFAULT_CACHED) or DEFAULT_CACHED)
        return Response(data={"size": size})

    async def read_keys(self, request: Request, data: FieldData) -> Response:
        """Whether encryption makes keys."""
        return Response(data={"disable_upsert": await self.is_upsert_disabled()})

    async def write_keys(self, request: Request, data: FieldData) -> Response:
        """Let encryption make keys, or not."""
        wanted = {"disable_upsert": data["disable_upsert"]}
        await self._view.put(KEYS_CONFIG_KEY, gojson.dumps(wanted, newline=True))
        return Response(data=wanted)
