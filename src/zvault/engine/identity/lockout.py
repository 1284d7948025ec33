"""Locking out who guesses: a name with too many bad logins is refused for a while.

What lives here: the count of bad logins of one auth mount, and what its tuning says about it. What
never does: credentials, a path.
Invariants: a name nobody has counts like one that somebody has, so a lock tells nothing; a login
that was being checked when its name was locked is refused too, whatever it would have been; the
table is bounded; a wall clock that is set frees nobody and locks nobody longer. Counts are in
memory and end with the unsealed store.
Source: ``docs/api/userpass.md``.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from zvault.base.clock import Clock
from zvault.base.gotime import SECOND_NS
from zvault.engine.errors import PermissionDeniedError
from zvault.records.mounts import MountEntry

KINDS = frozenset({"userpass", "approle", "ldap"})
"""Auth methods whose names can be locked."""
STORED_AT = "user_lockout_config"
"""Where the mount table keeps the tuning."""
MAX_NAMES = 50_000
"""More than anybody could try within one lock at the speed of a bcrypt check."""
_LONGEST_NAME = 128
_MINUTE_NS = 60 * SECOND_NS


@dataclass(frozen=True, slots=True)
class LockoutConfig:
    """Vault's defaults."""

    threshold: int = 5
    duration_ns: int = 15 * _MINUTE_NS
    counter_reset_ns: int = 15 * _MINUTE_NS
    disabled: bool = False


def config_of(entry: MountEntry) -> LockoutConfig:
    """What a mount's tuning says; what it leaves open, or zero, is the default."""
    stored: Any = entry.config.extra.get(STORED_AT)
    if not isinstance(stored, dict):
        stored = {}
    default = LockoutConfig()
    return LockoutConfig(
        _positive(stored.get("lockout_threshold"), default.threshold),
        _positive(stored.get("lockout_duration"), default.duration_ns),
        _positive(stored.get("lockout_counter_reset"), default.counter_reset_ns),
        stored.get("disable_lockout") is True or entry.type not in KINDS,
    )


def _positive(value: Any, default: int) -> int:
    return value if isinstance(value, int) and value > 0 else default


def _short(name: str) -> str:
    """The name, or its digest: a table of names of megabytes would be no bounded table."""
    if len(name) <= _LONGEST_NAME:
        return name
    return "sha256:" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(slots=True)
class _Count:
    failures: int
    last_ns: int


class Lockout:
    """Bad logins of one auth mount, by name."""

    def __init__(self, clock: Clock, config: Callable[[], LockoutConfig] = LockoutConfig) -> None:
        self._clock = clock
        self._config = config
        self._counts: dict[str, _Count] = {}

    def check(self, name: str) -> None:
        """Raises PermissionDeniedError while ``name`` is locked.

        Ask before credentials are looked at, and again before a login is granted.
        """
        name = _short(name)
        if name in self._counts and self._is_locked(name):
            raise PermissionDeniedError("permission denied")

    def failed(self, name: str) -> None:
        """Credentials given for ``name`` were wrong."""
        config, now = self._config(), self._now_ns()
        if config.disabled:
            return
        name = _short(name)
        count = self._counts.pop(name, None)
        if count is None or now - count.last_ns > config.counter_reset_ns:
            count = _Count(0, now)
        count.failures += 1
        count.last_ns = now
        self._counts[name] = count
        if len(self._counts) > MAX_NAMES:
            del self._counts[next(iter(self._counts))]

    def succeeded(self, name: str) -> None:
        """Credentials were right: the count begins anew."""
        self._counts.pop(_short(name), None)

    unlock = succeeded

    def locked(self) -> list[str]:
        """The names that are locked now, sorted."""
        return sorted(name for name in tuple(self._counts) if self._is_locked(name))

    def _is_locked(self, name: str) -> bool:
        config, count = self._config(), self._counts[name]
        if config.disabled or count.failures < config.threshold:
            return False
        if self._now_ns() - count.last_ns >= config.duration_ns:
            del self._counts[name]
            return False
        return True

    def _now_ns(self) -> int:
        """Of the clock that nobody sets."""
        return round(self._clock.monotonic() * SECOND_NS)
