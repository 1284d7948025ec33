"""Entities, groups and aliases as answers show them.

Where an alias's mount is, and of what type, is asked of the mount: OpenBao stores neither in an
alias, and a mount can have moved.
"""

from collections.abc import Sequence
from typing import Any

from zvault.base.gotime import format_time
from zvault.engine.backends.identity.mounts import Mounts
from zvault.engine.userdata import Timestamp
from zvault.records.identity import Alias, timestamp_ns
from zvault.records.identity import Timestamp as Stamp


def time_of(stamp: Stamp) -> Timestamp:
    """A stored time as text."""
    return Timestamp(format_time(timestamp_ns(stamp)))


def _mount_of(alias: Alias, mounts: Mounts) -> dict[str, str]:
    entry = mounts.find(alias.mount_accessor)
    if entry is None:
        return {"mount_path": alias.mount_path, "mount_type": alias.mount_type}
    return {"mount_path": mounts.path_of(entry), "mount_type": entry.type}


def shown_alias(alias: Alias, mounts: Mounts) -> dict[str, Any]:
    """An alias inside its entity."""
    return {
        **shown_group_alias(alias, mounts),
        "custom_metadata": dict(alias.custom_metadata) or None,
        "local": alias.local,
    }


def shown_group_alias(alias: Alias, mounts: Mounts) -> dict[str, Any]:
    """An alias inside its group."""
    return {
        "canonical_id": alias.canonical_id,
        "creation_time": time_of(alias.creation_time),
        "id": alias.id,
        "last_update_time": time_of(alias.last_update_time),
        "merged_from_canonical_ids": list(alias.merged_from_canonical_ids) or None,
        "metadata": dict(alias.metadata) or None,
        "mount_accessor": alias.mount_accessor,
        **_mount_of(alias, mounts),
        "name": alias.name,
    }


def alias_alone(alias: Alias, mounts: Mounts) -> dict[str, Any]:
    """An alias read by its own id."""
    return {**shown_alias(alias, mounts), "namespace_id": alias.namespace_id or "root"}


def alias_listed(alias: Alias, mounts: Mounts) -> dict[str, Any]:
    """An alias in the list of all."""
    return {
        "canonical_id": alias.canonical_id,
        "custom_metadata": dict(alias.custom_metadata) or None,
        "local": alias.local,
        "metadata": dict(alias.metadata) or None,
        "mount_accessor": alias.mount_accessor,
        **_mount_of(alias, mounts),
        "name": alias.name,
    }


def alias_brief(alias: Alias, mounts: Mounts) -> dict[str, str]:
    """An alias in the list of all entities or groups."""
    return {
        "id": alias.id,
        "mount_accessor": alias.mount_accessor,
        **_mount_of(alias, mounts),
        "name": alias.name,
    }


def alias_list(aliases: Sequence[Alias], mounts: Mounts) -> dict[str, Any]:
    """The answer of a LIST of aliases."""
    found = {alias.id: alias_listed(alias, mounts) for alias in aliases}
    return {"keys": sorted(found), "key_info": found} if found else {"keys": []}
