"""KV version 2: parse and write its messages; times and durations as int nanoseconds.

What lives here: the few helpers around the messages, and the keys below a mount's prefix. Pure.
What never does: which version may be read (``offline/``, ``engine/backends/kv/v2.py``).
"""

from enum import Enum
from typing import TypeVar

from google.protobuf.message import DecodeError

from zvault.base.gotime import SECOND_NS
from zvault.records.errors import RecordError
from zvault.records.kv2_messages import (
    Configuration,
    Duration,
    KeyMetadata,
    Timestamp,
    UpgradeInfo,
    Version,
    VersionMetadata,
)

__all__ = [
    "Configuration",
    "Duration",
    "KeyMetadata",
    "Timestamp",
    "UpgradeInfo",
    "Version",
    "VersionMetadata",
    "VersionState",
    "duration_ns",
    "make_duration",
    "make_timestamp",
    "parse_configuration",
    "parse_key_metadata",
    "parse_upgrade_info",
    "parse_version",
    "timestamp_ns",
    "version_state",
]

SALT_KEY = "salt"
CONFIG_KEY = "config"
UPGRADING_KEY = "upgrading"
POLICY_KEY = "policy/metadata"
ARCHIVE_KEY = "archive/metadata"
METADATA_PREFIX = "metadata/"
VERSIONS_PREFIX = "versions/"
DEFAULT_MAX_VERSIONS = 10

M = TypeVar("M", Configuration, KeyMetadata, Version, UpgradeInfo)


def _parse(message: type[M], data: bytes, title: str) -> M:
    try:
        return message.FromString(data)
    except DecodeError:
        raise RecordError(f"KV v2 {title}: it is no such protobuf message") from None


def parse_configuration(data: bytes) -> Configuration:
    """Raises RecordError."""
    return _parse(Configuration, data, "configuration")


def parse_key_metadata(data: bytes) -> KeyMetadata:
    """Raises RecordError."""
    return _parse(KeyMetadata, data, "metadata")


def parse_version(data: bytes) -> Version:
    """Raises RecordError."""
    return _parse(Version, data, "version")


def parse_upgrade_info(data: bytes) -> UpgradeInfo:
    """Raises RecordError."""
    return _parse(UpgradeInfo, data, "upgrade marker")


def timestamp_ns(stamp: Timestamp) -> int:
    """Nanoseconds since the epoch."""
    return stamp.seconds * SECOND_NS + stamp.nanos


def make_timestamp(ns: int) -> Timestamp:
    """Of nanoseconds since the epoch."""
    seconds, nanos = divmod(ns, SECOND_NS)
    return Timestamp(seconds=seconds, nanos=nanos)


def duration_ns(duration: Duration) -> int:
    """Nanoseconds; -1 s in a configuration means that the feature is off."""
    return duration.seconds * SECOND_NS + duration.nanos


def make_duration(ns: int) -> Duration:
    """Of nanoseconds; both parts have the sign of the whole, as protobuf wants."""
    sign = -1 if ns < 0 else 1
    seconds, nanos = divmod(abs(ns), SECOND_NS)
    return Duration(seconds=sign * seconds, nanos=sign * nanos)


class VersionState(Enum):
    """What a read of a version finds."""

    READABLE = "readable"
    DELETED = "deleted"
    DESTROYED = "destroyed"
    ABSENT = "absent"


def version_state(metadata: KeyMetadata, number: int, now_ns: int) -> VersionState:
    """The state of version ``number`` (0 = current) at ``now_ns``."""
    number = number or metadata.current_version
    if number not in metadata.versions:
        return VersionState.ABSENT
    version = metadata.versions[number]
    if version.destroyed:
        return VersionState.DESTROYED
    if version.HasField("deletion_time") and timestamp_ns(version.deletion_time) <= now_ns:
        return VersionState.DELETED
    return VersionState.READABLE
