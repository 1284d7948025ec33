"""Which versions have served a store, and since when: ``core/versions/<version>``.

What lives here: reading the history and adding the present version. Invariant: an entry is never
changed; a real server that opens the store later adds its own.
Source: ``docs/formats/records.md``.
"""

from dataclasses import dataclass

from zvault.barrier.barrier import Barrier
from zvault.base.gotime import format_time, parse_time
from zvault.records import gojson
from zvault.records.errors import RecordError
from zvault.storage.api import Put

PREFIX = "core/versions/"


@dataclass(frozen=True, slots=True)
class ServedVersion:
    """One version and when it first opened the store."""

    version: str
    installed_ns: int
    build_date: str = ""
    """RFC 3339; "" when the entry has none."""


async def load_versions(barrier: Barrier, version: str, now_ns: int) -> list[ServedVersion]:
    """All versions, oldest first, the present one included. Raises RecordError, StorageError."""
    found = []
    for name in await barrier.list(PREFIX):
        content = await barrier.get(PREFIX + name)
        if content is not None:
            found.append(_decode(content))
    if all(entry.version != version for entry in found):
        present = ServedVersion(version, now_ns)
        await barrier.apply([Put(PREFIX + version, _encode(present))])
        found.append(present)
    return sorted(found, key=lambda entry: entry.installed_ns)


def _encode(entry: ServedVersion) -> bytes:
    body = {
        "TimestampInstalled": format_time(entry.installed_ns),
        "Version": entry.version,
        "BuildDate": entry.build_date,
    }
    return gojson.dumps(body, sort_keys=False)


def _decode(content: bytes) -> ServedVersion:
    body = gojson.loads_object(content)
    version, installed = body.get("Version"), body.get("TimestampInstalled")
    if not isinstance(version, str) or not version or not isinstance(installed, str):
        raise RecordError("an entry of the version history has no version or no time")
    try:
        moment = parse_time(installed)
    except ValueError:
        raise RecordError("an entry of the version history has no time that can be read") from None
    built = body.get("BuildDate", body.get("CommitDate", ""))
    return ServedVersion(version, moment, built if isinstance(built, str) else "")
