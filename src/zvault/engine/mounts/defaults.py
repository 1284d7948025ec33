"""The mounts every store has.

What lives here: their entries, made with fresh ids, and the repair of entries that older servers
left incomplete. Pure. Source: ``docs/formats/records.md``.
"""

from collections.abc import Sequence
from dataclasses import replace

from zvault.base.ids import RandomBytes, new_uuid
from zvault.records.mounts import AUTH, MOUNTS, MountConfig, MountEntry

_SYSTEM_CONFIG = MountConfig(passthrough_request_headers=("Accept",))
_IDENTITY_CONFIG = MountConfig(passthrough_request_headers=("Authorization",))


def new_accessor(entry_type: str, table: str, random_bytes: RandomBytes) -> str:
    """``kv_0a1b2c3d``, ``auth_approle_0a1b2c3d``."""
    prefix = "auth_" if table == AUTH else ""
    return f"{prefix}{entry_type}_{random_bytes(4).hex()}"


def with_ids(entry: MountEntry, random_bytes: RandomBytes) -> MountEntry:
    """``entry`` with every id it lacks."""
    return replace(
        entry,
        uuid=entry.uuid or new_uuid(random_bytes),
        backend_aware_uuid=entry.backend_aware_uuid or new_uuid(random_bytes),
        accessor=entry.accessor or new_accessor(entry.type, entry.table, random_bytes),
    )


def required_entries(table: str) -> list[MountEntry]:
    """The entries of ``table`` without which no server runs; ids are missing."""
    if table == AUTH:
        return [
            MountEntry("token/", "token", AUTH, "token based credentials"),
        ]
    return [
        MountEntry(
            "cubbyhole/", "cubbyhole", MOUNTS, "per-token private secret storage", local=True
        ),
        MountEntry(
            "sys/",
            "system",
            MOUNTS,
            "system endpoints used for control, policy and debugging",
            seal_wrap=True,
            config=_SYSTEM_CONFIG,
        ),
        MountEntry("identity/", "identity", MOUNTS, "identity store", config=_IDENTITY_CONFIG),
    ]


def completed(
    entries: Sequence[MountEntry], table: str, random_bytes: RandomBytes
) -> list[MountEntry]:
    """``entries`` plus the required ones that are missing, with old types and ids mended."""
    result = [_mended(entry, random_bytes) for entry in entries]
    present = {entry.type for entry in result if entry.namespace_id == "root"}
    result += [
        with_ids(entry, random_bytes)
        for entry in required_entries(table)
        if entry.type not in present
    ]
    return result


def _mended(entry: MountEntry, random_bytes: RandomBytes) -> MountEntry:
    """Fill in the accessor; never ``backend_aware_uuid`` of a KV v2 mount: its data hangs on it."""
    if entry.kv_version == 2 and not entry.backend_aware_uuid:
        return entry
    if entry.accessor and entry.backend_aware_uuid:
        return entry
    return with_ids(entry, random_bytes) if entry.uuid else entry
