"""Differences between what must be and what is, each with a kind and a name."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

LOST = "secret lost"
DIFFERING = "secret differing"
RESURRECTED = "resurrected"
TOKEN_LOST = "token lost"
UNEXPECTED = "unexpected"
CONFIGURATION = "configuration differing"
REPEATED = "repeated outside a kill"


@dataclass(frozen=True)
class Finding:
    """One difference. ``detail`` says what, never a value."""

    kind: str
    what: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}: {self.detail}"


@dataclass(frozen=True)
class Verdict:
    """What a comparison looked at and found."""

    secrets: int
    versions: int
    tokens: int
    secret_ids: int
    others: int
    findings: tuple[Finding, ...]

    @property
    def equal(self) -> bool:
        return not self.findings

    def counts(self) -> dict[str, int]:
        """Kind of finding → how many."""
        return dict(Counter(finding.kind for finding in self.findings))


def joined(verdicts: Iterable[Verdict]) -> Verdict:
    """Several partial comparisons as one."""
    parts = list(verdicts)
    return Verdict(
        sum(part.secrets for part in parts),
        sum(part.versions for part in parts),
        sum(part.tokens for part in parts),
        sum(part.secret_ids for part in parts),
        sum(part.others for part in parts),
        tuple(finding for part in parts for finding in part.findings),
    )
