"""From a request path to what is mounted there.

What lives here: the table of mount prefixes, the longest-prefix look-up, conflicts between mount
paths, sets of special paths. Pure. What never does: what a mount is.
Invariant: no mount lies below another one, except below ``auth/``, which is no mount.
"""

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class PathSet:
    """Relative paths; one that ends in ``*`` stands for everything that begins so."""

    __slots__ = ("_exact", "_prefixes")

    def __init__(self, paths: Sequence[str]) -> None:
        self._exact = frozenset(p for p in paths if not p.endswith("*"))
        self._prefixes = tuple(p[:-1] for p in paths if p.endswith("*"))

    def __contains__(self, path: str) -> bool:
        return path in self._exact or (bool(self._prefixes) and path.startswith(self._prefixes))


class Router(Generic[T]):
    """Prefixes that end in ``/`` and what is mounted there."""

    def __init__(self) -> None:
        self._mounts: dict[str, T] = {}

    def add(self, prefix: str, mounted: T) -> None:
        """Mount. The caller has asked ``conflict`` before."""
        self._mounts[prefix] = mounted

    def remove(self, prefix: str) -> None:
        """Unmount; absent is fine."""
        self._mounts.pop(prefix, None)

    def get(self, prefix: str) -> T | None:
        """What is mounted at exactly this prefix."""
        return self._mounts.get(prefix)

    def items(self) -> Iterator[tuple[str, T]]:
        """Prefix and mounted thing, in the order of mounting."""
        return iter(list(self._mounts.items()))

    def find(self, path: str) -> tuple[str, T] | None:
        """Prefix and mounted thing for a request path; ``foo`` reaches the mount ``foo/``."""
        mounts = self._mounts
        end = path.find("/")
        while end >= 0:
            prefix = path[: end + 1]
            mounted = mounts.get(prefix)
            if mounted is not None:
                return prefix, mounted
            end = path.find("/", end + 1)
        mounted = mounts.get(path + "/")
        return None if mounted is None else (path + "/", mounted)

    def conflict(self, prefix: str) -> str | None:
        """The mount that is, holds or lies below ``prefix``."""
        for other in self._mounts:
            if prefix.startswith(other) or other.startswith(prefix):
                return other
        return None
