"""How the services fared while their Vault moved: figures, and the promises about them. Pure.

What lives here: requests, renewals, logins, re-readings as values. What never does: a question to a
service.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from demo.load.ledger import Operation
from demo.load.plan import service_of

LEAST_REQUESTS = 50
"""At each service; fewer say nothing."""
TABLE_HEAD = (
    "service",
    "requests",
    "failed",
    "longest stall",
    "renewals",
    "logins again",
    "secrets re-read",
)


@dataclass(frozen=True)
class Counts:
    """What a service's store of secrets did since its start, and whether it has all of them now."""

    logins: int = 0
    renewals: int = 0
    rereads: int = 0
    fresh: bool = False

    def since(self, before: "Counts") -> "Counts":
        """What was done after ``before``."""
        return Counts(
            self.logins - before.logins,
            self.renewals - before.renewals,
            self.rereads - before.rereads,
            self.fresh,
        )

    def missing(self, *, login: bool) -> list[str]:
        """What has not been done: "" when all is well."""
        wanted = {
            "its secrets were not re-read": self.rereads,
            "its token was not renewed": self.renewals,
        }
        if login:
            wanted["it did not log in again"] = self.logins
        found = [words for words, count in wanted.items() if count < 1]
        return found if self.fresh else [*found, "its last reading did not get all secrets"]


@dataclass(frozen=True)
class Proof:
    """One service after one step. ``login``: a migration, after which it must have logged in."""

    step: str
    service: str
    done: Counts
    login: bool


@dataclass
class Programs:
    """All services of a run; ``whole`` at its end: since the start."""

    services: tuple[str, ...]
    requests: list[Operation] = field(default_factory=list)
    unfinished: list[Operation] = field(default_factory=list)
    proofs: list[Proof] = field(default_factory=list)
    whole: dict[str, Counts] = field(default_factory=dict)
    steps: tuple[str, ...] = ()
    """Those after which there must be a proof."""
    stall_limit_ms: float | None = None

    def of(self, service: str) -> list[Operation]:
        """The requests at one service."""
        return [one for one in self.requests if service_of(one.lane) == service]

    def broken_promises(self) -> list[str]:
        """Every promise about the services that was not kept, in words."""
        broken = []
        for service in self.services:
            broken += self._broken_by(service)
        if self.unfinished:
            broken.append(f"{len(self.unfinished)} requests at services never ended")
        return broken

    def _broken_by(self, service: str) -> list[str]:
        mine = self.of(service)
        failed = [one for one in mine if not one.ok]
        broken = []
        if failed:
            first = f"{failed[0].intent.get('path')}: {failed[0].error}"
            broken.append(f"{service}: {len(failed)} requests failed, the first: {first}")
        if len(mine) < LEAST_REQUESTS:
            broken.append(f"{service}: only {len(mine)} requests, too few to say anything")
        longest, limit = longest_ms(mine), self.stall_limit_ms
        if limit is not None and longest > limit:
            broken.append(f"a client waited {longest:.0f} ms for {service}, more than {limit:.0f}")
        for step in self.steps:
            proofs = [one for one in self.proofs if (one.step, one.service) == (step, service)]
            if not proofs:
                broken.append(f"{service}: nothing was proven after step {step}")
            broken += [
                f"{service}: {words} after step {step}"
                for one in proofs
                for words in one.done.missing(login=one.login)
            ]
        return broken

    def to_json(self) -> dict[str, Any]:
        """Its part of demo-report.json (docs/demo.md)."""
        return {service: self._told(service) for service in self.services}

    def _told(self, service: str) -> dict[str, Any]:
        mine, whole = self.of(service), self.whole.get(service, Counts())
        return {
            "requests": len(mine),
            "failed": sum(not one.ok for one in mine),
            "longest_stall_ms": round(longest_ms(mine), 1),
            "renewals": whole.renewals,
            "logins_again": max(0, whole.logins - 1),
            "secrets_reread": max(0, whole.rereads - 1),
            "steps": {
                one.step: {
                    "secrets_reread": one.done.rereads,
                    "renewals": one.done.renewals,
                    "logins_again": one.done.logins,
                }
                for one in self.proofs
                if one.service == service
            },
        }


def longest_ms(requests: Sequence[Operation]) -> float:
    """The longest that one of them took."""
    return max((one.seconds * 1000 for one in requests), default=0.0)


def programs_table(programs: Programs) -> list[tuple[str, ...]]:
    """The rows of the closing table of services."""
    rows: list[tuple[str, ...]] = []
    for service, told in programs.to_json().items():
        rows.append(
            (
                service,
                f"{told['requests']:,}",
                f"{told['failed']:,}",
                f"{told['longest_stall_ms']:,.0f} ms",
                f"{told['renewals']:,}",
                f"{told['logins_again']:,}",
                f"{told['secrets_reread']:,}",
            )
        )
    return rows
