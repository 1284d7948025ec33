"""What a stage is, as data.

What lives here: the table of the three stages, in the words of the migration document. What never
does: paths, ports, anything that is read from the world.
Invariant: everything that differs between two stages is a field here, so a step or a check asks the
table and never compares stage numbers.
Source: mission rows A1-A3. Stage 9 has no HA on S3 in any Vault, so the table says ``ha = False``.
"""

from dataclasses import dataclass
from enum import StrEnum

from zvault.base.errors import UsageError


class StorageKind(StrEnum):
    """Where a stage keeps its entries."""

    FILE = "file"
    S3 = "s3"


class UnsealKind(StrEnum):
    """Who unseals."""

    MANUAL = "manual"
    AGENT = "agent"


class BackupKind(StrEnum):
    """How backups are made."""

    MANUAL = "manual"
    DAILY_LOCAL = "daily-local"
    DAILY_REMOTE = "daily-remote"


@dataclass(frozen=True, slots=True)
class Stage:
    """One row of the table of stages."""

    number: int
    name: str
    storage: StorageKind
    unseal: UnsealKind
    tls: bool
    audit: bool
    backup: BackupKind
    ui: bool = True
    ha: bool = False
    disable_mlock: bool = True

    @property
    def scheme(self) -> str:
        """How clients and operators reach a server of this stage."""
        return "https" if self.tls else "http"


STAGES: dict[int, Stage] = {
    7: Stage(
        number=7,
        name="manual",
        storage=StorageKind.FILE,
        unseal=UnsealKind.MANUAL,
        tls=False,
        audit=False,
        backup=BackupKind.MANUAL,
    ),
    8: Stage(
        number=8,
        name="auto-unseal",
        storage=StorageKind.FILE,
        unseal=UnsealKind.AGENT,
        tls=False,
        audit=False,
        backup=BackupKind.DAILY_LOCAL,
    ),
    9: Stage(
        number=9,
        name="production",
        storage=StorageKind.S3,
        unseal=UnsealKind.AGENT,
        tls=True,
        audit=True,
        backup=BackupKind.DAILY_REMOTE,
    ),
}


FIRST, LAST = min(STAGES), max(STAGES)


class UnknownStageError(UsageError):
    """A number that is no stage."""

    code = "unknown-stage"


def stage(number: int) -> Stage:
    """The stage of that number. Raises UnknownStageError."""
    try:
        return STAGES[number]
    except KeyError:
        raise UnknownStageError(
            f"there is no stage {number}", hint="stages are " + ", ".join(map(str, STAGES))
        ) from None
