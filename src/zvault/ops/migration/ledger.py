"""What the journal's records mean. Pure.

What lives here: records folded into runs. What never does: the file, the world.
Invariant: everything is derived from the records alone and in their order, so two readers of one
journal never disagree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from zvault.ops.migration.errors import StateLostError
from zvault.ops.migration.journal import Record
from zvault.ops.migration.model import Held, Parameters, SiteState

OPEN, DONE, ROLLED_BACK, SUPERSEDED = "open", "done", "rolled-back", "superseded"


@dataclass(frozen=True, slots=True)
class Run:
    """One run as far as the journal tells.

    ``entered`` are the steps that were begun and not undone, in order; ``materials`` is what
    putting them back needs; ``aborting`` that the way back was begun.
    """

    parameters: Parameters
    plan: tuple[str, ...]
    plan_id: str
    entered: tuple[str, ...] = ()
    materials: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    outcomes: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    aborting: bool = False
    status: str = OPEN
    ended_ns: int | None = None
    supersedes: str | None = None
    held: Held | None = None
    """How long clients waited; None before they were let go on."""

    @property
    def id(self) -> str:
        """The run's name."""
        return self.parameters.run


def runs(records: Sequence[Record]) -> list[Run]:
    """Every run, oldest first."""
    found: dict[str, Run] = {}
    for record in records:
        if record.kind == "begin":
            beaten = record.data["supersedes"]
            if beaten is not None:
                found[beaten] = replace(found[beaten], status=SUPERSEDED, ended_ns=record.at_ns)
            found[record.run] = Run(
                Parameters.from_json(record.data["parameters"]),
                tuple(record.data["plan"]),
                record.data["plan_id"],
                supersedes=beaten,
            )
        else:
            run = found[record.run] = _fold(found[record.run], record)
            if run.status == ROLLED_BACK and run.supersedes is not None:
                # It came to nothing, so the run it was to turn back waits again to be finished.
                beaten = run.supersedes
                found[beaten] = replace(found[beaten], status=OPEN, ended_ns=None)
    return list(found.values())


def open_run(records: Sequence[Record]) -> Run | None:
    """The run that neither finished nor was put back; there is at most one."""
    waiting = [run for run in runs(records) if run.status == OPEN]
    return waiting[-1] if waiting else None


def require_agreement(state: SiteState | None, records: Sequence[Record]) -> None:
    """Raise StateLostError when the journal knows of a commit that the state file does not.

    A stage stood up by a state file that was lost, or put back from an old copy, would be one that
    clients have left. A commit that is in the state and not yet in the journal is a kill's trace.
    """
    known = runs(records)
    committed = [at for at, run in enumerate(known) if "commit" in run.outcomes]
    if not committed:
        return
    last = known[committed[-1]]
    if state is not None and state.run in {run.id for run in known[committed[-1] :]}:
        return
    says = "is gone" if state is None else f"says stage {state.stage} by run {state.run or 'none'}"
    raise StateLostError(
        f"site.json {says}, and the journal says that run {last.id} made stage"
        f" {last.parameters.to_stage} active on {last.parameters.destination_url}",
        hint="put site.json back as it was (docs/runbooks/migration.md shows its fields)",
    )


def _fold(run: Run, record: Record) -> Run:
    changed: dict[str, Any] = {}
    step = record.step
    if record.kind == "undo":
        # The first material is the truth: a step begun again finds its own traces.
        changed["materials"] = {step: record.data, **run.materials}
    elif record.kind == "intent":
        changed["entered"] = (*(name for name in run.entered if name != step), step)
    elif record.kind == "outcome":
        changed["outcomes"] = {**run.outcomes, step: record.data}
    elif record.kind == "held":
        changed["held"] = Held.from_json(record.data)
    elif record.kind == "abort":
        changed["aborting"] = True
    elif record.kind == "undone":
        changed["entered"] = tuple(name for name in run.entered if name != step)
    elif record.kind == "end":
        changed["status"] = record.data["status"]
        changed["ended_ns"] = record.at_ns
    return replace(run, **changed)
