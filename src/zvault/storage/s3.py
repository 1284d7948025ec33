"""Vault's S3 backend: object name = prefix joined with the key, object body = the value.

What lives here: the four storage calls, flat listings with MD5 tags, the access check. What never
does: what is retried (``s3_errors.py``, ``s3_retry.py``), options (``s3_options.py``).

Invariants: a put is acknowledged only when the provider's ETag is the MD5 of what was sent, or
the object was read back; operations of one ``apply`` run in order; no lock exists here, so two
servers on one prefix are kept apart by the migration's fence.
"""

import asyncio
import contextlib
import hashlib
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Collection, Sequence
from typing import TypeVar

from zvault.base.clock import Clock, SystemClock
from zvault.storage import keys
from zvault.storage.api import Operation, Put
from zvault.storage.cache import FetchCache
from zvault.storage.errors import InvalidKeyError, ReadOnlyStoreError, StorageError
from zvault.storage.listing import ObjectInfo
from zvault.storage.s3_client import PAGE, Bucket
from zvault.storage.s3_options import S3Options
from zvault.storage.s3_retry import Retrier, Sleep
from zvault.storage.window import each, ordered_map

DEFAULT_CACHE_BYTES = 32 << 20
NAME_LIMIT_BYTES = 1024
PROBE_FOLDER = "zvault-probe/"
_STRETCH = PAGE - 100
"""So many keys are listed by one request even when some have come in between."""
_PARALLEL_LISTINGS = 8
T = TypeVar("T")


class S3Storage:
    """One bucket and prefix. Open with ``open``; the first request is made by the first call."""

    def __init__(
        self, options: S3Options, cache_bytes: int, writable: bool, clock: Clock, sleep: Sleep
    ) -> None:
        self._options = options
        self._habits = options.habits
        self._prefix = options.prefix + "/" if options.prefix else ""
        self._bucket = Bucket(options)
        self._slots = asyncio.Semaphore(options.max_parallel)
        self._cache = FetchCache(cache_bytes)
        self._writable = writable
        self._retrier = Retrier(options.retry, options.provider, self.url, clock, sleep)

    @classmethod
    def open(
        cls,
        options: S3Options,
        *,
        read_only: bool = False,
        cache_bytes: int = 0,
        clock: Clock | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> "S3Storage":
        """A store at the place that ``options`` name. Nothing is sent yet.

        ``read_only`` refuses writes and caches nothing, for a store that a server writes to. Only
        a server sets ``cache_bytes`` (``DEFAULT_CACHE_BYTES``): whoever proves something asks the
        provider. Raises S3OptionsError.
        """
        return cls(
            options.check(),
            0 if read_only else cache_bytes,
            not read_only,
            clock or SystemClock(),
            sleep,
        )

    @property
    def url(self) -> str:
        return f"s3://{self._options.bucket}/{self._prefix}".rstrip("/")

    @property
    def identity(self) -> str:
        """The place with its endpoint: the same bucket name exists at many providers."""
        place = self._options.endpoint or self._options.region
        return f"s3 {place} {self._options.bucket}/{self._prefix}".rstrip("/")

    @property
    def provider(self) -> str:
        """The provider's name, a key of ``s3_options.PROVIDERS``."""
        return self._options.provider

    @property
    def retries(self) -> int:
        """Requests repeated since the store was opened."""
        return self._retrier.retries

    async def get(self, key: str) -> bytes | None:
        value = self._cache.get(key)
        if value is not None:
            return value
        if not keys.is_storable_for_reading(key) or not _is_text(key):
            return None
        token = self._cache.begin_fetch(key)
        try:
            value = await self._fetch(key)
        finally:
            self._cache.end_fetch(key, token, value)
        return value

    async def apply(self, operations: Sequence[Operation]) -> None:
        if not self._writable:
            raise ReadOnlyStoreError(self.url)
        keys.check_operations(operations)
        for operation in operations:
            self._check_length(operation.key)
        for operation in operations:
            self._cache.begin_write(operation.key)
        done = 0
        try:
            for operation in operations:
                await self._one(operation)
                done += 1
        finally:
            for position, operation in enumerate(operations):
                value = operation.value if isinstance(operation, Put) else None
                self._cache.end_write(operation.key, value if position < done else None)

    async def list(self, prefix: str) -> list[str]:
        if not keys.check_prefix(prefix) or not _is_text(prefix):
            return []
        async with self._slots:
            found = await self._retrier.run(lambda: self._bucket.folder(prefix), prefix)
        return sorted(found)

    async def list_objects(
        self, prefix: str = "", *, after: str | None = None
    ) -> AsyncIterator[ObjectInfo]:
        """Every entry below ``prefix`` in bytewise order, 1,000 a request."""
        if not keys.check_prefix(prefix):
            return
        if self._habits.ordered_listing:
            async for info in self._stream(prefix, after):
                yield info
            return
        found = await self._retrier.run(lambda: self._bucket.all(prefix), prefix)
        for info in sorted(found, key=lambda info: info.key):
            if after is None or info.key > after:
                yield info

    async def survey(self, known: Collection[str]) -> dict[str, ObjectInfo]:
        """Every key with its MD5; several stretches at a time where the provider's order allows."""
        if not self._habits.ordered_listing:
            return {info.key: info async for info in self.list_objects()}
        ends: list[str | None] = [*sorted(known)[_STRETCH::_STRETCH], None]
        stretches = zip([None, *ends], ends, strict=False)
        found: dict[str, ObjectInfo] = {}
        async with contextlib.aclosing(
            ordered_map(each(stretches), self._stretch, _PARALLEL_LISTINGS)
        ) as listed:
            async for infos in listed:
                found.update((info.key, info) for info in infos)
        return found

    async def _stretch(self, ends: tuple[str | None, str | None]) -> Sequence[ObjectInfo]:
        """Every entry behind the first key, up to the second one included."""
        after, last = ends
        found = []
        async with contextlib.aclosing(self._stream("", after)) as infos:
            async for info in infos:
                if last is not None and info.key > last:
                    break
                found.append(info)
        return found

    async def check_access(self) -> tuple[str, ...]:
        """List, put, get and delete a probe, each one signed; the steps that were proven.

        Raises StorageError whose message names the step and the cause.
        """
        if not self._writable:
            raise ReadOnlyStoreError(self.url)
        key = PROBE_FOLDER + secrets.token_hex(8)
        body = secrets.token_bytes(16)
        await self._step("list", key, self.list(PROBE_FOLDER))
        try:
            await self._step("put", key, self._put(key, body))
            if await self._step("get", key, self._fetch(key)) != body:
                raise self._error("get gave other bytes than put sent", key)
            if key.removeprefix(PROBE_FOLDER) not in await self.list(PROBE_FOLDER):
                raise self._error("list does not show what put wrote", key)
        except StorageError:
            with contextlib.suppress(StorageError):  # also after a put that seemed to fail
                await self._delete(key)
            raise
        await self._step("delete", key, self._delete(key))
        if await self._fetch(key) is not None:
            raise self._error("get still finds what delete removed", key)
        return ("list", "put", "get", "delete")

    async def close(self) -> None:
        """Nothing to finish: every write was awaited by its caller."""

    async def _one(self, operation: Operation) -> None:
        if isinstance(operation, Put):
            await self._put(operation.key, operation.value)
        else:
            await self._delete(operation.key)

    async def _fetch(self, key: str) -> bytes | None:
        async with self._slots:
            return await self._retrier.run_or_absent(lambda: self._bucket.get(key), key)

    async def _put(self, key: str, value: bytes) -> None:
        md5 = hashlib.md5(value, usedforsecurity=False).hexdigest()
        async with self._slots:
            await self._retrier.run(lambda: self._bucket.put(key, value, md5), key)

    async def _delete(self, key: str) -> None:
        async with self._slots:
            await self._retrier.run_or_absent(lambda: self._bucket.delete(key), key)

    async def _stream(self, prefix: str, after: str | None) -> AsyncGenerator[ObjectInfo, None]:
        """Page by page, each repeated on its own; ends with an empty page."""
        last: str | None = None
        while page := await self._page(prefix, after if last is None else last):
            for info in page:
                if last is not None and info.key <= last:
                    raise self._error("the listing is not in order", info.key)
                last = info.key
                if after is None or info.key > after:
                    yield info  # obstore cuts the slash off an offset, so the first may be less

    async def _page(self, prefix: str, after: str | None) -> Sequence[ObjectInfo]:
        return await self._retrier.run(lambda: self._bucket.page(prefix, after), prefix)

    def _check_length(self, key: str) -> None:
        if len((self._prefix + key).encode()) > NAME_LIMIT_BYTES:
            raise InvalidKeyError(key, f"an object name has at most {NAME_LIMIT_BYTES} bytes")

    async def _step(self, step: str, key: str, work: Awaitable[T]) -> T:
        """Name the step of the access check in what goes wrong."""
        try:
            return await work
        except StorageError as error:
            said = f"{step} was refused or failed: {error.cause}"
            raise type(error)(
                said, provider=error.provider, store=error.store, key=key, hint=error.hint
            ) from None

    def _error(self, cause: str, key: str) -> StorageError:
        return StorageError(cause, provider=self._options.provider, store=self.url, key=key)


def _is_text(key: str) -> bool:
    """False for a key that no object can have as its name."""
    return key.isprintable()
