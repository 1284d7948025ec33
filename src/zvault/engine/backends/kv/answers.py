"""The JSON shapes of KV version 2 answers.

What lives here: pure functions from messages to ``Response`` data. What never does: storage.
Source: ``docs/api/kv.md``.
"""

from typing import Any

from zvault.base.gotime import format_duration, format_time
from zvault.engine.api import Operation, Response
from zvault.engine.userdata import EncodedData, UserData
from zvault.records import gojson
from zvault.records.kv2 import (
    Configuration,
    Duration,
    KeyMetadata,
    Timestamp,
    VersionMetadata,
    duration_ns,
    timestamp_ns,
)

_VERBS = {
    Operation.READ: "get",
    Operation.LIST: "list",
    Operation.DELETE: "delete",
    Operation.PATCH: "patch",
}


def time_text(message: VersionMetadata | KeyMetadata, field: str) -> str:
    """RFC 3339 text of a time field, "" when it is not set."""
    if not message.HasField(field):
        return ""
    stamp: Timestamp = getattr(message, field)
    return format_time(timestamp_ns(stamp))


def duration_text(duration: Duration) -> str:
    """Go's text of a duration."""
    return format_duration(duration_ns(duration))


def version_fields(meta: KeyMetadata, number: int) -> dict[str, Any]:
    """What every answer about one version says of it."""
    version = meta.versions[number]
    return {
        "created_time": time_text(version, "created_time"),
        "custom_metadata": dict(sorted(meta.custom_metadata.items())) or None,
        "deletion_time": time_text(version, "deletion_time"),
        "destroyed": version.destroyed,
        "version": number,
    }


def read_data(meta: KeyMetadata, number: int, stored: bytes) -> EncodedData:
    """The data of a readable version, ready to be sent. Raises RecordError."""
    stored = stored.strip()
    values = gojson.loads(stored)
    about = version_fields(meta, number)
    shown = UserData(values) if isinstance(values, dict) else None
    if shown is None:
        stored = b"null"
    encoded = b'{"data":' + stored + b',"metadata":' + gojson.dumps(about) + b"}"
    return EncodedData({"data": shown, "metadata": about}, encoded)


def gone(meta: KeyMetadata, number: int, key: str) -> Response:
    """404 with the metadata of a deleted or destroyed version; ``key`` stands for its data."""
    about = version_fields(meta, number)
    return Response(status=404, data={key: None, "metadata": about})


def config_data(config: Configuration) -> dict[str, Any]:
    """The mount's settings."""
    return {
        "cas_required": config.cas_required,
        "delete_version_after": duration_text(config.delete_version_after),
        "max_versions": config.max_versions,
    }


def metadata_data(meta: KeyMetadata) -> dict[str, Any]:
    """Everything about a key but its data."""
    return {
        "cas_required": meta.cas_required,
        "created_time": time_text(meta, "created_time"),
        "current_version": meta.current_version,
        "custom_metadata": dict(sorted(meta.custom_metadata.items())) or None,
        "delete_version_after": duration_text(meta.delete_version_after),
        "max_versions": meta.max_versions,
        "oldest_version": meta.oldest_version,
        "updated_time": time_text(meta, "updated_time"),
        "versions": {
            str(number): {
                "created_time": time_text(version, "created_time"),
                "deletion_time": time_text(version, "deletion_time"),
                "destroyed": version.destroyed,
            }
            for number, version in sorted(meta.versions.items())
        },
    }


_SECTIONS = ("data", "metadata", "delete", "undelete", "destroy")


def invalid_path(operation: Operation, path: str = "") -> Response:
    """404 with the hint that a version 1 path was used on a version 2 mount."""
    if path in _SECTIONS:
        text = "Non-listing operations on the root of a K/V v2 mount are not supported."
        return Response(status=404, warnings=[text])
    verb = _VERBS.get(operation, "put")
    return Response(
        status=404,
        warnings=[
            "Invalid path for a versioned K/V secrets engine. See the API docs for the "
            "appropriate API endpoints to use. If using the Vault CLI, use "
            f"'vault kv {verb}' for this operation."
        ],
    )


def nothing_there() -> Response:
    """404 without any body, as PATCH answers for a key that does not exist."""
    return Response(status=404, raw_body=b"")
