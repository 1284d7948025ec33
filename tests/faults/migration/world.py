"""A whole site in memory, behind the doors that a migration uses.

What lives here: stand-ins with behaviour (a server that refuses a marked store, an agent that
unseals, clients that write all the time) and the counter that kills the program at any effect.
What never does: a shortcut around the doors. The stores are real in-memory storages behind the
real Stores port, so copy, delta and comparison are the product's own code.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from zvault.base.clock import ManualClock
from zvault.base.errors import BusyError, PreconditionError, UnreachableError, ZvaultError
from zvault.base.secret import Secret
from zvault.offline.examine import DECODED
from zvault.offline.known import Known
from zvault.ops.migration.errors import CanaryError, UnprovenStoreError
from zvault.ops.migration.journal import Journal
from zvault.ops.migration.model import Limits, Recovery, Side, SiteState, Target
from zvault.ops.migration.operate import Operator
from zvault.ops.migration.ports import (
    AgentFacts,
    BackupFacts,
    DoorFacts,
    Ports,
    Proof,
    SealFacts,
)
from zvault.ops.migration.stores import OpenedStores
from zvault.ops.runtime.api import Desired, ServerFacts
from zvault.ops.stages.model import StorageKind, stage
from zvault.storage.api import Delete, Operation, Put, Storage
from zvault.storage.errors import StoreUnreachableError
from zvault.storage.inmem import InMemStorage
from zvault.storage.keys import MIGRATION_KEY
from zvault.storage.listing import Stamp
from zvault.storage.walk import survey

FILE_URL = "file:data"
S3_URL = "s3://bucket/vault"
ACTIVE_CONFIG = Path("vault-config.hcl")
AUDIT_KEY = "core/audit"


class Shares(tuple[Secret, ...]):
    """A set of shares; a copy of a site has the same one, because a Secret is not copied."""

    __slots__ = ()

    def __deepcopy__(self, memo: object) -> "Shares":
        return self


SHARES = Shares((Secret(b"one"), Secret(b"two"), Secret(b"three")))
TOKEN = Secret("root")
NEW_SHARES = Shares((Secret(b"four"), Secret(b"five"), Secret(b"six")))
"""What a rekey gives out."""
SEALED = b"sealed:"


class Killed(BaseException):
    """kill -9: nothing that follows happens."""


@dataclass
class Killer:
    """Counts points in time; at one of them the program dies, and stays dead."""

    at: int | None = None
    count: int = 0
    dead: bool = False
    names: list[str] = field(default_factory=list)

    def point(self, name: str) -> None:
        if self.dead:
            raise Killed
        self.names.append(name)
        if self.at is not None and self.count == self.at:
            self.dead = True
            raise Killed
        self.count += 1


class KilledStorage:
    """A storage whose every apply has a point before and after it."""

    def __init__(self, inner: InMemStorage, killer: Killer, site: "Site") -> None:
        self._inner, self._killer, self._site = inner, killer, site

    @property
    def url(self) -> str:
        return self._inner.url

    async def get(self, key: str) -> bytes | None:
        self._site.storage_operation(self.url, "get")
        return await self._inner.get(key)

    async def list(self, prefix: str) -> list[str]:
        self._site.storage_operation(self.url, "list")
        return await self._inner.list(prefix)

    async def apply(self, operations: Sequence[Operation]) -> None:
        self._site.storage_operation(self.url, "apply")
        if not operations:
            return
        self._killer.point(f"before apply {self.url} {operations[0].key}")
        await self._inner.apply(operations)
        self._killer.point(f"after apply {self.url} {operations[0].key}")
        await self._site.tick()

    def stamp(self, key: str) -> Stamp | None:
        return self._inner.stamp(key)

    async def close(self) -> None:
        return None


class MemoryJournalFile:
    """A journal file that knows what was synced."""

    def __init__(self, site: "Site", killer: Killer) -> None:
        self._site, self._killer = site, killer

    def read(self) -> bytes:
        return self._site.journal

    def truncate(self, size: int) -> None:
        self._site.journal = self._site.journal[:size]

    def append(self, line: bytes) -> None:
        self._killer.point("before journal line")
        self._site.journal += line
        self._killer.point("after journal line, before sync")

    def sync(self) -> None:
        self._site.journal_durable = len(self._site.journal)
        self._killer.point("after journal sync")

    def close(self) -> None:
        return None


@dataclass
class Process:
    desired: Desired = Desired.UNKNOWN
    alive: bool = False
    config_path: Path | None = None
    store_url: str | None = None
    address: str | None = None


@dataclass
class Site:
    """What is there when no zvault runs: everything in it survives a kill."""

    clock: ManualClock = field(default_factory=ManualClock)
    stores: dict[str, InMemStorage] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    openers: dict[str, Callable[[bool], Storage]] = field(default_factory=dict)
    """How the program opens a store, where that is not the memory itself."""
    files: dict[Path, str] = field(default_factory=dict)
    state: SiteState | None = None
    server: Process = field(default_factory=Process)
    sealed: bool = True
    agent: Process = field(default_factory=Process)
    key_file: bool = False
    key_file_good: bool = True
    key_file_fingerprint: str = ""
    key_file_shares: Shares = SHARES
    shares: Shares = SHARES
    """Those in force."""
    kept: dict[Path, Shares] = field(default_factory=dict)
    """Files that shares of a rekey went into."""
    rekey_begun: bool = False
    layout_risk: str = ""
    plaintext: bool = True
    door_running: bool = True
    client_scheme: str = "http"
    seen: dict[str, int] = field(default_factory=lambda: {"http": 0, "https": 0})
    backups: list[BackupFacts] = field(default_factory=list)
    backup_contents: dict[str, dict[str, bytes]] = field(default_factory=dict)
    damaged_backups: set[str] = field(default_factory=set)
    certificate: bool = True
    certificate_shown: bool = True
    door_certificate_shown: bool = True
    audit_lines: int = 0
    rotated: list[str] = field(default_factory=list)
    free: int = 10**12
    machine_trouble: str = ""
    journal: bytes = b""
    journal_durable: int = 0
    acknowledged: dict[str, bytes] = field(default_factory=dict)
    client_writes: int = 0
    failed_requests: list[str] = field(default_factory=list)
    clients_on: bool = True
    fail_storage_at: int | None = None
    storage_operations: int = 0
    agent_broken: bool = False
    canary_broken: bool = False
    canary_works: int | None = None
    canary_problem: str = ""
    audit_works: bool = True

    # -- the world moves ---------------------------------------------------------------------

    async def tick(self) -> None:
        """The agent looks, a client writes; called whenever the program did or waited."""
        self.clock.advance(0.01)
        if self.agent.alive and self.agent.address == self.server.address:
            if self.server.desired is Desired.RUNNING and not self.server.alive:
                self.boot()
            wanted = self.server.desired is Desired.RUNNING
            opens = self.key_file and self.key_file_shares == self.shares
            if wanted and self.server.alive and opens and not self.agent_broken:
                self.sealed = False
        await self.client()

    async def client(self) -> None:
        """One request through the front door; while no server is unsealed it waits."""
        if not self.clients_on or not self.door_running or not self.serving():
            return
        scheme = self.client_scheme
        self.seen[scheme] += 1
        if scheme == "http" and not self.plaintext:
            self.failed_requests.append("plaintext refused")
            return
        store = self.active_store()
        self.client_writes += 1
        n = self.client_writes
        key = f"logical/client/{n % 7}"
        if n % 5 == 0:
            await store.apply([Delete(key)])
            self.acknowledged.pop(key, None)
        else:
            value = SEALED + b"%d" % n
            await store.apply([Put(key, value)])
            self.acknowledged[key] = value
        if await store.get(AUDIT_KEY) is not None:
            self.audit_lines += 1

    def serving(self) -> bool:
        return self.server.alive and not self.sealed

    def active_store(self) -> InMemStorage:
        assert self.server.store_url is not None
        return self.stores[self.server.store_url]

    def boot(self) -> None:
        """A server starts: it reads its configuration and refuses a marked store."""
        assert self.server.config_path is not None
        text = self.files.get(self.server.config_path, "")
        url = text.partition("store=")[2].strip()
        self.server.store_url = url
        self.sealed = True
        store = self.stores.get(url)
        marked = store is not None and MIGRATION_KEY in store_content(store)
        self.server.alive = bool(url) and not marked and url not in self.gone

    def storage_operation(self, url: str, kind: str) -> None:
        """A fault at the n-th operation, once; a store that is gone fails always."""
        if url in self.gone:
            raise StoreUnreachableError("connection refused", provider="test", store=url)
        self.storage_operations += 1
        if self.fail_storage_at is not None and self.storage_operations == self.fail_storage_at:
            raise StoreUnreachableError(f"planted fault in {kind}", provider="test", store=url)

    def lose_what_was_not_synced(self) -> None:
        self.journal = self.journal[: self.journal_durable]


def store_content(storage: InMemStorage) -> dict[str, bytes]:
    """Everything in it."""
    return dict(storage._values)


# -- doors -----------------------------------------------------------------------------------


class Door:
    """Base of the stand-ins: every effect has a point before and one after it."""

    def __init__(self, site: Site, killer: Killer) -> None:
        self.site, self.killer = site, killer

    async def effect(self, name: str, do: Callable[[], Any]) -> Any:
        self.killer.point("before " + name)
        result = do()
        self.killer.point("after " + name)
        await self.site.tick()
        return result


class FakeServer(Door):
    async def observe(self) -> ServerFacts:
        seen = self.site.server
        return ServerFacts(seen.desired, seen.alive, None, seen.config_path, seen.address)

    async def start(self, config_path: Path, target: Target, *, fenced: bool = False) -> None:
        def do() -> None:
            server = self.site.server
            if server.alive and server.config_path != config_path:
                raise PreconditionError("another configuration is running")
            server.desired = Desired.FENCED if fenced else Desired.RUNNING
            server.config_path = config_path
            server.address = target.address
            if not server.alive:
                self.site.boot()

        await self.effect("server.start", do)

    async def stop(self) -> None:
        await self.effect("server.stop", lambda: self._end(Desired.STOPPED))

    async def fence(self) -> None:
        await self.effect("server.fence", lambda: self._end(Desired.FENCED))

    async def reload(self) -> None:
        await self.effect("server.reload", lambda: None)

    def _end(self, desired: Desired) -> None:
        self.site.server.desired = desired
        self.site.server.alive, self.site.sealed = False, True


class FakeAgent(Door):
    async def observe(self) -> AgentFacts:
        seen = self.site.agent
        return AgentFacts(seen.desired, seen.alive, seen.address)

    async def start(self, target: Target) -> None:
        def do() -> None:
            self.site.agent = Process(Desired.RUNNING, True, address=target.address)

        await self.effect("agent.start", do)

    async def stop(self) -> None:
        def do() -> None:
            self.site.agent = Process(Desired.STOPPED, False)

        await self.effect("agent.stop", do)


class FakeVault(Door):
    async def seal_status(self, target: Target) -> SealFacts:
        await self.site.tick()
        server = self.site.server
        if not server.alive or server.address != target.address:
            return SealFacts(reachable=False, reason="connection refused")
        content = store_content(self.site.active_store())
        return SealFacts(True, "core/keyring" in content, self.site.sealed)

    async def unseal(self, target: Target, shares: Sequence[Secret]) -> None:
        def do() -> None:
            if tuple(shares) == self.site.shares:
                self.site.sealed = False

        await self.effect("vault.unseal", do)

    async def canary_problem(self) -> str:
        return self.site.canary_problem

    async def canary(self, target: Target, nonce: str) -> dict[str, Any]:
        self._require_serving(target)
        if self.site.canary_works is not None:
            self.site.canary_works -= 1
        if self.site.canary_broken or self.site.canary_works == -1:
            raise CanaryError("the canary's login failed", hint="planted")
        store = self.site.active_store()
        value = SEALED + nonce.encode()
        self.killer.point("before vault.canary")
        await store.apply([Put("logical/canary", value)])
        self.site.acknowledged["logical/canary"] = value
        if AUDIT_KEY in store_content(store) and self.site.audit_works:
            self.site.audit_lines += 1
        self.killer.point("after vault.canary")
        return {}

    async def audit_path(self, target: Target, token: Secret) -> str | None:
        self._require_serving(target)
        if token != TOKEN:
            raise PreconditionError("permission denied")
        await self.site.tick()
        on = AUDIT_KEY in store_content(self.site.active_store())
        return "audit.log" if on else None

    async def enable_audit(self, target: Target, token: Secret) -> None:
        self._require_serving(target)
        await self._audit(Put(AUDIT_KEY, SEALED + b"audit"))

    async def disable_audit(self, target: Target, token: Secret) -> None:
        self._require_serving(target)
        await self._audit(Delete(AUDIT_KEY))

    async def _audit(self, operation: Operation) -> None:
        self.killer.point("before vault.audit")
        await self.site.active_store().apply([operation])
        if isinstance(operation, Put):
            self.site.acknowledged[AUDIT_KEY] = operation.value
        else:
            self.site.acknowledged.pop(AUDIT_KEY, None)
        self.killer.point("after vault.audit")
        await self.site.tick()

    def _require_serving(self, target: Target) -> None:
        if not self.site.serving() or self.site.server.address != target.address:
            raise ZvaultError(f"{target.address} does not serve")


class FakeAuditFile(Door):
    async def size(self) -> int:
        return self.site.audit_lines

    async def changes_since(self, at_ns: int) -> tuple[int, list[str]]:
        return 2, ["zakupai/data/one", "auth/token/revoke"]

    async def rotated_for(self, run: str) -> bool:
        return run in self.site.rotated

    async def move_away(self, run: str) -> str:
        def do() -> str:
            self.site.rotated.append(run)
            self.site.audit_lines = 0
            return run

        return str(await self.effect("audit_file.move_away", do))


class FakeFrontDoor(Door):
    async def observe(self) -> DoorFacts:
        return DoorFacts(
            self.site.door_running, self.site.plaintext, f"{self.site.client_scheme}://door"
        )

    async def start(self) -> None:
        def do() -> None:
            self.site.door_running = True

        await self.effect("door.start", do)

    async def allow_plaintext(self, allowed: bool) -> None:
        def do() -> None:
            self.site.plaintext = allowed

        await self.effect("door.allow_plaintext", do)

    async def send_clients(self, scheme: str) -> None:
        def do() -> None:
            self.site.client_scheme = scheme

        await self.effect("door.send_clients", do)

    async def requests_seen(self, scheme: str) -> int:
        if not self.site.door_running:
            raise UnreachableError("the front door is down")
        return self.site.seen[scheme]

    async def answers(self, scheme: str) -> bool:
        site = self.site
        return site.door_running and site.serving() and (scheme == "https" or site.plaintext)

    async def shows_certificate(self) -> bool:
        return self.site.door_running and self.site.door_certificate_shown

    async def take_certificate(self) -> None:
        def do() -> None:
            self.site.door_certificate_shown = True

        await self.effect("door.take_certificate", do)

    async def refuses_plaintext(self) -> bool:
        return self.site.door_running and not self.site.plaintext


class FakeBackups(Door):
    async def latest_verified(self) -> BackupFacts | None:
        return self.site.backups[-1] if self.site.backups else None

    async def verified(self) -> Sequence[BackupFacts]:
        return tuple(self.site.backups)

    async def damage(self, name: str) -> str:
        return f"{name} was changed" if name in self.site.damaged_backups else ""

    async def take(self, store_url: str, shares: Sequence[Secret]) -> BackupFacts:
        def do() -> BackupFacts:
            name = f"backup-{len(self.site.backups)}"
            facts = BackupFacts(name, self.site.clock.now_ns(), store_url)
            self.site.backup_contents[name] = store_content(self.site.stores[store_url])
            self.site.backups.append(facts)
            return facts

        taken: BackupFacts = await self.effect("backups.take", do)
        return taken

    async def restore(self, recovery: Recovery, destination: str) -> None:
        content = self.site.backup_contents[recovery.name]
        self.killer.point("before backups.restore")
        self.site.stores[destination] = InMemStorage(content, url=destination)
        self.killer.point("after backups.restore")


class FakeKeyFiles(Door):
    async def fingerprint(self) -> str:
        return self.site.key_file_fingerprint

    async def exists(self) -> bool:
        return self.site.key_file

    async def create(self, store_url: str, shares: Sequence[Secret]) -> None:
        def do() -> None:
            self.site.key_file = True
            self.site.key_file_shares = Shares(shares)

        await self.effect("key_files.create", do)

    async def renew(self, store_url: str, shares: Sequence[Secret]) -> None:
        def do() -> None:
            self.site.key_file_shares = Shares(shares)

        assert self.site.key_file
        await self.effect("key_files.renew", do)

    async def prove(self, store_url: str) -> None:
        if not self.site.key_file_good or self.site.key_file_shares != self.site.shares:
            raise PreconditionError("the key file belongs to another Vault")

    async def destroy(self) -> None:
        def do() -> None:
            self.site.key_file = False

        await self.effect("key_files.destroy", do)

    async def layout_risk(self) -> str:
        return self.site.layout_risk


class FakeNewShares(Door):
    async def exists(self, path: Path) -> bool:
        return path in self.site.kept

    async def in_file(self, path: Path) -> Sequence[Secret]:
        return self.site.kept.get(path, ())

    async def make(self, target: Target, store_url: str, old: Sequence[Secret], path: Path) -> None:
        site = self.site

        def begin() -> None:
            if site.rekey_begun:
                raise BusyError("a rekey is under way")
            site.rekey_begun = True

        def verify() -> None:
            assert site.kept[path] == NEW_SHARES, "durable before the old ones stop working"
            site.shares, site.rekey_begun = NEW_SHARES, False

        if path in site.kept:
            raise PreconditionError(f"{path} exists and is not replaced")
        if tuple(old) != site.shares or not site.serving():
            raise PreconditionError("these shares are no quorum")
        await self.effect("new_shares.take", lambda: site.kept.update({path: Shares()}))
        await self.effect("new_shares.begin", begin)
        await self.effect("new_shares.keep", lambda: site.kept.update({path: NEW_SHARES}))
        await self.effect("new_shares.verify", verify)

    async def cancel(self, target: Target) -> None:
        def do() -> None:
            self.site.rekey_begun = False

        await self.effect("new_shares.cancel", do)

    async def set_aside(self, path: Path) -> None:
        def do() -> None:
            aside = path.with_name(f"{path.name}.aside-{len(self.site.kept)}")
            self.site.kept[aside] = self.site.kept.pop(path)

        await self.effect("new_shares.set_aside", do)


class FakeTls(Door):
    async def problem(self) -> str:
        return "" if self.site.certificate else "there is no certificate"

    async def issue(self) -> None:
        def do() -> None:
            self.site.certificate = True

        await self.effect("tls.issue", do)

    async def shown_problem(self, target: Target) -> str:
        return "" if self.site.certificate_shown else "shows another certificate"

    async def require_served(self, target: Target) -> None:
        assert self.site.certificate


class FakeFiles(Door):
    async def read(self, path: Path) -> str | None:
        return self.site.files.get(path)

    async def write(self, path: Path, text: str) -> None:
        def do() -> None:
            self.site.files[path] = text

        await self.effect(f"files.write {path}", do)

    async def remove(self, path: Path) -> None:
        await self.effect(f"files.remove {path}", lambda: self.site.files.pop(path, None))


class FakeState(Door):
    async def read(self) -> SiteState | None:
        return self.site.state

    async def write(self, state: SiteState) -> None:
        def do() -> None:
            self.site.state = state

        await self.effect("state.write", do)


@dataclass
class FakeCredentials:
    given: Sequence[Secret] = SHARES
    operator_token: Secret | None = TOKEN

    async def has_shares(self) -> bool:
        return bool(self.given)

    async def shares(self) -> Sequence[Secret]:
        if not self.given:
            raise PreconditionError("no shares were given", hint="--shares-file FILE")
        return self.given

    async def unseal_shares(self) -> Sequence[Secret]:
        return self.given or SHARES

    async def has_token(self) -> bool:
        return self.operator_token is not None

    async def token(self) -> Secret:
        if self.operator_token is None:
            raise PreconditionError("no token was given", hint="--token-file FILE")
        return self.operator_token


class FakeMachine:
    def __init__(self, site: Site) -> None:
        self._site = site

    def now_ns(self) -> int:
        return self._site.clock.now_ns()

    def monotonic(self) -> float:
        return self._site.clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        self._site.clock.advance(seconds)
        await self._site.tick()

    def trouble(self) -> str:
        return self._site.machine_trouble

    def free_bytes(self, store_url: str) -> int | None:
        return self._site.free if store_url.startswith("file:") else None


class TestGeography:
    """Where this site keeps things."""

    __test__ = False
    active_config_path = ACTIVE_CONFIG

    def side(self, stage_number: int, store_url: str) -> Side:
        row = stage(stage_number)
        port = 8312 if row.tls else 8311
        return Side(
            stage=row,
            store_url=store_url,
            config_path=Path(f"stage{stage_number}.hcl"),
            config_text=f"stage={stage_number} store={store_url}",
            target=Target(f"{row.scheme}://127.0.0.1:{port}"),
        )

    def home_url(self, stage_number: int) -> str:
        return S3_URL if stage(stage_number).storage is StorageKind.S3 else FILE_URL

    def destination_url(self, state: SiteState, to_stage: int, run: str) -> str:
        if stage(to_stage).storage is state.description.storage:
            return state.store_url
        return S3_URL if stage(to_stage).storage is StorageKind.S3 else f"{FILE_URL}-{run}"


async def prove(
    storage: Storage,
    shares: Sequence[Secret],
    *,
    still: bool,
    known: Known,
    right: tuple[Secret, ...] = SHARES,
) -> Proof:
    """The stand-in of decryption: an entry opens when it begins as a sealed one does."""
    decrypted, bad = 0, []
    infos = await survey(storage, known.keys)
    for key, info in sorted(infos.items()):
        if known.fact(info) is not None:
            continue
        value = await storage.get(key)
        decrypted += 1
        if value is None or key == MIGRATION_KEY:
            continue
        if value.startswith(SEALED):
            known.note(info, hashlib.md5(value).hexdigest(), DECODED)
        else:
            bad.append(key)
    if bad or tuple(shares) != right:
        raise UnprovenStoreError(f"{storage.url} does not open: {bad}", hint="planted")
    return Proof(entries=len(infos), secrets=len(infos), decrypted=decrypted)


def connect(
    site: Site, killer: Killer, credentials: FakeCredentials | None = None
) -> tuple[Ports, Callable[[], Operator]]:
    """A new program over the site."""

    async def opener(url: str, *, read_only: bool) -> Storage:
        if url in site.gone:
            raise StoreUnreachableError("connection refused", provider="test", store=url)
        if url in site.openers:
            return site.openers[url](read_only)
        if url not in site.stores:
            site.stores[url] = InMemStorage(url=url)
        return KilledStorage(site.stores[url], killer, site)

    async def nothing(storage: Storage) -> None:
        site.storage_operation(storage.url, "probe")

    async def check_shares(storage: Storage, shares: Sequence[Secret]) -> None:
        if tuple(shares) != site.shares:
            raise PreconditionError("these shares open another Vault")

    async def prove_now(
        storage: Storage, shares: Sequence[Secret], *, still: bool, known: Known
    ) -> Proof:
        return await prove(storage, shares, still=still, known=known, right=site.shares)

    async def measure(storage: Storage) -> int:
        return 1

    async def forget(url: str) -> None:
        return None

    stores = OpenedStores(
        opener=opener,
        probe=nothing,
        probe_folder="zvault-probe/",
        prover=prove_now,
        share_checker=check_shares,
        measure=measure,
        remove_place=forget,
        on_progress=lambda _: None,
        clock=site.clock,
    )
    ports = Ports(
        stores=stores,
        server=FakeServer(site, killer),
        agent=FakeAgent(site, killer),
        vault=FakeVault(site, killer),
        audit_file=FakeAuditFile(site, killer),
        front_door=FakeFrontDoor(site, killer),
        backups=FakeBackups(site, killer),
        key_files=FakeKeyFiles(site, killer),
        new_shares=FakeNewShares(site, killer),
        tls=FakeTls(site, killer),
        files=FakeFiles(site, killer),
        state=FakeState(site, killer),
        credentials=credentials or FakeCredentials(),
        machine=FakeMachine(site),
    )

    def operator() -> Operator:
        journal = Journal(MemoryJournalFile(site, killer))
        begun = sum(record.kind == "begin" for record in journal.records)
        return Operator(
            ports=ports,
            journal=journal,
            geography=TestGeography(),
            limits=Limits(unseal_wait_seconds=5, start_wait_seconds=5, quiet_wait_seconds=20),
            say=lambda _: None,
            new_run=lambda: f"r{begun + 1}",
        )

    return ports, operator


def new_site(stage_number: int) -> Site:
    """A site that has served in that stage for a while."""
    site = Site()
    url = S3_URL if stage_number == 9 else FILE_URL
    entries = {
        "core/keyring": SEALED + b"keyring",
        "core/hsm/barrier-unseal-keys": SEALED + b"keys",
        **{f"logical/original/{n}": SEALED + b"original %d" % n for n in range(12)},
    }
    if stage_number == 9:
        entries[AUDIT_KEY] = SEALED + b"audit"
    site.stores[url] = InMemStorage(entries, url=url)
    site.acknowledged = dict(entries)
    side = TestGeography().side(stage_number, url)
    site.files = {side.config_path: side.config_text, ACTIVE_CONFIG: side.config_text}
    site.state = SiteState(stage_number, url)
    site.server = Process(Desired.RUNNING, True, side.config_path, url, side.target.address)
    site.sealed = False
    if stage_number >= 8:
        site.key_file = True
        site.agent = Process(Desired.RUNNING, True, address=side.target.address)
    if stage_number == 9:
        site.client_scheme, site.plaintext = "https", False
    taken = BackupFacts("backup-old", site.clock.now_ns(), url)
    site.backups = [taken]
    site.backup_contents = {"backup-old": dict(entries)}
    return site


def end_state(site: Site) -> dict[str, Any]:
    """What must be equal after a resumed and an uninterrupted run."""
    assert site.state is not None
    text = site.files.get(ACTIVE_CONFIG, "")
    return {
        "stage": site.state.stage,
        "state": replace(site.state, retired=()),
        "retired": [old.url for old in site.state.retired],
        "active": text,
        "files": dict(site.files),
        "server": (site.server.desired, site.server.alive, site.server.config_path),
        "sealed": site.sealed,
        "agent": (site.agent.alive, site.agent.address),
        "clients": (site.client_scheme, site.plaintext),
        "key_file": site.key_file,
        "marked": sorted(u for u, s in site.stores.items() if MIGRATION_KEY in store_content(s)),
        "audit": AUDIT_KEY in store_content(site.active_store()),
    }


def require_nothing_lost(site: Site) -> None:
    """The active store holds exactly what clients were told, and no client was refused."""
    assert store_content(site.active_store()) == site.acknowledged
    assert site.failed_requests == []


class With:
    """An object with one method replaced; for a fault that no door of the world has."""

    def __init__(self, inner: object, name: str, replacement: object) -> None:
        self._inner = inner
        setattr(self, name, replacement)

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)
