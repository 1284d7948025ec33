"""One record to every audit device, and a refusal when no device took it.

What lives here: fan-out, timing, the rule of blocking. What never does: a record's text (that is
``records``), where devices come from (``devices``).
Invariants: with no device nothing is done; nothing suspends; with devices, ``log_request`` and
``log_response`` return only after at least one device has the record, or raise AuditFailedError.
Two exceptions in time, not in content. Reads of a KV mount change nothing, so their request record
goes out in one write with their response record. A caller that holds its answers back
(``request.answer_waits``) gets ``request.owed`` instead of a written response record: the records
of one event-loop turn are one write, and no answer leaves before it. Records stand in the file in
the order in which they were made: whatever is written at once takes along what waits.
Source of the rule: ``docs/formats/audit.md``.
"""

import contextlib
from collections.abc import Callable

from zvault.base.clock import Clock
from zvault.engine.api import Operation, Request, Response
from zvault.engine.audit.auth_view import AuthView
from zvault.engine.audit.batch import AuditFailedError, RecordBatch
from zvault.engine.audit.device import AuditWriteError
from zvault.engine.audit.records import Draft
from zvault.engine.audit.sink import AuditSink
from zvault.engine.telemetry.metrics import Metrics, Summary

_REQUEST = ("audit", "log_request")
_RESPONSE = ("audit", "log_response")
_REQUEST_FAILURE = ("audit", "log_request_failure")
_RESPONSE_FAILURE = ("audit", "log_response_failure")
_READS = (Operation.READ, Operation.LIST)


class _Recorded:
    """What a request whose record is written hands on to its response record."""

    __slots__ = ("drafts", "sinks")

    def __init__(self, sinks: tuple[AuditSink, ...], drafts: list[Draft]) -> None:
        self.sinks = sinks
        self.drafts = drafts

    def draft(self, sink: AuditSink) -> Draft | None:
        for known, draft in zip(self.sinks, self.drafts, strict=True):
            if known is sink:
                return draft
        return None


class AuditBroker:
    """Sends records to all sinks."""

    def __init__(
        self,
        clock: Clock,
        metrics: Metrics,
        on_failure: Callable[[str, AuditWriteError], None] | None = None,
    ) -> None:
        self._now = clock.monotonic
        self._now_ns = clock.now_ns
        self._metrics = metrics
        self._on_failure = on_failure
        self._request_time = metrics.summary(_REQUEST)
        self._response_time = metrics.summary(_RESPONSE)
        self._request_times: dict[str, Summary] = {}
        self._response_times: dict[str, Summary] = {}
        self._sinks: tuple[AuditSink, ...] = ()
        self._failing: set[str] = set()
        self._batch: RecordBatch | None = None
        """What waits to be written; of the sinks as they are now."""

    @property
    def enabled(self) -> bool:
        """Whether there is any device."""
        return bool(self._sinks)

    @property
    def failing(self) -> frozenset[str]:
        """Paths of the devices whose last write failed."""
        return frozenset(self._failing)

    def attach(self, sink: AuditSink) -> None:
        """Send records there from now on."""
        self.flush()
        self._sinks = (*self._sinks, sink)
        summary = self._metrics.summary
        self._request_times[sink.path] = summary(("audit", sink.path, "log_request"))
        self._response_times[sink.path] = summary(("audit", sink.path, "log_response"))
        for parts in (_REQUEST_FAILURE, _RESPONSE_FAILURE):
            self._metrics.increment(parts, by=0)

    def detach(self, path: str) -> None:
        """Stop sending records there and close its file; absent is fine."""
        self.flush()
        for sink in self._sinks:
            if sink.path == path:
                sink.file.close()
        self._sinks = tuple(sink for sink in self._sinks if sink.path != path)
        self._failing.discard(path)

    def reopen(self) -> list[AuditWriteError]:
        """Open every file anew (SIGHUP); what could not be opened keeps its old file."""
        self.flush()
        errors = []
        for sink in self._sinks:
            try:
                sink.file.reopen()
            except AuditWriteError as error:
                errors.append(error)
        return errors

    def log_request(self, request: Request, view: AuthView, error: str = "") -> None:
        """Record that a request is about to run, or was refused with ``error``.

        Raises AuditFailedError: the request must then not run.
        """
        sinks = self._sinks
        if not sinks:
            return
        if not error and _changes_nothing(request):
            request.audit = self._now_ns()
            return
        started, now_ns = self._now(), self._now_ns()
        drafts = [sink.writer.request(now_ns, request, view, error) for sink in sinks]
        request.audit = _Recorded(sinks, drafts)
        batch = self._batch or self._new_batch(sinks)
        batch.add([draft.line for draft in drafts])
        batch.requests.append(started)
        batch.settle()

    def log_response(
        self, request: Request, response: Response | None, view: AuthView, error: str = ""
    ) -> None:
        """Record the outcome. Raises AuditFailedError: the answer must then not go out.

        When the answer waits for ``request.owed``, the record is written by its ``settle``.
        """
        sinks = self._sinks
        if not sinks:
            return
        started, now_ns = self._now(), self._now_ns()
        batch = self._batch or self._new_batch(sinks)
        begun: _Recorded | int | None = request.audit
        request.audit = None
        asked = (now_ns, request, response, view, error)
        if isinstance(begun, int):  # the time it came at: nothing of it is written yet
            lines = [sink.writer.pair(begun, *asked) for sink in sinks]
            batch.pairs.append(started)
        elif begun is None:
            lines = [sink.writer.response(*asked) for sink in sinks]
        else:
            lines = [sink.writer.response(*asked, begun.draft(sink)) for sink in sinks]
        batch.add(lines)
        batch.responses.append(started)
        if request.answer_waits and not batch.is_large:
            request.owed = batch
        else:
            batch.settle()

    def _new_batch(self, sinks: tuple[AuditSink, ...]) -> RecordBatch:
        batch = self._batch = RecordBatch(sinks, self._write)
        return batch

    def flush(self) -> None:
        """Write what waits; a failure is told to those whose records they are."""
        if self._batch is not None:
            with contextlib.suppress(AuditFailedError):
                self._batch.settle()

    def _write(self, batch: RecordBatch) -> None:
        """Each sink its lines. The batch carries the failure when no sink took them."""
        if batch is self._batch:
            self._batch = None
        ended = 0.0
        for sink, lines in batch.lines:
            try:
                sink.file.write(b"".join(lines))
            except AuditWriteError as error:
                self._failed(sink, error)
                continue
            if self._failing:
                self._failing.discard(sink.path)
            batch.failed, ended = False, self._now()
            _observe(batch, ended, self._request_times[sink.path], self._response_times[sink.path])
        if not batch.failed:
            _observe(batch, ended, self._request_time, self._response_time)
            return
        if batch.requests:
            self._metrics.increment(_REQUEST_FAILURE, by=len(batch.requests))
        if batch.responses:
            self._metrics.increment(_RESPONSE_FAILURE, by=len(batch.responses))

    def _failed(self, sink: AuditSink, error: AuditWriteError) -> None:
        first = sink.path not in self._failing
        self._failing.add(sink.path)
        if first and self._on_failure is not None:
            self._on_failure(sink.path, error)


def _observe(batch: RecordBatch, ended: float, requests: Summary, responses: Summary) -> None:
    """How long each record took until it was written."""
    if batch.requests:
        requests.add_since(ended, batch.requests)
    if batch.pairs:
        requests.add_since(ended, batch.pairs)
    if batch.responses:
        responses.add_since(ended, batch.responses)


def _changes_nothing(request: Request) -> bool:
    """A read of a KV secret by a token without a use count, not to be wrapped."""
    return (
        request.operation in _READS
        and not request.wrap_ttl_seconds
        and request.mount is not None
        and request.mount.type == "kv"
        and request.token is not None
        and request.token.num_uses == 0
    )
