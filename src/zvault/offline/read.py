"""Read one secret out of an open store.

What lives here: from ``MOUNT/PATH`` to its data, for KV v1 and v2. What never does: writing,
permissions.
Invariant: the path is literal (no URL decoding, no ``data/``); what cannot be read is said with
its reason and never answered with something else.
"""

from dataclasses import dataclass, field
from typing import Any

from zvault.barrier.errors import MissingEntryError
from zvault.base.gotime import format_time
from zvault.offline.errors import SecretGoneError, SecretPathError
from zvault.offline.open import OfflineStore
from zvault.offline.tables import Mounts
from zvault.records import gojson, kv2
from zvault.records.keysutil import decode_path_policy
from zvault.records.kv2_paths import PathCodec, clean_path, version_key
from zvault.records.mounts import MountEntry

_VERSION_END = 1 << 63
_STATES = {
    kv2.VersionState.DELETED: "was deleted",
    kv2.VersionState.DESTROYED: "was destroyed",
    kv2.VersionState.ABSENT: "does not exist",
}


@dataclass(frozen=True, slots=True)
class ReadSecret:
    """A secret's data object. ``version`` 0: KV v1, which has none."""

    mount: str
    path: str
    version: int
    created: str
    """RFC 3339; "" for KV v1."""
    data: dict[str, Any] = field(repr=False)

    def to_json_text(self) -> bytes:
        """The data object as JSON, numbers with the digits they were stored with."""
        return gojson.dumps(self.data)


async def read_secret(
    store: OfflineStore, path: str, *, version: int | None, now_ns: int
) -> ReadSecret:
    """The data of ``MOUNT/PATH``; ``version`` None: the current one.

    Raises SecretGoneError (absent, deleted, destroyed), NoSuchMountError, SecretPathError,
    UnreadableEntryError, RecordError, CorruptEntryError, StorageError.
    """
    if version is not None and not 1 <= version < _VERSION_END:
        raise SecretPathError(f"there is no version {version}", hint="versions start at 1")
    mount = store.mounts.engine_of(path)
    relative = path.removeprefix(mount.path)
    if not relative or relative.endswith("/"):
        raise SecretPathError(f"{path!r} names no secret", hint="write MOUNT/PATH")
    if mount.kv_version == 2:
        return await _read_kv2(store, mount, relative, version or 0, now_ns)
    if mount.kv_version == 1:
        return await _read_kv1(store, mount, relative, version)
    raise SecretPathError(
        f"{mount.path} is of type {mount.type}, not kv", hint=_kv_mounts(store.mounts)
    )


def _kv_mounts(mounts: Mounts) -> str:
    names = ", ".join(sorted(entry.path for entry in mounts.engines if entry.kv_version))
    return f"the store's kv mounts are: {names or 'none'}"


async def _read_kv1(
    store: OfflineStore, mount: MountEntry, relative: str, version: int | None
) -> ReadSecret:
    if version is not None:
        raise SecretPathError(
            f"{mount.path} is KV version 1, which keeps no versions", hint="leave out --version"
        )
    record = None if ".." in relative else await store.barrier.get(mount.view_prefix + relative)
    if record is None:
        raise SecretGoneError(
            f"{mount.path}{relative} does not exist", hint="paths are literal: check the spelling"
        )
    return ReadSecret(mount.path, relative, 0, "", gojson.loads_object(record))


async def _read_kv2(
    store: OfflineStore, mount: MountEntry, relative: str, version: int, now_ns: int
) -> ReadSecret:
    prefix = f"{mount.view_prefix}{mount.backend_aware_uuid}/"
    metadata = await _metadata(store, prefix, relative)
    if metadata is None:
        raise SecretGoneError(
            f"{mount.path}{relative} does not exist", hint="paths are literal: check the spelling"
        )
    number = version or metadata.current_version
    state = kv2.version_state(metadata, number, now_ns)
    if state is not kv2.VersionState.READABLE:
        raise SecretGoneError(
            f"version {number} of {mount.path}{relative} {_STATES[state]}"
            + _when(metadata, number, state),
            hint=f"versions {_readable(metadata, now_ns)} can be read",
        )
    salt = (await store.barrier.get(prefix + kv2.SALT_KEY) or b"").decode()
    key = prefix + version_key(salt, metadata.key, number)
    data = await store.barrier.get(key)
    if data is None:
        raise MissingEntryError(
            f"the data entry of version {number} of {mount.path}{relative} is missing ({key})",
            hint="take it from a backup",
        )
    stored = kv2.parse_version(data)
    return ReadSecret(
        mount.path,
        relative,
        number,
        format_time(kv2.timestamp_ns(stored.created_time)),
        gojson.loads_object(stored.data),
    )


async def _metadata(store: OfflineStore, prefix: str, relative: str) -> kv2.KeyMetadata | None:
    """None for a name that no secret has; ``a//b`` and ``a/x/../b`` are not the name ``a/b``."""
    policy = await store.barrier.get(prefix + kv2.POLICY_KEY)
    if policy is None:
        return None  # nothing was ever written: the name policy is made on first use
    codec = PathCodec(decode_path_policy(policy))
    record = await store.barrier.get(prefix + codec.metadata_key(relative))
    metadata = None if record is None else kv2.parse_key_metadata(record)
    if metadata is not None and relative not in (metadata.key, clean_path(relative)):
        return None
    return metadata


def _when(metadata: kv2.KeyMetadata, number: int, state: kv2.VersionState) -> str:
    if state is kv2.VersionState.DELETED:
        return f" at {format_time(kv2.timestamp_ns(metadata.versions[number].deletion_time))}"
    if state is kv2.VersionState.ABSENT and 0 < number < metadata.oldest_version:
        return " any more: max_versions pushed it out"
    return ""


def _readable(metadata: kv2.KeyMetadata, now_ns: int) -> str:
    numbers = [
        str(number)
        for number in sorted(metadata.versions)
        if kv2.version_state(metadata, number, now_ns) is kv2.VersionState.READABLE
    ]
    return ", ".join(numbers) or "(none)"
