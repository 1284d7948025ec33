"""One record to every audit device, and a refusal when no device took it.

What lives here: fan-out, timing, the rule of blocking. What never does: a record's text (that is
``records``), where devices come from (``devices``).
Invariants: with no device nothing is done and nothing suspends; with devices, ``log_request`` and
``log_response`` return only after at least one device has the record, or raise AuditFailedError.
Reads of a KV mount are the one exception in time, not in content: they change nothing, so their
request record goes out in one write with their response record, still before the answer.
Source of the rule: ``docs/formats/audit.md``.
"""

from collections.abc import Callable
from dataclasses import dataclass

from zvault.base.clock import Clock
from zvault.engine.api import Operation, Request, Response
from zvault.engine.audit.auth_view import AuthView
from zvault.engine.audit.file_device import AuditWriteError, FileDevice
from zvault.engine.audit.hashing import Hasher
from zvault.engine.audit.records import Draft, RecordWriter
from zvault.engine.errors import InternalEngineError
from zvault.engine.metrics import Metrics, Summary

_REQUEST = ("audit", "log_request")
_RESPONSE = ("audit", "log_response")
_REQUEST_FAILURE = ("audit", "log_request_failure")
_RESPONSE_FAILURE = ("audit", "log_response_failure")
_READS = (Operation.READ, Operation.LIST)


class AuditFailedError(InternalEngineError):
    """No audit device took the record, so the request is refused."""

    code = "audit-failed"

    def __init__(self) -> None:
        super().__init__("1 error occurred:\n\t* internal error\n\n")


@dataclass(frozen=True, slots=True)
class AuditSink:
    """One enabled device: who builds its lines and who writes them."""

    path: str
    """Mount path with trailing ``/``."""
    writer: RecordWriter
    file: FileDevice
    hasher: Hasher
    """Hashes as the records do, also when ``log_raw`` leaves them readable."""


class _Open:
    """A request between its two records: its drafts, one a sink, and whether they are written."""

    __slots__ = ("drafts", "is_written", "sinks")

    def __init__(self, sinks: tuple[AuditSink, ...], drafts: list[Draft], is_written: bool) -> None:
        self.sinks = sinks
        self.drafts = drafts
        self.is_written = is_written

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
        self._sinks = (*self._sinks, sink)
        summary = self._metrics.summary
        self._request_times[sink.path] = summary(("audit", sink.path, "log_request"))
        self._response_times[sink.path] = summary(("audit", sink.path, "log_response"))
        for parts in (_REQUEST_FAILURE, _RESPONSE_FAILURE):
            self._metrics.increment(parts, by=0)

    def detach(self, path: str) -> None:
        """Stop sending records there and close its file; absent is fine."""
        for sink in self._sinks:
            if sink.path == path:
                sink.file.close()
        self._sinks = tuple(sink for sink in self._sinks if sink.path != path)
        self._failing.discard(path)

    def reopen(self) -> list[AuditWriteError]:
        """Open every file anew (SIGHUP); what could not be opened keeps its old file."""
        errors = []
        for sink in self._sinks:
            try:
                sink.file.reopen()
            except AuditWriteError as error:
                errors.append(error)
        return errors

    async def log_request(self, request: Request, view: AuthView, error: str = "") -> None:
        """Record that a request is about to run, or was refused with ``error``.

        Raises AuditFailedError: the request must then not run.
        """
        sinks = self._sinks
        if not sinks:
            return
        started, now_ns = self._now(), self._now_ns()
        drafts = [sink.writer.request(now_ns, request, view, error) for sink in sinks]
        is_written = bool(error) or not _changes_nothing(request)
        request.audit = _Open(sinks, drafts, is_written)
        if is_written:
            lines = [draft.line for draft in drafts]
            ended = self._write(sinks, lines, started, self._request_times, _REQUEST_FAILURE)
        else:
            ended = self._now()
            for sink in sinks:
                self._request_times[sink.path].add_at(ended, (ended - started) * 1e3)
        self._request_time.add_at(ended, (ended - started) * 1e3)

    async def log_response(
        self, request: Request, response: Response | None, view: AuthView, error: str = ""
    ) -> None:
        """Record the outcome. Raises AuditFailedError: the answer must then not go out."""
        sinks = self._sinks
        if not sinks:
            return
        started, now_ns = self._now(), self._now_ns()
        opened: _Open | None = request.audit
        request.audit = None
        lines = []
        for sink in sinks:
            draft = opened.draft(sink) if opened is not None else None
            line = sink.writer.response(now_ns, request, response, view, error, draft)
            if draft is not None and opened is not None and not opened.is_written:
                line = draft.line + line
            lines.append(line)
        ended = self._write(sinks, lines, started, self._response_times, _RESPONSE_FAILURE)
        self._response_time.add_at(ended, (ended - started) * 1e3)

    def _write(
        self,
        sinks: tuple[AuditSink, ...],
        lines: list[bytes],
        started: float,
        times: dict[str, Summary],
        failure: tuple[str, ...],
    ) -> float:
        """Each line to its sink; the (monotonic) time afterwards. Raises AuditFailedError."""
        is_written = False
        for sink, line in zip(sinks, lines, strict=True):
            try:
                sink.file.write(line)
            except AuditWriteError as error:
                self._failed(sink, error)
                continue
            is_written = True
            if self._failing:
                self._failing.discard(sink.path)
            ended = self._now()
            times[sink.path].add_at(ended, (ended - started) * 1e3)
        if not is_written:
            self._metrics.increment(failure)
            raise AuditFailedError
        return ended

    def _failed(self, sink: AuditSink, error: AuditWriteError) -> None:
        first = sink.path not in self._failing
        self._failing.add(sink.path)
        if first and self._on_failure is not None:
            self._on_failure(sink.path, error)


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
