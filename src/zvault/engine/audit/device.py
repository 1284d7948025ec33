"""What every audit device can do, and what goes wrong with one."""

from typing import Protocol

from zvault.base.errors import UnreachableError


class AuditWriteError(UnreachableError):
    """The audit device could not be opened or written."""

    code = "audit-write"


class Device(Protocol):
    """Takes whole lines. All of it is synchronous: an answer must not overtake its record."""

    def open(self) -> None:
        """Get ready. Raises AuditWriteError."""
        ...

    def close(self) -> None:
        """Let go; a later write opens again."""
        ...

    def reopen(self) -> None:
        """Open anew (SIGHUP). Raises AuditWriteError; what worked before is then kept."""
        ...

    def write(self, lines: bytes) -> None:
        """Take whole lines; one retry on a freshly opened device. Raises AuditWriteError."""
        ...
