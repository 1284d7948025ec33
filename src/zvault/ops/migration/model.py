"""The nouns of a migration.

What lives here: sides, options, one run's parameters, the site's state. What never does: a decision
or an effect.
Invariant: every value here can stand in the journal, so none of them holds a secret.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from zvault.ops.stages.model import Stage, stage


@dataclass(frozen=True, slots=True)
class Target:
    """How to reach one server directly: ``scheme://host:port`` and the CA to trust for https."""

    address: str
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """One end of a migration: a stage with its store, its configuration and its server."""

    stage: Stage
    store_url: str
    config_path: Path
    config_text: str
    target: Target


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator asked for besides the direction; all of it is journalled."""

    take_backup: bool = False
    destroy_key_file: bool = False
    rotate_audit: bool = False
    without_canary: bool = False
    accept_loss_since_ns: int | None = None
    clear_retired: bool = False
    rekey_file: str = ""
    """Where the shares of a rekey go (7 to 8); "" leaves the shares as they are."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Everything a run was started with; a resumed run has the same."""

    run: str
    from_stage: int
    to_stage: int
    source_url: str
    destination_url: str
    started_ns: int
    options: Options = field(default_factory=Options)
    source_serves: bool = True
    """Whether the source was unsealed when the run began; if not, clients move afterwards."""
    recovery: "Recovery | None" = None

    @property
    def moves_store(self) -> bool:
        """Whether entries travel; 7 ↔ 8 keep their store."""
        return self.source_url != self.destination_url

    @property
    def forward(self) -> bool:
        """Towards production."""
        return self.to_stage > self.from_stage

    def to_json(self) -> dict[str, Any]:
        """For the journal."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Parameters":
        """From the journal. Raises KeyError or TypeError for another shape."""
        fields = dict(data)
        fields["options"] = Options(**fields["options"])
        if fields["recovery"] is not None:
            fields["recovery"] = Recovery(**fields["recovery"])
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class Recovery:
    """Where the content comes from when the source store is gone.

    ``kind`` is ``backup`` (``name`` is the backup's) or ``store`` (``name`` is a retired store's
    URL); ``as_of_ns`` is the moment whose state it holds: later changes are lost.
    """

    kind: str
    name: str
    as_of_ns: int


@dataclass(frozen=True, slots=True)
class Held:
    """How long clients waited at the front door, and in which steps; seconds.

    What the parts leave of ``seconds`` passed between them.
    """

    seconds: float
    parts: tuple[tuple[str, float], ...]

    def to_json(self) -> dict[str, Any]:
        """For the journal."""
        return {"seconds": self.seconds, "parts": [list(part) for part in self.parts]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Held":
        """From the journal."""
        return cls(data["seconds"], tuple((name, seconds) for name, seconds in data["parts"]))

    def describe(self) -> str:
        """The steps, longest first."""
        ordered = sorted(self.parts, key=lambda part: part[1], reverse=True)
        return ", ".join(f"{name} {seconds:.2f}" for name, seconds in ordered)


@dataclass(frozen=True, slots=True)
class Retired:
    """A store that a migration left behind; it holds ``core/migration`` with that run's id."""

    url: str
    run: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class SiteState:
    """Which stage is active and where its entries are. Changing it is the commit."""

    stage: int
    store_url: str
    run: str = ""
    retired: tuple[Retired, ...] = ()

    @property
    def description(self) -> Stage:
        """The stage's row."""
        return stage(self.stage)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may take. Seconds and bytes."""

    backup_max_age_seconds: float = 24 * 3600
    hold_seconds: float = 60
    unseal_wait_seconds: float = 30
    start_wait_seconds: float = 60
    quiet_seconds: float = 2
    quiet_wait_seconds: float = 120
    disk_margin_bytes: int = 64 * 1024 * 1024
