"""Do a KV v2 mount's metadata and version entries belong together?

What lives here: which version entries the metadata promises and which are there, 16 bytes each,
and the second look that names what is missing. What never does: a secret's data kept.
Invariant: metadata comes before versions in the walk's order, so one pass is enough when all is
well.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from zvault.barrier.barrier import Barrier
from zvault.offline.errors import ENTRY_ERRORS
from zvault.offline.report import Finding
from zvault.records import kv2
from zvault.records.kv2_messages import KeyMetadata
from zvault.records.kv2_paths import PathCodec, version_key
from zvault.storage.api import Storage
from zvault.storage.errors import CorruptEntryError
from zvault.storage.walk import walk

_DIGEST_CHARACTERS = 32


def _digest(relative: str) -> bytes:
    """16 bytes that stand for ``versions/abc/<61 hex>``."""
    return bytes.fromhex(
        relative.removeprefix(kv2.VERSIONS_PREFIX).replace("/", "")[:_DIGEST_CHARACTERS]
    )


@dataclass(frozen=True, slots=True)
class MetadataFact:
    """What a metadata entry says. ``fits``: the secret inside has the name of its place.

    ``versions``: of each that is not destroyed, the entry's digest and whether it can be read.
    """

    fits: bool
    versions: tuple[tuple[bytes, bool], ...]


@dataclass(frozen=True, slots=True)
class VersionFact:
    """What a version entry says: nothing but that it is whole."""


VERSION = VersionFact()
Fact = MetadataFact | VersionFact


def metadata_fact(
    salt: str, codec: PathCodec | None, relative: str, metadata: KeyMetadata, now_ns: int
) -> MetadataFact:
    """Of a metadata entry; ``relative`` is its key below the mount's prefix."""
    place = relative.removeprefix(kv2.METADATA_PREFIX)
    return MetadataFact(
        fits=codec is not None and codec.encrypt_path(metadata.key) == place,
        versions=tuple(
            (
                _digest(version_key(salt, metadata.key, number)),
                kv2.version_state(metadata, number, now_ns) is kv2.VersionState.READABLE,
            )
            for number, version in metadata.versions.items()
            if not version.destroyed
        ),
    )


class Kv2Ledger:
    """Collects for one mount; ``findings`` and ``losses`` conclude."""

    def __init__(self, prefix: str, mount_path: str, salt: str) -> None:
        self.prefix = prefix
        self._mount_path = mount_path
        self._salt = salt
        self._promised: dict[bytes, bool] = {}
        """Version entry → it can be read now."""
        self._found: list[Finding] = []

    def saw_metadata(self, relative: str, metadata: MetadataFact) -> None:
        """A metadata entry; ``relative`` is its key below the prefix."""
        if not metadata.fits:
            self._found.append(
                Finding(
                    self.prefix + relative,
                    "the secret inside has another name than its place",
                    is_loss=True,
                )
            )
        self._promised.update(metadata.versions)

    def saw_version(self, relative: str) -> bool:
        """A version entry. True when it can be read now."""
        try:
            readable = self._promised.pop(_digest(relative), None)
        except ValueError:
            readable = None
        if readable is None:
            self._found.append(
                Finding(self.prefix + relative, "leftover: no metadata names this version", False)
            )
        return bool(readable)

    def findings(self) -> Iterator[Finding]:
        yield from self._found

    async def losses(self, barrier: Barrier) -> AsyncIterator[Finding]:
        """Name the promised versions that are not there, looking a second time at each."""
        if not self._promised:
            return
        async for key in walk(barrier.storage, prefix=self.prefix + kv2.METADATA_PREFIX):
            try:
                record = await barrier.get(key)
                metadata = None if record is None else kv2.parse_key_metadata(record)
            except ENTRY_ERRORS:
                continue  # the first pass has named it
            if metadata is not None:
                async for finding in self._missing(barrier, key, metadata):
                    yield finding

    async def _missing(
        self, barrier: Barrier, key: str, metadata: KeyMetadata
    ) -> AsyncIterator[Finding]:
        for number, version in sorted(metadata.versions.items()):
            relative = version_key(self._salt, metadata.key, number)
            if version.destroyed or _digest(relative) not in self._promised:
                continue
            if not await _is_there(barrier.storage, self.prefix + relative):
                yield Finding(
                    key,
                    f"version {number} of {self._mount_path}{metadata.key} has no data entry",
                    is_loss=True,
                )


async def _is_there(storage: Storage, key: str) -> bool:
    """A damaged entry is there too, and named by the first pass."""
    try:
        return await storage.get(key) is not None
    except CorruptEntryError:
        return True
