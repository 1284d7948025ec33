"""The demo's outcome as one value: its JSON, and whether every promise was kept.

What lives here: the list of promises. A promise that was not looked at is broken. Pure.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from demo.load.ledger import Operation
from demo.proof.findings import (
    DIFFERING,
    LOST,
    RESURRECTED,
    TOKEN_LOST,
    Finding,
)
from demo.report.figures import Kill, Step, percentile, step_figures
from demo.report.programs import Programs

VERSION = 1
STALL_LIMIT_MS = 5_000
UNSEAL_LIMIT_MS = 30_000
LEAST_OPERATIONS = 2_000


@dataclass(frozen=True)
class LeakReport:
    """What the search for secrets looked at and found."""

    files: int
    archive_members: int
    megabytes: float
    processes: int
    rounds: int
    secrets: int
    inputs: tuple[str, ...]
    leaks: tuple[str, ...]
    wide_inputs: tuple[str, ...]
    canaries_missed: tuple[str, ...]

    @property
    def clean(self) -> bool:
        return not (self.leaks or self.wide_inputs or self.canaries_missed)


@dataclass(frozen=True)
class WitnessReport:
    """What a real OpenBao said about a copy of the final store."""

    version: str
    secrets: int
    versions: int
    tokens: int
    seconds: float


@dataclass
class Outcome:
    """Everything the demo found out. ``broken``: what went wrong outside the promises below."""

    store: str
    entries: int
    s3: str
    steps: list[Step] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    unfinished: list[Operation] = field(default_factory=list)
    replayed: list[Operation] = field(default_factory=list)
    kills_wanted: dict[int, int] = field(default_factory=lambda: {8: 2, 9: 1})
    stall_limit_ms: float | None = STALL_LIMIT_MS
    offline: dict[str, Any] | None = None
    witness: WitnessReport | None = None
    leaks: LeakReport | None = None
    programs: Programs | None = None
    """The services, when they were wanted."""
    facts: dict[str, Any] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    @property
    def findings(self) -> list[Finding]:
        return [f for step in self.steps if step.verdict for f in step.verdict.findings]

    @property
    def failed(self) -> list[Operation]:
        return [op for op in self.operations if not op.ok]

    @property
    def longest_stall_ms(self) -> float:
        return max((op.seconds * 1000 for op in self.operations), default=0.0)

    @property
    def kills(self) -> list[Kill]:
        return [kill for step in self.steps for kill in step.kills]

    def count(self, kind: str) -> int:
        """How many different things of that kind were found."""
        return len({(f.what, f.detail) for f in self.findings if f.kind == kind})

    def broken_promises(self) -> list[str]:
        """Every promise that was not kept, in words; empty means success."""
        return [
            *self.broken,
            *_operations(self),
            *_kills(self),
            *[str(finding) for finding in dict.fromkeys(self.findings)],
            *_proofs(self),
            *([] if self.programs is None else self.programs.broken_promises()),
        ]

    def to_json(self) -> dict[str, Any]:
        """The shape of demo-report.json (docs/demo.md)."""
        broken = self.broken_promises()
        latencies = [op.seconds * 1000 for op in self.operations]
        in_flight = {
            step.name: step_figures(self.operations, step.started, step.ended).in_flight
            for step in self.steps
            if step.cutover
        }
        return {
            "version": VERSION,
            "success": not broken,
            "broken_promises": broken,
            "store": self.store,
            "entries_at_start": self.entries,
            "s3": self.s3,
            "operations": len(self.operations),
            "operations_by_kind": dict(Counter(op.kind for op in self.operations)),
            "failed_operations": len(self.failed),
            "failures": [_told(op) for op in self.failed[:20]],
            "secrets_lost": self.count(LOST),
            "secrets_differing": self.count(DIFFERING),
            "resurrected": self.count(RESURRECTED),
            "tokens_lost": self.count(TOKEN_LOST),
            "other_findings": len(self.findings)
            - sum(f.kind in (LOST, DIFFERING, RESURRECTED, TOKEN_LOST) for f in self.findings),
            "findings": [str(finding) for finding in dict.fromkeys(self.findings)],
            "replayed": len(self.replayed),
            "operations_in_flight_at_cutover": in_flight,
            "longest_stall_ms": round(self.longest_stall_ms, 1),
            "latency_ms": {
                "p50": round(percentile(latencies, 0.50), 2),
                "p99": round(percentile(latencies, 0.99), 2),
            },
            "unseal_after_kill_ms": {
                str(stage): [
                    round(kill.unsealed_after_ms, 1) for kill in self.kills if kill.stage == stage
                ]
                for stage in self.kills_wanted
            },
            "steps": [step_json(self, step) for step in self.steps],
            "offline": self.offline,
            "openbao": None if self.witness is None else vars(self.witness),
            "leaks": None if self.leaks is None else vars(self.leaks),
            "services": None if self.programs is None else self.programs.to_json(),
            "facts": self.facts,
        }


def step_json(outcome: Outcome, step: Step) -> dict[str, Any]:
    """One step as the report tells it."""
    figures = step_figures(outcome.operations, step.started, step.ended)
    verdict = step.verdict
    return {
        "step": step.name,
        "title": step.title,
        "duration_seconds": round(step.seconds, 2),
        "operations": figures.operations,
        "failed": figures.failed,
        "in_flight_at_cutover": figures.in_flight if step.cutover else None,
        "longest_stall_ms": round(figures.longest_ms, 1),
        "secrets_compared": verdict.secrets if verdict else None,
        "versions_compared": verdict.versions if verdict else None,
        "tokens_compared": verdict.tokens if verdict else None,
        "secret_ids_compared": verdict.secret_ids if verdict else None,
        "others_compared": verdict.others if verdict else None,
        "findings": len(verdict.findings) if verdict else None,
        "notes": step.notes,
    }


def _operations(outcome: Outcome) -> list[str]:
    broken = []
    if len(outcome.operations) < LEAST_OPERATIONS:
        broken.append(f"only {len(outcome.operations)} operations: too few to say anything")
    if outcome.failed:
        first = outcome.failed[0]
        broken.append(f"{len(outcome.failed)} operations failed, the first: {_told(first)}")
    if outcome.unfinished:
        broken.append(f"{len(outcome.unfinished)} operations never ended")
    limit = outcome.stall_limit_ms
    if limit is not None and outcome.longest_stall_ms > limit:
        broken.append(f"a client waited {outcome.longest_stall_ms:.0f} ms, more than {limit:.0f}")
    return broken


def _kills(outcome: Outcome) -> list[str]:
    broken = []
    for stage, wanted in outcome.kills_wanted.items():
        times = [kill.unsealed_after_ms for kill in outcome.kills if kill.stage == stage]
        if len(times) != wanted:
            broken.append(f"stage {stage} was killed {len(times)} times, not {wanted}")
        broken += [
            f"stage {stage} was unsealed {time:.0f} ms after a kill, later than {UNSEAL_LIMIT_MS}"
            for time in times
            if time > UNSEAL_LIMIT_MS
        ]
    return broken


def _proofs(outcome: Outcome) -> list[str]:
    broken = [
        f"{step.title}: nothing was compared"
        for step in outcome.steps
        if step.cutover and step.verdict is None
    ]
    if outcome.offline is None:
        broken.append("the final store was not verified offline")
    if outcome.witness is None:
        broken.append("OpenBao did not look at the final store")
    if outcome.leaks is None:
        broken.append("nobody searched for leaked secrets")
    else:
        broken += [f"leak: {leak}" for leak in outcome.leaks.leaks]
        broken += [f"an input is readable for others: {p}" for p in outcome.leaks.wide_inputs]
        broken += [f"the search missed its canary: {p}" for p in outcome.leaks.canaries_missed]
    return broken


def _told(operation: Operation) -> str:
    return f"{operation.lane} {operation.kind} {operation.intent.get('path', '')} {operation.error}"


def steps_table(outcome: Outcome) -> Sequence[tuple[str, ...]]:
    """The rows of the final table."""
    rows = []
    for step in outcome.steps:
        told = step_json(outcome, step)
        compared = "" if step.verdict is None else f"{step.verdict.secrets:,}"
        versions = "" if step.verdict is None else f"{step.verdict.versions:,}"
        rows.append(
            (
                step.title,
                f"{step.seconds:.1f} s",
                f"{told['operations']:,}",
                f"{told['failed']:,}",
                "" if told["in_flight_at_cutover"] is None else str(told["in_flight_at_cutover"]),
                f"{told['longest_stall_ms']:,.0f} ms" if told["operations"] else "",
                compared,
                versions,
            )
        )
    return rows


TABLE_HEAD = (
    "step",
    "duration",
    "operations",
    "failed",
    "in flight",
    "longest stall",
    "secrets compared",
    "versions",
)
