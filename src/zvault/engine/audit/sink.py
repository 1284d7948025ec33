"""An enabled audit device as the broker sees it. What never does: fan-out, a record's text."""

from dataclasses import dataclass

from zvault.engine.audit.device import Device
from zvault.engine.audit.hashing import Hasher
from zvault.engine.audit.records import RecordWriter


@dataclass(frozen=True, slots=True)
class AuditSink:
    """One enabled device: who builds its lines and who writes them."""

    path: str
    """Mount path with trailing ``/``."""
    writer: RecordWriter
    file: Device
    hasher: Hasher
    """Hashes as the records do, also when ``log_raw`` leaves them readable."""
