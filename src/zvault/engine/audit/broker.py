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
from zvault.engine.audit.records import RecordWriter
from zvault.engine.errors import InternalEngineError
from zvault.engine.metrics import Metrics

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


class AuditBroker:
    """Sends records to all sinks."""

    def __init__(
        self,
        clock: Clock,
        metrics: Metrics,
        on_failure: Callable[[str, AuditWriteError], None] | None = None,
    ) -> None:
        self._clock = clock
        self._metrics = metrics
        self._on_failure = on_failure
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
        if not self._sinks:
            return
        started = self._clock.monotonic()
        now_ns = self._clock.now_ns()
        lines = {
            sink.path: sink.writer.request(now_ns, request, view, error) for sink in self._sinks
        }
        if not error and _changes_nothing(request):
            request.audit_lines = lines
        else:
            self._write(lines, "log_request", _REQUEST_FAILURE)
        self._metrics.observe(_REQUEST, (self._clock.monotonic() - started) * 1e3)

    async def log_response(
        self, request: Request, response: Response | None, view: AuthView, error: str = ""
    ) -> None:
        """Record the outcome. Raises AuditFailedError: the answer must then not go out."""
        if not self._sinks:
            return
        started = self._clock.monotonic()
        now_ns = self._clock.now_ns()
        kept = request.audit_lines or {}
        request.audit_lines = None
        lines = {}
        for sink in self._sinks:
            line = sink.writer.response(now_ns, request, response, view, error)
            lines[sink.path] = kept[sink.path] + line if sink.path in kept else line
        self._write(lines, "log_response", _RESPONSE_FAILURE)
        self._metrics.observe(_RESPONSE, (self._clock.monotonic() - started) * 1e3)

    def _write(self, lines: dict[str, bytes], what: str, failure: tuple[str, ...]) -> None:
        written = False
        for sink in self._sinks:
            line = lines.get(sink.path)
            if line is None:
                continue
            started = self._clock.monotonic()
            try:
                sink.file.write(line)
            except AuditWriteError as error:
                self._failed(sink, error)
                continue
            written = True
            self._failing.discard(sink.path)
            elapsed = (self._clock.monotonic() - started) * 1e3
            self._metrics.observe(("audit", sink.path, what), elapsed)
        if not written:
            self._metrics.increment(failure)
            raise AuditFailedError

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
