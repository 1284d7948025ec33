"""What a verification says.

What lives here: the values, their JSON shape (documented in ``docs/cli.md``), the verdict. Pure.
Invariant: ``ok`` only if every entry opened and nothing a client relies on is missing.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

MAX_NAMED = 1000
"""How many unopened entries, and how many findings, are named; all are counted."""


@dataclass(frozen=True, slots=True)
class Unopened:
    """An entry that is there and was not opened, and why."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that opened and does not fit. ``is_loss``: a client misses something by it."""

    key: str
    problem: str
    is_loss: bool


@dataclass(slots=True)
class Counts:
    """What was found, by kind."""

    mounts: int = 0
    """Secret engines, ``sys/``, ``identity/`` and ``cubbyhole/`` included."""
    auth_methods: int = 0
    audit_devices: int = 0
    policies: int = 0
    """Stored ones; ``root`` never is."""
    roles: int = 0
    """AppRole roles."""
    secret_ids: int = 0
    token_roles: int = 0
    tokens: int = 0
    leases: int = 0
    entities: int = 0
    groups: int = 0
    secrets: int = 0
    """KV v1 entries and KV v2 secrets."""
    secrets_kv1: int = 0
    secrets_kv2: int = 0
    versions: int = 0
    """KV v2 version entries whose data is there."""
    versions_readable: int = 0
    """Of these, the ones neither deleted nor destroyed now."""
    plaintext: int = 0
    """Entries outside the barrier (seal configuration and the like)."""
    skipped: int = 0
    """Of these, the ones a copy leaves behind."""
    undecoded: int = 0
    """Entries that decrypt and whose inner format this version does not read."""


@dataclass(slots=True)
class Named:
    """A bounded list that counts everything."""

    items: list[Any] = field(default_factory=list)
    total: int = 0

    def add(self, item: Any) -> None:
        self.total += 1
        if len(self.items) < MAX_NAMED:
            self.items.append(item)


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The result of going through a whole store."""

    store: str
    family: str
    shares: int
    threshold: int
    terms: tuple[int, ...]
    entries: int
    counts: Counts
    unopened: tuple[Unopened, ...]
    unopened_count: int
    findings: tuple[Finding, ...]
    findings_count: int
    losses: int
    vanished: int
    """Entries that were listed and gone when read: the store is live."""
    known: int
    """Entries that were opened before, have not moved since and were not opened again."""
    seconds: float

    @property
    def ok(self) -> bool:
        """Every entry opened and nothing a client relies on is missing."""
        return not self.unopened_count and not self.losses

    @property
    def is_live(self) -> bool:
        return self.vanished > 0

    @property
    def entries_per_second(self) -> float:
        return self.entries / self.seconds if self.seconds > 0 else 0.0

    @property
    def mounts(self) -> int:
        return self.counts.mounts

    @property
    def policies(self) -> int:
        return self.counts.policies

    @property
    def roles(self) -> int:
        return self.counts.roles

    @property
    def tokens(self) -> int:
        return self.counts.tokens

    @property
    def secrets(self) -> int:
        return self.counts.secrets

    @property
    def versions(self) -> int:
        return self.counts.versions

    def to_json(self) -> dict[str, Any]:
        """The documented shape of ``zvault store verify --json``."""
        return {
            "store": self.store,
            "ok": self.ok,
            "family": self.family,
            "seal": {"shares": self.shares, "threshold": self.threshold},
            "terms": list(self.terms),
            "entries": self.entries,
            **asdict(self.counts),
            "unopened_count": self.unopened_count,
            "unopened": [asdict(item) for item in self.unopened],
            "losses": self.losses,
            "findings_count": self.findings_count,
            "findings": [asdict(item) for item in self.findings],
            "live": self.is_live,
            "vanished": self.vanished,
            "seconds": round(self.seconds, 3),
            "entries_per_second": round(self.entries_per_second),
        }

    def describe(self, limit: int = 5) -> str:
        """One sentence that names the first problems; "" when all is well."""
        problems = [f"{item.key} ({item.reason})" for item in self.unopened]
        problems += [f"{item.key} ({item.problem})" for item in self.findings if item.is_loss]
        total = self.unopened_count + self.losses
        more = ", …" if total > limit else ""
        return f"{total} problems: {', '.join(problems[:limit])}{more}" if total else ""
