"""Getting a KV version 2 mount ready: its salt, its path keys, data it had as version 1.

What lives here: what ``start`` of the backend reads or writes once. What never does: serving.
Invariants: a mount that is ready is only read; the marker ``upgrading`` says done only after every
version 1 entry is a version 2 secret, so a crash in between is picked up by the next start.
Source: ``docs/formats/records.md``.
"""

from collections.abc import Callable
from dataclasses import dataclass

from zvault.barrier.view import View
from zvault.base.clock import Clock
from zvault.base.ids import new_uuid
from zvault.base.secret import Secret
from zvault.engine.backends.kv.rules import add_version
from zvault.records.keysutil import KEY_BYTES, decode_path_policy, new_path_policy
from zvault.records.kv2 import (
    ARCHIVE_KEY,
    CONFIG_KEY,
    POLICY_KEY,
    SALT_KEY,
    UPGRADING_KEY,
    Configuration,
    KeyMetadata,
    UpgradeInfo,
    Version,
    make_timestamp,
    parse_configuration,
    parse_upgrade_info,
)
from zvault.records.kv2_paths import PathCodec, version_key
from zvault.storage.api import Delete, Operation, Put


@dataclass(frozen=True, slots=True)
class Kv2Mount:
    """A mount that is ready."""

    view: View
    """Below the mount's own prefix inside its view."""
    salt: str
    paths: PathCodec
    config: Configuration


async def set_up(
    mount_view: View,
    storage_prefix: str,
    *,
    clock: Clock,
    random_bytes: Callable[[int], bytes],
) -> Kv2Mount:
    """Read what there is and make what is missing. Raises RecordError, StorageError."""
    view = mount_view.sub(storage_prefix + "/")
    operations: list[Operation] = []
    salt = await view.get(SALT_KEY)
    if salt is None:
        salt = new_uuid(random_bytes).encode()
        operations.append(Put(SALT_KEY, salt))
    policy = await view.get(POLICY_KEY)
    if policy is None:
        keys = Secret(random_bytes(KEY_BYTES)), Secret(random_bytes(KEY_BYTES))
        policy, archive = new_path_policy(storage_prefix, *keys, clock.now_ns())
        # The archive first: a policy without its archive is what no server expects.
        operations += (Put(ARCHIVE_KEY, archive), Put(POLICY_KEY, policy))
    if operations:
        await view.apply(operations)
    stored = await view.get(CONFIG_KEY)
    config = parse_configuration(stored) if stored is not None else Configuration()
    mount = Kv2Mount(view, salt.decode(), PathCodec(decode_path_policy(policy)), config)
    marker = await view.get(UPGRADING_KEY)
    if marker is None or not parse_upgrade_info(marker).done:
        await _upgrade(mount_view, storage_prefix, mount, clock)
    return mount


async def _upgrade(mount_view: View, storage_prefix: str, mount: Kv2Mount, clock: Clock) -> None:
    """Make every version 1 entry of the mount the first version of a secret."""
    started = make_timestamp(clock.now_ns())
    old_keys = await _old_keys(mount_view, storage_prefix)
    if old_keys:
        marker = UpgradeInfo(started_time=started, done=False)
        await mount.view.put(UPGRADING_KEY, marker.SerializeToString())
    for key in old_keys:
        data = await mount_view.get(key)
        if data is not None:
            await mount_view.apply(_as_first_version(mount, storage_prefix, key, data, clock))
    done = UpgradeInfo(started_time=started, done=True)
    await mount.view.put(UPGRADING_KEY, done.SerializeToString())


async def _old_keys(mount_view: View, storage_prefix: str) -> list[str]:
    found: list[str] = []
    folders = [""]
    while folders:
        folder = folders.pop()
        for name in await mount_view.list(folder):
            key = folder + name
            if key.startswith(storage_prefix):
                continue
            (folders if name.endswith("/") else found).append(key)
    return found


def _as_first_version(
    mount: Kv2Mount, storage_prefix: str, key: str, data: bytes, clock: Clock
) -> list[Operation]:
    meta = KeyMetadata(key=key)
    number, about, _ = add_version(meta, Configuration(max_versions=1), clock.now_ns())
    version = Version(data=data.strip(), created_time=about.created_time)
    inside = storage_prefix + "/"
    return [
        Put(inside + version_key(mount.salt, key, number), version.SerializeToString()),
        Put(inside + mount.paths.metadata_key(key), meta.SerializeToString()),
        Delete(key),
    ]
