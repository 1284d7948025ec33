"""The metrics of etl: what this process did since it started.

What lives here: the counters. What never does: a label that a client can choose; every label is
there from the start.
Invariant: records are counted from what PostgreSQL keeps of a run, so a page whose COMMIT got no
answer counts once.
"""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge

from zakupai_etl.entities import ENTITIES
from zakupai_etl.runs.plan import SYNC_REASONS, Status

RESULTS = ("inserted", "updated", "unchanged", "refused")
FETCH_RESULTS = ("stored", "cached", "refused", "failed")


class EtlMetrics:
    """One for an app."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._records = Counter(
            "etl_records_processed_total",
            "Records of goszakup by what became of them",
            ("entity", "result"),
            registry=registry,
        )
        self._errors = Counter(
            "goszakup_sync_errors_total",
            "Pages that could not be read or kept at once",
            ("entity", "reason"),
            registry=registry,
        )
        self._runs = Counter(
            "etl_runs_total", "Runs by how they ended", ("status",), registry=registry
        )
        self.working = Gauge(
            "etl_run_active", "1 while this process works on a run", registry=registry
        )
        self._rows = Counter(
            "etl_upload_rows_total", "Rows of uploads", ("result",), registry=registry
        )
        self._fetches = Counter(
            "etl_attachment_fetches_total", "Asked attachments", ("result",), registry=registry
        )
        self._seen: dict[tuple[int, str], tuple[int, ...]] = {}
        for entity in ENTITIES:
            for result in RESULTS:
                self._records.labels(entity.name, result)
            for reason in SYNC_REASONS:
                self._errors.labels(entity.name, reason)
        for status in Status:
            if status not in (Status.RUNNING, Status.CANCELLED):
                self._runs.labels(status.value)
        for result in ("accepted", "refused"):
            self._rows.labels(result)
        for result in FETCH_RESULTS:
            self._fetches.labels(result)

    def saw_part(self, part: Any) -> None:
        """Count what a part's row has more than when it was last seen in this process."""
        key = (part.run_id, part.entity)
        now = tuple(getattr(part, result) for result in RESULTS)
        before = self._seen.setdefault(key, now)
        for result, old, new in zip(RESULTS, before, now, strict=True):
            self._records.labels(part.entity, result).inc(new - old)
        self._seen[key] = now

    def forget_run(self, run_id: int) -> None:
        """Its parts will not be seen again."""
        for key in [key for key in self._seen if key[0] == run_id]:
            del self._seen[key]

    def sync_error(self, entity: str, reason: str) -> None:
        """A page has to be asked for again, or is given up."""
        self._errors.labels(entity, reason).inc()

    def run_ended(self, status: Status) -> None:
        """A run of this process ended."""
        self._runs.labels(status.value).inc()

    def uploaded(self, accepted: int, refused: int) -> None:
        """Rows of an upload that is kept, or that is refused as a whole."""
        self._rows.labels("accepted").inc(accepted)
        self._rows.labels("refused").inc(refused)

    def fetched(self, result: str) -> None:
        """An attachment was asked for."""
        self._fetches.labels(result).inc()
