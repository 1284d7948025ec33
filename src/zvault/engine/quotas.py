"""Rate limits: who may ask how often.

What lives here: the rules of a store and what each client has used of them. What never does: HTTP,
the answer's headers written (``server``), fields and texts of ``sys/quotas`` (``backends/system``).
Invariants: storage first, then memory; without a rule a request costs one look at an empty dict;
the most exact rule counts (role, then path, then mount, then the whole server), and only that one;
memory is bounded, and a client that is blocked is forgotten last.
Source: ``docs/api/sys.md``; windows and headers as OpenBao 2.6.2 shows them.
"""

import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from zvault.barrier.view import View
from zvault.base.clock import Clock
from zvault.base.gotime import SECOND_NS
from zvault.engine.api import Request
from zvault.engine.errors import CodedError
from zvault.engine.mounts.router import PathSet
from zvault.engine.telemetry.metrics import Metrics
from zvault.records.errors import RecordError
from zvault.records.quotas import (
    CONFIG,
    DEFAULTS_WRITTEN,
    RATE_LIMIT,
    QuotaConfig,
    RateLimit,
    decode_config,
    decode_rate_limit,
    encode_config,
    encode_rate_limit,
)
from zvault.storage.api import Put

MAX_CLIENTS = 20_000
"""Clients remembered per rule."""
_TOO_MANY = 429
_FOLDER = RATE_LIMIT + "/"

_log = logging.getLogger(__name__)
RoleOf = Callable[[str, Request], Awaitable[str]]
MountOf = Callable[[str], str]


class RateLimitedError(CodedError):
    """This client has used up what a rule allows it."""

    code = "rate-limited"

    def __init__(self, path: str) -> None:
        super().__init__(_TOO_MANY, f'request path "{path}": rate limit quota exceeded')


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a rule says to one request."""

    allowed: bool
    limit: int
    remaining: int
    reset_seconds: int
    """Whole seconds until the client has its full allowance again."""


@dataclass(slots=True)
class _Window:
    """One client's present interval."""

    ends: float
    left: int
    blocked_until: float = 0.0


class Counter:
    """What every client has used of one rule."""

    def __init__(self, rule: RateLimit, now: Callable[[], float]) -> None:
        self.rule = rule
        self._now = now
        self._limit = max(1, math.ceil(rule.rate))
        self._interval = rule.interval_ns / SECOND_NS
        self._block = rule.block_interval_ns / SECOND_NS
        self._windows: dict[str, _Window] = {}

    def take(self, client: str) -> Allowance:
        """One request of that client."""
        now = self._now()
        window = self._windows.get(client)
        if window is None:
            if len(self._windows) >= MAX_CLIENTS:
                self._forget(now)
            window = self._windows[client] = _Window(now + self._interval, self._limit)
        if now < window.blocked_until:
            return Allowance(False, self._limit, 0, int(window.blocked_until - now))
        if now >= window.ends:
            passed = (now - window.ends) // self._interval + 1
            window.ends += passed * self._interval
            window.left = self._limit
        allowed = window.left > 0
        if allowed:
            window.left -= 1
        elif self._block:
            window.blocked_until = now + self._block
            return Allowance(False, self._limit, 0, int(self._block))
        return Allowance(allowed, self._limit, window.left, int(window.ends - now))

    def _forget(self, now: float) -> None:
        """Drop whose interval is over; when nobody's is, the oldest that are not blocked."""
        kept = {
            client: window
            for client, window in self._windows.items()
            if now < window.ends or now < window.blocked_until
        }
        if len(kept) >= MAX_CLIENTS:
            free = [client for client, window in kept.items() if now >= window.blocked_until]
            for client in (free or list(kept))[: MAX_CLIENTS // 10]:
                del kept[client]
        self._windows = kept


class Quotas:
    """The rules of one unsealed store."""

    def __init__(
        self, view: View, clock: Clock, metrics: Metrics, *, mount_of: MountOf, role_of: RoleOf
    ) -> None:
        self._view = view
        self._now = clock.monotonic
        self._metrics = metrics
        self._mount_of = mount_of
        self._role_of = role_of
        self.config = QuotaConfig()
        self._exempt = PathSet(self.config.exempt_paths)
        self._counters: dict[str, Counter] = {}
        self._has_roles = False

    async def load(self) -> None:
        """Read config and rules. A rule that cannot be read is said and limits nobody.

        Raises RecordError (the configuration), StorageError.
        """
        stored = await self._view.get(CONFIG)
        if stored is not None:
            self._use(decode_config(stored))
        for name in await self._view.list(_FOLDER):
            content = await self._view.get(_FOLDER + name)
            try:
                rule = decode_rate_limit(content) if content is not None else None
            except RecordError as error:
                _log.error("a rate limit cannot be read and does not count: %s", error.message)
                continue
            if rule is not None and rule.namespace in ("", "root"):
                self._counters[rule.name] = Counter(rule, self._now)
        self._look()

    def names(self) -> list[str]:
        """Of all rules, sorted."""
        return sorted(self._counters)

    def get(self, name: str) -> RateLimit | None:
        """One rule."""
        found = self._counters.get(name)
        return None if found is None else found.rule

    def alike(self, rule: RateLimit) -> str | None:
        """The name of another rule for the same place."""
        place = (rule.mount, rule.path, rule.role)
        for name, counter in self._counters.items():
            other = counter.rule
            if name != rule.name and (other.mount, other.path, other.role) == place:
                return name
        return None

    async def put(self, rule: RateLimit) -> None:
        """Make or change a rule; everybody starts anew. Raises StorageError."""
        await self._view.put(_FOLDER + rule.name, encode_rate_limit(rule))
        self._counters[rule.name] = Counter(rule, self._now)
        self._look()

    async def delete(self, name: str) -> None:
        """Remove a rule; absent is fine. Raises StorageError."""
        if name in self._counters:
            await self._view.delete(_FOLDER + name)
            self._counters.pop(name, None)
            self._look()

    async def configure(self, config: QuotaConfig) -> None:
        """Store and use. Raises StorageError."""
        await self._view.apply(
            [Put(CONFIG, encode_config(config)), Put(DEFAULTS_WRITTEN, b"true\n")]
        )
        self._use(config)

    async def mount_gone(self, mount: str) -> None:
        """The rules of a mount end with it. Raises StorageError."""
        for rule in [counter.rule for counter in self._counters.values()]:
            if rule.mount == mount:
                await self.delete(rule.name)

    async def mount_moved(self, source: str, target: str) -> None:
        """The rules of a mount go where it goes. Raises StorageError."""
        for rule in [counter.rule for counter in self._counters.values()]:
            if rule.mount == source:
                await self.put(replace(rule, mount=target))

    def _use(self, config: QuotaConfig) -> None:
        self.config = config
        self._exempt = PathSet(config.exempt_paths)

    def _look(self) -> None:
        self._has_roles = any(counter.rule.role for counter in self._counters.values())

    @property
    def any(self) -> bool:
        """There is a rule."""
        return bool(self._counters)

    async def admit(self, request: Request) -> None:
        """Count a request. Raises RateLimitedError; sets the request's answer headers."""
        if request.path in self._exempt:
            return
        counter = await self._counter_for(request)
        if counter is None:
            return
        found = counter.take(request.remote_address)
        if self.config.response_headers:
            request.answer_headers = {
                "X-Ratelimit-Limit": str(found.limit),
                "X-Ratelimit-Remaining": str(found.remaining),
                "X-Ratelimit-Reset": str(found.reset_seconds),
            }
        if not found.allowed:
            self._metrics.increment(
                ("quota", "rate_limit", "violation"), {"name": counter.rule.name}
            )
            if self.config.response_headers:
                request.answer_headers["Retry-After"] = str(found.reset_seconds)
            raise RateLimitedError(request.path)

    async def _counter_for(self, request: Request) -> Counter | None:
        """The most exact rule that speaks of this request."""
        mount = self._mount_of(request.path)
        below = request.path[len(mount) :]
        role = await self._role_of(mount, request) if self._has_roles and mount else ""
        best, rank = None, (-1, 0)
        for counter in self._counters.values():
            rule = counter.rule
            found = _rank(rule, mount, below, role)
            if found is not None and found > rank:
                best, rank = counter, found
        return best


def _rank(rule: RateLimit, mount: str, below: str, role: str) -> tuple[int, int] | None:
    """How exactly a rule speaks of a request; None when it does not."""
    if not rule.mount:
        return (0, 0)
    if rule.mount != mount or (rule.role and rule.role != role):
        return None
    if rule.path.endswith("*"):
        matches, rank = below.startswith(rule.path[:-1]), 2
    else:
        matches = not rule.path or below.rstrip("/") == rule.path.rstrip("/")
        rank = 3 if rule.path else 1
    return (4 if rule.role else rank, len(rule.path)) if matches else None
