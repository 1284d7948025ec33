"""Which parts of an unsealed store are timed, and under which of Vault's names.

What lives here: the table and its application, gauges about what is in memory. What never does: a
timer on the way of a cached read (those parts time themselves), a decision.
Invariants: a timed call does what it did before, errors included; a gauge is true when it is read.
Source of names: ``docs/metrics.md``.
"""

import asyncio
import functools
import gc
import resource
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import ParamSpec, TypeVar

from zvault.engine.identity.lockout import Lockout
from zvault.engine.telemetry.metrics import Metrics, Summary

P = ParamSpec("P")
R = TypeVar("R")

TIMED: dict[str, dict[str, tuple[str, str]]] = {
    "policies": {
        "text": ("policy", "get_policy"),
        "names": ("policy", "list_policies"),
        "put": ("policy", "set_policy"),
        "delete": ("policy", "delete_policy"),
    },
    "identity": {
        "login": ("identity", "create_or_fetch_entity"),
        "save_entity": ("identity", "upsert_entity_txn"),
    },
    "sessions": {"read": ("token", "lookup")},
    "revocation": {
        "revoke_tree": ("token", "revoke_tree"),
        "expire": ("expire", "revoke_common"),
    },
    "tokens": {"issue": ("expire", "register_auth"), "renew": ("expire", "renew_token")},
    "expiration": {
        "revoke": ("expire", "revoke"),
        "revoke_prefix": ("expire", "revoke_prefix"),
    },
    "secrets": {"renew": ("expire", "renew")},
}
"""Part of the unsealed store → its method → the timer."""


def instrument(store: object, metrics: Metrics) -> None:
    """Time the methods of ``TIMED``; the timers are visible at zero from now on."""
    for part, methods in TIMED.items():
        owner = getattr(store, part)
        for name, parts in methods.items():
            setattr(owner, name, _timed(getattr(owner, name), metrics.summary(parts), metrics))


def _timed(
    method: Callable[P, Awaitable[R]], summary: Summary, metrics: Metrics
) -> Callable[P, Awaitable[R]]:
    now = metrics.now

    @functools.wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        started = now()
        try:
            return await method(*args, **kwargs)
        finally:
            ended = now()
            summary.add_at(ended, (ended - started) * 1e3)

    return call


def set_store_gauges(metrics: Metrics, entities: int, lockouts: Iterable[Lockout]) -> None:
    """What an unsealed store has in memory."""
    label = metrics.cluster_label()
    metrics.gauge(("identity", "num_entities"), entities)
    metrics.gauge(("identity", "entity", "count"), entities, {**label, "namespace": "root"})
    locked = sum(len(lockout.locked()) for lockout in lockouts)
    metrics.gauge(("core", "locked_users"), locked)


def set_runtime_gauges(metrics: Metrics) -> None:
    """Go's runtime figures, as far as this runtime has something that means the same."""
    try:
        tasks = len(asyncio.all_tasks())
    except RuntimeError:
        tasks = 0
    metrics.gauge(("runtime", "num_goroutines"), tasks)
    runs = sum(int(generation["collections"]) for generation in gc.get_stats())
    metrics.gauge(("runtime", "total_gc_runs"), runs)
    try:
        pages = Path("/proc/self/statm").read_text().split()
    except OSError:
        return
    page = resource.getpagesize()
    metrics.gauge(("runtime", "sys_bytes"), int(pages[0]) * page)
    metrics.gauge(("runtime", "alloc_bytes"), int(pages[1]) * page)


class EncryptionCount:
    """``barrier.estimated_encryptions``: what each data key encrypted since the unseal."""

    def __init__(self, metrics: Metrics, status: Callable[[], tuple[int, int, int]]) -> None:
        self._metrics = metrics
        self._status = status
        self._term, _, self._seen = status()

    def update(self) -> None:
        """Add what was encrypted since the last look; a new key has begun at nought."""
        term, _, used = self._status()
        grown = used - self._seen if term == self._term else used
        self._term, self._seen = term, used
        parts = ("barrier", "estimated_encryptions")
        self._metrics.increment(parts, {"term": str(term)}, by=max(0, grown))
