"""Secrets of a KV version 2 mount in storage, with what is remembered of them.

What lives here: loading metadata and version data, and writing them in Vault's order. What never
does: a rule about versions (``kv2_rules``), an answer's shape.
Invariants: version data is durable before the metadata that names it, and metadata before trimmed
data goes; whoever loads or changes a path holds its lock, so the cache never shows what was
overwritten; a write that fails forgets the path.
Source: ``docs/formats/records.md``.
"""

from collections.abc import Sequence

from zvault.engine.backends.kv.answers import read_data
from zvault.engine.backends.kv.cache import Known, Kv2Cache
from zvault.engine.backends.kv.rules import copy_of, destroy_versions
from zvault.engine.backends.kv.setup import Kv2Mount
from zvault.engine.errors import InternalEngineError, InvalidRequestError
from zvault.engine.locks import Hold, KeyLocks
from zvault.engine.userdata import EncodedData
from zvault.records.kv2 import (
    CONFIG_KEY,
    Configuration,
    KeyMetadata,
    Version,
    VersionMetadata,
    VersionState,
    parse_key_metadata,
    parse_version,
    timestamp_ns,
    version_state,
)
from zvault.records.kv2_paths import version_key
from zvault.storage.api import Delete, Operation, Put

_METADATA_PREFIX = "metadata/"
_ODD_SEGMENTS = frozenset(("", ".", ".."))


class Kv2Store:
    """The secrets of one mount."""

    def __init__(self, mount: Kv2Mount, cache: Kv2Cache | None = None) -> None:
        self._view = mount.view
        self._salt = mount.salt
        self._paths = mount.paths
        self._locks = KeyLocks()
        self.cache = cache or Kv2Cache()
        self.config: Configuration = mount.config
        """The mount's settings; replaced as a whole by ``save_config``."""

    def hold(self, path: str) -> Hold:
        """The lock of one secret; free ones do not suspend."""
        return self._locks.hold(path)

    async def load(self, path: str) -> Known | None:
        """What there is of a secret. Hold its lock.

        Raises InvalidRequestError for a path that names another, RecordError, StorageError.
        """
        known = self.cache.get(path)
        if known is None:
            check_path(path)
            key = self._paths.metadata_key(path)
            stored = await self._view.get(key)
            if stored is None:
                return None
            known = Known(parse_key_metadata(stored), len(stored), key)
            self.cache.put(path, known)
        return known

    async def answer(self, path: str, known: Known, number: int) -> EncodedData:
        """The answer to a read of a readable version. Hold the lock.

        Raises InternalEngineError when the version's data is missing, RecordError, StorageError.
        """
        kept = known.answers.get(number)
        if kept is not None:
            return kept[0]
        if known.fresh is not None and known.fresh[0] == number:
            stored = known.fresh[1]
        else:
            stored = await self.version_data(path, number)
        return self._remembered(path, known, number, stored)

    def fresh_answer(self, path: str, known: Known, now_ns: int) -> EncodedData | None:
        """The answer to a read of the current version if this process has just written it.

        Needs no lock, for it looks only at what is remembered, and so waits for no write under way.
        """
        if known.fresh is None or known.fresh[0] != known.meta.current_version:
            return None
        number, stored = known.fresh
        if version_state(known.meta, number, now_ns) is not VersionState.READABLE:
            return None
        return self._remembered(path, known, number, stored)

    def _remembered(self, path: str, known: Known, number: int, stored: bytes) -> EncodedData:
        version = known.meta.versions[number]
        answer = read_data(known.meta, number, stored)
        deletion = version.deletion_time
        until_ns = timestamp_ns(deletion) if version.HasField("deletion_time") else 0
        self.cache.add_answer(path, number, answer, until_ns)
        return answer

    async def version_data(self, path: str, number: int) -> bytes:
        """The stored JSON of a version."""
        stored = await self._view.get(version_key(self._salt, path, number))
        if stored is None:
            raise InternalEngineError("1 error occurred:\n\t* could not find version data\n\n")
        return parse_version(stored).data

    async def write_version(
        self,
        path: str,
        meta: KeyMetadata,
        number: int,
        version: VersionMetadata,
        data: bytes,
        trimmed: range,
    ) -> None:
        """A new version: its data, the metadata, then what was trimmed. Hold the lock."""
        record = Version(data=data, created_time=version.created_time)
        if version.HasField("deletion_time"):
            record.deletion_time.CopyFrom(version.deletion_time)
        doomed = list(trimmed)
        known = self.cache.get(path)
        clean_below = known.clean_below if known is not None else 0
        if trimmed:
            doomed = await self._leftovers(path, clean_below, trimmed.start) + doomed
            clean_below = trimmed.stop
        await self._write(
            path,
            meta,
            [Put(version_key(self._salt, path, number), record.SerializeToString())],
            [Delete(version_key(self._salt, path, old)) for old in reversed(doomed)],
            clean_below,
            (number, data),
        )

    async def _leftovers(self, path: str, clean_below: int, start: int) -> list[int]:
        """Versions below ``start`` that a crash between metadata and trimming left behind."""
        found: list[int] = []
        number = start - 1
        while number >= max(clean_below, 1):
            if await self._view.get(version_key(self._salt, path, number)) is None:
                break
            found.insert(0, number)
            number -= 1
        return found

    async def write_metadata(
        self, path: str, meta: KeyMetadata, destroyed: Sequence[int] = ()
    ) -> None:
        """Changed metadata, then the data of ``destroyed`` versions goes. Hold the lock."""
        known = self.cache.get(path)
        after = [Delete(version_key(self._salt, path, number)) for number in destroyed]
        await self._write(path, meta, [], after, known.clean_below if known is not None else 0)

    async def _write(
        self,
        path: str,
        meta: KeyMetadata,
        before: Sequence[Operation],
        after: Sequence[Operation],
        clean_below: int,
        fresh: tuple[int, bytes] | None = None,
    ) -> None:
        encoded = meta.SerializeToString()
        known = self.cache.get(path)
        key = self._paths.metadata_key(path) if known is None else known.key
        put = Put(key, encoded)
        try:
            await self._view.apply([*before, put, *after])
        except BaseException:
            self.cache.drop(path)
            raise
        self.cache.put(path, Known(meta, len(encoded), key, clean_below, fresh))

    async def remove(self, path: str, meta: KeyMetadata) -> None:
        """All version data, then the metadata. Hold the lock.

        Every version is marked as destroyed first, so a crash in between leaves no version that
        claims to be readable and has no data.
        """
        key = self._paths.metadata_key(path)
        dying = copy_of(meta)
        numbers = destroy_versions(dying, sorted(meta.versions, reverse=True))
        operations: list[Operation] = [
            Put(key, dying.SerializeToString()),
            *(Delete(version_key(self._salt, path, number)) for number in numbers),
            Delete(key),
        ]
        self.cache.drop(path)
        try:
            await self._view.apply(operations)
        finally:
            self.cache.drop(path)

    async def save_config(self, config: Configuration) -> None:
        """New settings of the mount; durable on return."""
        await self._view.put(CONFIG_KEY, config.SerializeToString())
        self.config = config

    async def list(self, folder: str) -> list[str]:
        """Plain names below a plain folder path, sorted. Raises RecordError, StorageError."""
        if folder:
            check_path(folder.removesuffix("/"))
        inner = self._paths.encrypt_path(folder)
        names = await self._view.list(_METADATA_PREFIX + (inner + "/" if inner else ""))
        return sorted(self._paths.decrypt_component(name, folder) for name in names)


def check_path(path: str) -> None:
    """Raises InvalidRequestError for a path that is another one's second name.

    Metadata lies under the cleaned path: ``a/../b`` would read ``b`` past the policies of ``a/*``,
    and ``a//b`` would share metadata, but not version data, with ``a/b``.
    """
    if not _ODD_SEGMENTS.isdisjoint(path.split("/")):
        raise InvalidRequestError("relative paths not supported")
