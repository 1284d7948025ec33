"""Records that go to the audit devices in one write.

What lives here: the lines of one event-loop turn and what became of them. What never does: a
record's text, a file.
Invariants: a batch is written once, whole; whoever asks for its outcome writes it if nobody has;
a batch that no device took says so to everyone whose record was in it.
"""

from collections.abc import Callable, Sequence

from zvault.engine.audit.sink import AuditSink
from zvault.engine.errors import InternalEngineError

MAX_BYTES = 1 << 20
"""A batch that has grown so far is written at once."""


class AuditFailedError(InternalEngineError):
    """No audit device took the record, so the request is refused."""

    code = "audit-failed"

    def __init__(self) -> None:
        super().__init__("1 error occurred:\n\t* internal error\n\n")


class RecordBatch:
    """Lines for each of ``sinks``; ``settle`` gets them written."""

    __slots__ = (
        "_size",
        "_write",
        "failed",
        "is_written",
        "lines",
        "pairs",
        "requests",
        "responses",
    )

    def __init__(
        self, sinks: "tuple[AuditSink, ...]", write: "Callable[[RecordBatch], None]"
    ) -> None:
        self.lines: list[tuple[AuditSink, list[bytes]]] = [(sink, []) for sink in sinks]
        self._write = write
        self._size = 0
        self.requests: list[float] = []
        """When each request record that stands alone was begun (monotonic seconds)."""
        self.responses: list[float] = []
        """The same of response records."""
        self.pairs: list[float] = []
        """The same of request records that stand beside their response record."""
        self.is_written = False
        self.failed = False
        """It was written, and no device took it."""

    def add(self, lines: Sequence[bytes]) -> None:
        """One line (or two in one piece) for each sink, in their order."""
        for (_, known), line in zip(self.lines, lines, strict=True):
            known.append(line)
            self._size += len(line)

    @property
    def is_large(self) -> bool:
        """Enough has gathered."""
        return self._size > MAX_BYTES

    def settle(self) -> None:
        """Return once the lines are written. Raises AuditFailedError when no device took them."""
        if not self.is_written:
            self.is_written = self.failed = True  # until the writer has seen otherwise
            self._write(self)
        if self.failed:
            raise AuditFailedError
