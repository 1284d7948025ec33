"""What a KV v2 secret must be, given what was done to it. Pure.

What lives here: the version rules of KV v2 as a client may rely on them (write, merge patch,
delete, undelete, destroy, max_versions). Both sides use it: a lane to check its reads on the spot,
the demo to say what a whole store must hold. Tests hold it against a real OpenBao.
"""

import copy
from dataclasses import dataclass, field
from typing import Any

DEFAULT_MAX_VERSIONS = 10


@dataclass
class Version:
    """One version. ``created`` is the exact time when it is known (originals), else empty."""

    data: dict[str, Any] | None
    deleted: bool = False
    destroyed: bool = False
    created: str = ""

    @property
    def readable(self) -> bool:
        return not self.deleted and not self.destroyed


@dataclass
class Secret:
    """One secret. ``mount_max``: the mount's max_versions; ``max_versions``: its own, 0 unset."""

    mount_max: int = DEFAULT_MAX_VERSIONS
    versions: dict[int, Version] = field(default_factory=dict)
    current: int = 0
    oldest: int = 0
    max_versions: int = 0
    custom_metadata: dict[str, str] | None = None
    cas_required: bool = False

    def write(self, data: dict[str, Any], version: int) -> int:
        """The server said that this write made ``version``; how often too much it was applied.

        More than one version for one write means that the request was carried out again.
        """
        repeated = version - self.current - 1
        for number in range(self.current + 1, version + 1):
            self.versions[number] = Version(copy.deepcopy(data))
            self.current = number
            self._push_out()
        return repeated

    def _push_out(self) -> None:
        """What a write does to the oldest versions; the larger of the two limits counts."""
        limit = max(self.max_versions, self.mount_max) or DEFAULT_MAX_VERSIONS
        if self.current - self.oldest >= limit:
            surplus = self.current - limit
            self.versions = {n: v for n, v in self.versions.items() if n > surplus}
            self.oldest = surplus + 1

    def patch(self, change: dict[str, Any], version: int) -> int:
        """As ``write``, with a merge patch over the newest data."""
        newest = self.versions[self.current].data
        return self.write(merged(newest or {}, change), version)

    def delete_latest(self) -> None:
        self.delete([self.current])

    def delete(self, numbers: list[int]) -> None:
        for number in numbers:
            if number in self.versions and not self.versions[number].destroyed:
                self.versions[number].deleted = True

    def undelete(self, numbers: list[int]) -> None:
        for number in numbers:
            if number in self.versions and not self.versions[number].destroyed:
                self.versions[number].deleted = False

    def destroy(self, numbers: list[int]) -> None:
        for number in numbers:
            if number in self.versions:
                self.versions[number].destroyed = True
                self.versions[number].data = None

    def latest(self) -> Version | None:
        """The newest version, whatever its state; None before the first write."""
        return self.versions.get(self.current)


def merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """JSON merge patch (RFC 7396) of an object."""
    result = copy.deepcopy(base)
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            below = result.get(key)
            result[key] = merged(below if isinstance(below, dict) else {}, value)
        else:
            result[key] = copy.deepcopy(value)
    return result
