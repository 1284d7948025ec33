"""What KV version 2 does to a secret's metadata: versions, trimming, deletion, check-and-set.

What lives here: pure functions on ``KeyMetadata`` messages. What never does: IO, a clock, an HTTP
shape.
Invariants: a new version is the current one plus one; a version below ``oldest_version`` is gone;
check-and-set compares with the current version number, deleted or not.
Source: ``docs/api/kv.md``, ``docs/formats/records.md``.
"""

from collections.abc import Iterable
from typing import Any

from zvault.engine.errors import InvalidRequestError
from zvault.records.kv2 import (
    DEFAULT_MAX_VERSIONS,
    Configuration,
    KeyMetadata,
    VersionMetadata,
    duration_ns,
    make_timestamp,
    timestamp_ns,
)

CAS_MISMATCH = "check-and-set parameter did not match the current version"
CAS_REQUIRED = "check-and-set parameter required for this call"
CAS_UNREADABLE = "error parsing check-and-set parameter"
MAX_CUSTOM_KEYS = 64
MAX_CUSTOM_KEY_BYTES = 128
MAX_CUSTOM_VALUE_BYTES = 512


def copy_of(meta: KeyMetadata) -> KeyMetadata:
    """A message that may be changed."""
    copy = KeyMetadata()
    copy.CopyFrom(meta)
    return copy


def max_versions(config: Configuration, meta: KeyMetadata) -> int:
    """How many versions a key keeps: the larger of its own and the mount's setting, else ten."""
    return max(config.max_versions, meta.max_versions) or DEFAULT_MAX_VERSIONS


def deletion_delay_ns(config: Configuration, meta: KeyMetadata | None) -> int:
    """After how long a new version deletes itself; 0 = never.

    The smaller of the key's and the mount's setting; a negative one of the mount switches it off.
    """
    mount = duration_ns(config.delete_version_after)
    if mount < 0:
        return 0
    own = duration_ns(meta.delete_version_after) if meta is not None else 0
    return min(mount, own) if mount and own else mount or own


def check_cas(config: Configuration, meta: KeyMetadata | None, options: dict[str, Any]) -> None:
    """Raises InvalidRequestError unless ``options["cas"]`` allows a write now."""
    required = config.cas_required or (meta is not None and meta.cas_required)
    if "cas" not in options:
        if required:
            raise InvalidRequestError(CAS_REQUIRED)
        return
    if cas_number(options["cas"]) != (meta.current_version if meta is not None else 0):
        raise InvalidRequestError(CAS_MISMATCH)


def cas_number(value: Any) -> int:
    """A check-and-set parameter. Raises InvalidRequestError."""
    if isinstance(value, str):
        try:
            return int(value, 10)
        except ValueError:
            raise InvalidRequestError(CAS_UNREADABLE) from None
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise InvalidRequestError(CAS_UNREADABLE)


def add_version(
    meta: KeyMetadata, config: Configuration, now_ns: int
) -> tuple[int, VersionMetadata, range]:
    """Enter a new current version into ``meta``.

    Returns its number, its metadata and the numbers whose data must go, in rising order.
    """
    number = meta.current_version + 1
    version = VersionMetadata(created_time=make_timestamp(now_ns))
    delay = deletion_delay_ns(config, meta)
    if delay:
        version.deletion_time.CopyFrom(make_timestamp(now_ns + delay))
    meta.versions[number].CopyFrom(version)
    if not meta.HasField("created_time"):
        meta.created_time.CopyFrom(version.created_time)
    meta.updated_time.CopyFrom(version.created_time)
    meta.current_version = number
    return number, version, _trim(meta, max_versions(config, meta))


def _trim(meta: KeyMetadata, keep: int) -> range:
    """Drop what is beyond ``keep`` versions from the map; the numbers dropped, 0 left out."""
    oldest = meta.oldest_version
    if meta.current_version - oldest < keep:
        return range(0)
    cut = meta.current_version - keep
    for number in range(oldest, cut + 1):
        meta.versions.pop(number, None)
    meta.oldest_version = cut + 1
    return range(max(oldest, 1), cut + 1)


def is_deleted(version: VersionMetadata, now_ns: int) -> bool:
    """Its deletion time has come."""
    return version.HasField("deletion_time") and timestamp_ns(version.deletion_time) <= now_ns


def delete_versions(meta: KeyMetadata, numbers: Iterable[int], now_ns: int) -> bool:
    """Mark versions as deleted now; whether anything changed."""
    changed = False
    for number in numbers:
        if number in meta.versions:
            version = meta.versions[number]
            if not version.destroyed and not is_deleted(version, now_ns):
                version.deletion_time.CopyFrom(make_timestamp(now_ns))
                changed = True
    return changed


def undelete_versions(
    meta: KeyMetadata, config: Configuration, numbers: Iterable[int], now_ns: int
) -> bool:
    """Take the deletion back; where versions delete themselves, their time starts anew."""
    changed = False
    delay = deletion_delay_ns(config, meta)
    for number in numbers:
        if number in meta.versions:
            version = meta.versions[number]
            if not version.destroyed and (delay or version.HasField("deletion_time")):
                version.ClearField("deletion_time")
                if delay:
                    version.deletion_time.CopyFrom(make_timestamp(now_ns + delay))
                changed = True
    return changed


def destroy_versions(meta: KeyMetadata, numbers: Iterable[int]) -> list[int]:
    """Mark versions as destroyed; those of ``numbers`` whose data must go."""
    doomed = [number for number in dict.fromkeys(numbers) if number in meta.versions]
    for number in doomed:
        meta.versions[number].destroyed = True
    return doomed


def check_custom_metadata(custom: dict[str, str]) -> None:
    """Raises InvalidRequestError for more or larger entries than Vault takes."""
    problem = _custom_problem(custom)
    if problem:
        text = f"custom_metadata validation failed: {problem}"
        raise InvalidRequestError(f"1 error occurred:\n\t* {text}\n\n")


def _custom_problem(custom: dict[str, str]) -> str:
    if len(custom) > MAX_CUSTOM_KEYS:
        return f"payload must contain at most {MAX_CUSTOM_KEYS} keys, provided {len(custom)}"
    for key, value in custom.items():
        size = len(key.encode("utf-8", "replace"))
        if not 0 < size <= MAX_CUSTOM_KEY_BYTES:
            limit = f"0 < len(key) <= {MAX_CUSTOM_KEY_BYTES}"
            return f'length of key "{key}" is {size} but must be {limit}'
        size = len(value.encode("utf-8", "replace"))
        if not 0 < size <= MAX_CUSTOM_VALUE_BYTES:
            limit = f"0 < len(value) <= {MAX_CUSTOM_VALUE_BYTES}"
            return f'length of value for key "{key}" is {size} but must be {limit}'
        if not key.isprintable():
            return f"key {key!r} contains unprintable characters"
        if not value.isprintable():
            return f'value for key "{key}" contains unprintable characters'
    return ""


def merge_patch(target: Any, patch: dict[str, Any]) -> dict[str, Any]:
    """RFC 7396: ``patch`` applied to ``target``; null removes.

    As in Vault, objects inside new lists lose their nulls too.
    """
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = merge_patch(result.get(key), value)
        else:
            result[key] = _without_nulls(value)
    return result


def _without_nulls(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return merge_patch(None, value) if isinstance(value, dict) else value


def subkeys(data: dict[str, Any], depth: int, level: int = 1) -> dict[str, Any]:
    """The keys of ``data`` with null in place of every leaf; ``depth`` 0 = all the way down."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        deeper = isinstance(value, dict) and not (depth and level >= depth)
        found[key] = subkeys(value, depth, level + 1) if deeper else None
    return found
