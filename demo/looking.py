"""Looks at everything after a step, while the load goes on.

What lives here: one service after the other rests for the moment in which its part is compared;
the others work. What never does: the comparison itself (``proof/compare.py``).
"""

import time
from dataclasses import dataclass, field
from typing import Any

from demo.bulk import Bulk
from demo.load.client import Client
from demo.load.crew import Crew
from demo.load.ledger import LedgerReader, Operation
from demo.load.plan import OPERATOR, service_of
from demo.place import CANARY_ROLE
from demo.proof.compare import compare_rest, compare_secret_ids, compare_secrets, compare_tokens
from demo.proof.findings import CONFIGURATION, Finding, Verdict, joined
from demo.proof.reader import Reader
from demo.proof.world import Token, World

_TOOLS_OWN = f"{CANARY_ROLE}/"
_SETTLE_SECONDS = 0.1


@dataclass
class Looking:
    """What must be, and the ways to see what is. ``client`` follows the address file."""

    world: World
    ledger: LedgerReader
    client: Client
    root_token: str = field(repr=False)
    services: list[str]
    bulk: Bulk | None = None
    operations: list[Operation] = field(default_factory=list)

    @property
    def reader(self) -> Reader:
        return Reader(self.client.use(self.root_token))

    def take_in(self) -> None:
        """Bring the world up to what the ledgers say."""
        for operation in self.ledger.new_operations():
            self.operations.append(operation)
            self.world.apply(operation)

    def remember_originals(self, expected: dict[str, Any]) -> Verdict:
        """The first look: the store against the museum's note; what else it holds is noted."""
        reader = self.reader
        self.world.settings = reader.settings()
        findings = original_settings_findings(expected, self.world.settings)
        policies = reader.policies()
        self.world.policies.setdefault("default", policies["default"])
        for accessor in reader.accessors() - set(self.world.tokens):
            self.world.tokens[accessor] = Token(accessor, "original")
        checked = Verdict(0, 0, 0, 0, len(self.world.settings), tuple(findings))
        return joined([checked, self.all_at_rest(reader)])

    def all_at_rest(self, reader: Reader) -> Verdict:
        """Everything at once; nothing may be in flight."""
        self.take_in()
        return joined(
            [
                compare_secrets(self.world, reader, "", self._skipped()),
                compare_rest(self.world, reader),
                compare_tokens(self.world, reader, lambda owner: True, lambda: None),
                compare_secret_ids(self.world, reader),
                *self._bulk(reader),
                self._repeated(),
            ]
        )

    def all_while_working(self, crew: Crew) -> Verdict:
        """Everything, each part while its owner rests."""
        reader = self.reader
        owned = [f"services/{name}/" for name in self.services] + ["operations/"]
        parts = [
            compare_secrets(self.world, reader, "", (*owned, *self._skipped())),
            *self._bulk(reader),
        ]
        for service in self.services:
            with crew.paused(service):
                parts.append(self._part(reader, service, f"services/{service}/"))
        with crew.paused(OPERATOR):
            parts.append(self._part(reader, OPERATOR, "operations/"))
            parts.append(compare_secret_ids(self.world, reader))
            parts.append(compare_rest(self.world, reader))
        parts.append(self._tokens(reader, "original"))
        return joined([*parts, self._repeated()])

    def _part(self, reader: Reader, service: str, prefix: str) -> Verdict:
        self.take_in()
        return joined(
            [
                compare_secrets(self.world, reader, prefix, ()),
                self._tokens(reader, service),
            ]
        )

    def _tokens(self, reader: Reader, service: str) -> Verdict:
        return compare_tokens(
            self.world, reader, lambda owner: service_of(owner) == service, self._settle
        )

    def _settle(self) -> None:
        time.sleep(_SETTLE_SECONDS)
        self.take_in()

    def _repeated(self) -> Verdict:
        """What the ledger itself gave away since the last look."""
        found, self.world.findings = tuple(self.world.findings), []
        return Verdict(0, 0, 0, 0, 0, found)

    def _skipped(self) -> tuple[str, ...]:
        return (_TOOLS_OWN, *([self.bulk.prefix] if self.bulk else []))

    def _bulk(self, reader: Reader) -> list[Verdict]:
        return [self.bulk.compare(reader.address, self.client.ca_file)] if self.bulk else []


def original_settings_findings(expected: dict[str, Any], found: dict[str, Any]) -> list[Finding]:
    """Mounts, auth methods and role_ids against the museum's own note."""
    findings = []
    for kind, table in (("mount", expected["mounts"]), ("auth", expected["auth"])):
        for path, about in table.items():
            here = found.get(f"{kind} {path}", {})
            for name in ("type", "uuid", "accessor"):
                if here.get(name) != about.get(name):
                    what = f"{kind} {path}"
                    findings.append(Finding(CONFIGURATION, what, f"its {name} is not the original"))
    for role, ids in expected["approle"].items():
        if found.get(f"role_id of {role}", {}).get("role_id") != ids["role_id"]:
            findings.append(Finding(CONFIGURATION, f"role {role}", "its role_id"))
    return findings
