"""Facts of all entries put together: counted, and held against each other.

What lives here: which ledger a fact goes to, and what concludes. What never does: an entry
decoded (``facts.py``), storage.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from zvault.offline import ledger_approle, ledger_kv2, ledger_tokens
from zvault.offline.ledger_approle import AppRoleLedger
from zvault.offline.ledger_kv2 import Kv2Ledger
from zvault.offline.ledger_tokens import TokenLedger
from zvault.offline.report import Counts, Finding
from zvault.offline.tables import Mounts
from zvault.records import leases, tokens


@dataclass(frozen=True, slots=True)
class Simple:
    """An entry of which nothing is to be said but what it is."""

    what: str


@dataclass(frozen=True, slots=True)
class Policy:
    """A stored policy. ``problem``: why its rules say nothing; "" when they do."""

    problem: str = ""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A part of the identity store: ids of entities, how many groups."""

    entities: tuple[str, ...]
    groups: int


DECODED = Simple("decoded")
UNDECODED = Simple("its inner format is not read")
TOKEN_ROLE = Simple("token role")
PARENT = Simple("a token's parent index")
KV1_SECRET = Simple("KV v1 secret")
NOT_UPGRADED = Simple("KV v1 entry in a v2 mount")
ORPHAN = Simple("of no mount")
POLICY = Policy()
Fact = Simple | Policy | Bucket | ledger_tokens.Fact | ledger_kv2.Fact | ledger_approle.Fact


class Examination:
    """One store gone through. ``add`` once for each opened entry, in the walk's order."""

    def __init__(
        self,
        mounts: Mounts,
        kv2_ledgers: Mapping[str, Kv2Ledger],
        approle_ledgers: Mapping[str, AppRoleLedger],
        *,
        has_token_salt: bool,
    ) -> None:
        self.counts = Counts(
            mounts=len(mounts.engines),
            auth_methods=len(mounts.auth),
            audit_devices=len(mounts.audit),
        )
        self._entities: set[str] = set()
        self._tokens = TokenLedger(self._entities, has_salt=has_token_salt)
        self._kv2 = kv2_ledgers
        self._approle = approle_ledgers
        self._orphans: dict[str, int] = {}
        self._found: list[Finding] = []
        self._adders: dict[type[Fact], Callable[[str, Any], None]] = {
            Simple: self._add_simple,
            Policy: self._add_policy,
            Bucket: self._add_bucket,
            ledger_kv2.VersionFact: self._add_version,
            ledger_kv2.MetadataFact: self._add_metadata,
            ledger_tokens.TokenFact: self._add_token,
            ledger_tokens.AccessorFact: self._add_accessor,
            ledger_tokens.LeaseFact: self._add_lease,
            ledger_approle.RoleFact: self._add_role,
            ledger_approle.RoleIdFact: self._add_role_id,
            ledger_approle.SecretIdFact: self._add_secret_id,
            ledger_approle.AccessorFact: self._add_secret_id_accessor,
        }

    def add(self, key: str, fact: Fact) -> None:
        """Count it and tell its ledger."""
        self._adders[type(fact)](key, fact)

    def findings(self) -> Iterator[Finding]:
        """All but the KV versions that are missing (``Kv2Ledger.losses``)."""
        yield from self._found
        yield from self._tokens.findings()
        for kv2_ledger in self._kv2.values():
            yield from kv2_ledger.findings()
        for approle_ledger in self._approle.values():
            yield from approle_ledger.findings()
        for prefix, count in self._orphans.items():
            if prefix.startswith("namespaces/"):
                problem = f"a namespace: its {count} entries decrypt and are not looked into"
            else:
                problem = f"orphan prefix: {count} entries of no mount"
            yield Finding(prefix, problem, False)

    def _add_simple(self, key: str, fact: Simple) -> None:
        counts = self.counts
        if fact is KV1_SECRET:
            counts.secrets += 1
            counts.secrets_kv1 += 1
        elif fact is PARENT:
            self._tokens.saw_parent(key.removeprefix(tokens.PARENT_PREFIX))
        elif fact is TOKEN_ROLE:
            counts.token_roles += 1
        elif fact is ORPHAN:
            prefix = "/".join(key.split("/", 2)[:2]) + "/"
            self._orphans[prefix] = self._orphans.get(prefix, 0) + 1
            counts.undecoded += 1
        elif fact is NOT_UPGRADED:
            problem = "KV v1 entry in a v2 mount whose upgrade is not done"
            self._found.append(Finding(key, problem, False))
            counts.undecoded += 1
        elif fact is UNDECODED:
            counts.undecoded += 1

    def _add_policy(self, key: str, fact: Policy) -> None:
        self.counts.policies += 1
        if fact.problem:
            self._found.append(Finding(key, fact.problem, False))

    def _add_bucket(self, key: str, fact: Bucket) -> None:
        self._entities.update(fact.entities)
        self.counts.entities += len(fact.entities)
        self.counts.groups += fact.groups

    def _add_version(self, key: str, fact: ledger_kv2.VersionFact) -> None:
        ledger, relative = self._kv2_place(key)
        self.counts.versions += 1
        self.counts.versions_readable += ledger.saw_version(relative)

    def _add_metadata(self, key: str, fact: ledger_kv2.MetadataFact) -> None:
        ledger, relative = self._kv2_place(key)
        ledger.saw_metadata(relative, fact)
        self.counts.secrets += 1
        self.counts.secrets_kv2 += 1

    def _kv2_place(self, key: str) -> tuple[Kv2Ledger, str]:
        room, mount, own, relative = key.split("/", 3)
        return self._kv2[f"{room}/{mount}/{own}/"], relative

    def _add_token(self, key: str, fact: ledger_tokens.TokenFact) -> None:
        self._tokens.saw_token(key.removeprefix(tokens.ID_PREFIX), fact)
        self.counts.tokens += 1

    def _add_accessor(self, key: str, fact: ledger_tokens.AccessorFact) -> None:
        self._tokens.saw_accessor(key.removeprefix(tokens.ACCESSOR_PREFIX), fact)

    def _add_lease(self, key: str, fact: ledger_tokens.LeaseFact) -> None:
        self.counts.leases += 1
        if fact.is_auth:
            self._tokens.saw_lease(key.removeprefix(leases.ID_PREFIX), fact)

    def _add_role(self, key: str, fact: ledger_approle.RoleFact) -> None:
        ledger, relative = self._approle_place(key)
        ledger.saw_role(relative.partition("/")[2], fact)
        self.counts.roles += 1

    def _add_role_id(self, key: str, fact: ledger_approle.RoleIdFact) -> None:
        ledger, relative = self._approle_place(key)
        ledger.saw_role_id(relative, fact)

    def _add_secret_id(self, key: str, fact: ledger_approle.SecretIdFact) -> None:
        ledger, relative = self._approle_place(key)
        ledger.saw_secret_id(relative, fact)
        self.counts.secret_ids += 1

    def _add_secret_id_accessor(self, key: str, fact: ledger_approle.AccessorFact) -> None:
        ledger, relative = self._approle_place(key)
        ledger.saw_accessor(relative)

    def _approle_place(self, key: str) -> tuple[AppRoleLedger, str]:
        room, mount, relative = key.split("/", 2)
        return self._approle[f"{room}/{mount}/"], relative
