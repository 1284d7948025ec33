"""What the engine says of itself under Vault's names, beyond the timings each part takes.

What lives here: tokens issued, gauges about an unsealed store, the process. What never does: a
timer on the way of a cached read.
Invariants: a gauge is set when someone looks and is true then; what is no longer known is dropped.
Source of names, types and labels: ``docs/metrics.md``.
"""

import resource
import time
from collections.abc import Iterable
from pathlib import Path

from zvault.base.gotime import SECOND_NS
from zvault.engine.policy import builtin
from zvault.engine.telemetry.metrics import Metrics
from zvault.records.mounts import AUTH, MOUNTS, MountEntry, MountTable
from zvault.records.tokens import BATCH, TokenEntry

_TTL_BUCKETS = (
    (60, "1m"),
    (600, "10m"),
    (1200, "20m"),
    (3600, "1h"),
    (7200, "2h"),
    (86_400, "1d"),
    (172_800, "2d"),
    (604_800, "7d"),
    (2_592_000, "30d"),
)
_STARTED_SECONDS = time.time()


def ttl_bucket(ttl_ns: int) -> str:
    """The ``creation_ttl`` label; 0 (never) and more than 30 days are ``+Inf``."""
    if not ttl_ns:
        return "+Inf"
    for seconds, name in _TTL_BUCKETS:
        if ttl_ns <= seconds * SECOND_NS:
            return name
    return "+Inf"


def token_issued(
    metrics: Metrics, entry: TokenEntry, mount: MountEntry | None, milliseconds: float
) -> None:
    """Count and time one new token; ``mount`` is the auth method of a login."""
    metrics.observe(("token", "create"), milliseconds)
    if builtin.ROOT in entry.policies:
        metrics.increment(("token", "create_root"))
    labels = {
        **metrics.cluster_label(),
        "auth_method": "token" if mount is None else mount.type,
        "creation_ttl": ttl_bucket(entry.ttl_ns),
        "mount_point": "auth/" + ("token/" if mount is None else mount.path),
        "namespace": "root",
        "token_type": "batch" if entry.type == BATCH else "service",
    }
    metrics.increment(("token", "creation"), labels)


def set_mount_gauges(metrics: Metrics, entries: Iterable[MountEntry]) -> None:
    """Entries and stored bytes of each half of the mount tables."""
    found: dict[tuple[str, bool], list[MountEntry]] = {
        (kind, local): [] for kind in (AUTH, MOUNTS) for local in (False, True)
    }
    for entry in entries:
        found[entry.table, entry.local].append(entry)
    for (kind, local), table in found.items():
        labels = {
            **metrics.cluster_label(),
            "local": "true" if local else "false",
            "type": "auth" if kind == AUTH else "logical",
        }
        metrics.gauge(("core", "mount_table", "num_entries"), len(table), labels)
        size = len(MountTable(kind, tuple(table)).encode())
        metrics.gauge(("core", "mount_table", "size"), size, labels)


def set_process_gauges(metrics: Metrics) -> None:
    """What the standard ``process_*`` families say, as far as this system tells."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    metrics.process("process_cpu_seconds_total", "counter", used.ru_utime + used.ru_stime)
    metrics.process("process_start_time_seconds", "gauge", _STARTED_SECONDS)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    metrics.process("process_max_fds", "gauge", limit)
    try:
        pages = Path("/proc/self/statm").read_text().split()
        open_files = sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        return
    page = resource.getpagesize()
    metrics.process("process_virtual_memory_bytes", "gauge", int(pages[0]) * page)
    metrics.process("process_resident_memory_bytes", "gauge", int(pages[1]) * page)
    # The directory being read is one of them.
    metrics.process("process_open_fds", "gauge", open_files - 1)
