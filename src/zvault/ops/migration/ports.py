"""Everything a migration does to the world, as protocols.

What lives here: the only doors through which a step may look or act. ``app/wiring.py`` puts the
real rooms behind them, the fault tests put a world in memory behind the same doors and count.
Invariant: an effect is idempotent (doing it again after a kill is harmless) or its step looks
first; a method that reads never changes anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from zvault.base.secret import Secret
from zvault.ops.migration.model import Recovery, SiteState, Target
from zvault.ops.runtime.api import Desired, ServerFacts


@dataclass(frozen=True, slots=True)
class SealFacts:
    """What ``sys/seal-status`` said; ``reachable`` False when nothing answered."""

    reachable: bool
    initialized: bool = False
    sealed: bool = True
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """A look at a store from outside."""

    url: str
    reachable: bool
    empty: bool = True
    initialized: bool = False
    marker: str | None = None
    """Run id inside ``core/migration``; "" when somebody else wrote it; None when absent."""
    reason: str = ""
    fingerprint: str = ""
    """SHA-256 of the seal's stored keys, hex: new after a rekey, else constant; "" without any."""


def are_different_vaults(one: str, other: str) -> bool:
    """Whether two fingerprints are known and differ."""
    return bool(one and other) and one != other


@dataclass(frozen=True, slots=True)
class AgentFacts:
    """The unseal agent's process."""

    desired: Desired
    alive: bool
    address: str | None = None


@dataclass(frozen=True, slots=True)
class BackupFacts:
    """A backup that was verified; ``taken_ns`` is when its walk ended.

    ``fingerprint``: of the seal in it, as in StoreFacts.
    """

    name: str
    taken_ns: int
    store_url: str
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class DoorFacts:
    """The front door: does it run, is plaintext let through, where are clients sent."""

    running: bool
    plaintext_allowed: bool = False
    client_url: str | None = None


@dataclass(frozen=True, slots=True)
class Proof:
    """Every entry of a store was decrypted; the figures of it.

    ``decrypted``: how many of the entries just now, the others before.
    """

    entries: int
    secrets: int
    decrypted: int


class Stores(Protocol):
    """Stores by URL. Every method but ``look`` raises StorageError for a store's troubles."""

    async def look(self, url: str) -> StoreFacts:
        """Never raises for a store's trouble: that is ``reachable=False`` with a reason."""
        ...

    async def size(self, url: str) -> int:
        """About how many bytes it would take on a disk."""
        ...

    async def check_access(self, url: str) -> None:
        """Signed put, get, list, delete of a probe; the error names the cause."""

    async def copy(self, source: str, destination: str) -> dict[str, Any]:
        """Make the destination equal to the source as it is now; it may be serving.

        ``read`` among the figures: how many entries were looked at and not only listed.
        """
        ...

    async def sync(self, source: str, destination: str) -> dict[str, Any]:
        """The delta, deletions included; the source stands still.

        What this process saw equal before and has not moved since is not read again.
        """
        ...

    async def compare(self, source: str, destination: str) -> dict[str, Any]:
        """Raises StoresDifferError naming the first differences. Reads what ``sync`` would."""
        ...

    async def prove(self, url: str, shares: Sequence[Secret], *, still: bool) -> Proof:
        """Every entry was read and decrypted: now, or before by this process and has not moved.

        Raises UnprovenStoreError naming what did not open.

        ``still``: nobody writes to it, so entries must also fit each other (no token without its
        lease); a copy of a store that was being written to need not yet.
        """
        ...

    def is_known(self, url: str) -> bool:
        """Whether this process has decrypted that store before."""
        ...

    async def check_shares(self, url: str, shares: Sequence[Secret]) -> None:
        """Open the root key and the keyring from storage; the error tells wrong from corrupt."""
        ...

    async def put_marker(self, url: str, run: str) -> None: ...
    async def remove_marker(self, url: str, run: str) -> None: ...
    async def clear(self, url: str) -> None:
        """Remove every entry; a store that a run filled itself."""


class Server(Protocol):
    """The server's process; see ``ops.runtime.api.Runtime``."""

    async def observe(self) -> ServerFacts: ...
    async def start(self, config_path: Path, target: Target, *, fenced: bool = False) -> None:
        """``fenced``: it stays sealed, whatever an agent could do, until started without it."""
        ...

    async def stop(self) -> None: ...
    async def fence(self) -> None: ...
    async def reload(self) -> None: ...


class Agent(Protocol):
    """The unseal agent's process."""

    async def observe(self) -> AgentFacts: ...
    async def start(self, target: Target) -> None: ...
    async def stop(self) -> None: ...


class Vault(Protocol):
    """Calls to a server, by its own address."""

    async def seal_status(self, target: Target) -> SealFacts: ...
    async def unseal(self, target: Target, shares: Sequence[Secret]) -> None: ...
    async def canary_problem(self) -> str:
        """Why there can be no canary (not configured, a file missing); "" when there can."""
        ...

    async def canary(self, target: Target, nonce: str) -> dict[str, Any]:
        """AppRole login, read, write, read back, revoke. Raises CanaryError."""
        ...

    async def audit_path(self, target: Target, token: Secret) -> str | None:
        """The file of zvault's audit device, None when the device is not enabled."""
        ...

    async def enable_audit(self, target: Target, token: Secret) -> None: ...
    async def disable_audit(self, target: Target, token: Secret) -> None: ...


class AuditFile(Protocol):
    """The audit device's file."""

    async def size(self) -> int:
        """Bytes in the file; 0 when it does not exist."""
        ...

    async def changes_since(self, at_ns: int) -> tuple[int, list[str]]:
        """How many requests that change something were recorded since then, and the first paths.

        Raises OSError when the file cannot be read.
        """
        ...

    async def rotated_for(self, run: str) -> bool: ...
    async def move_away(self, run: str) -> str: ...


class FrontDoor(Protocol):
    """What clients talk to."""

    async def observe(self) -> DoorFacts: ...
    async def start(self) -> None:
        """Start it unless it runs; both sites answer afterwards."""
        ...

    async def allow_plaintext(self, allowed: bool) -> None: ...
    async def send_clients(self, scheme: str) -> None: ...
    async def requests_seen(self, scheme: str) -> int:
        """Raises UnreachableError for a door that is down: it sees nothing, which is not quiet."""
        ...

    async def refuses_plaintext(self) -> bool:
        """A real request over http: was the door's own refusal read. Silence is no refusal."""
        ...

    async def shows_certificate(self) -> bool:
        """Whether a handshake with the https site shows the pair on disk."""
        ...

    async def take_certificate(self) -> None:
        """Load the pair on disk and see it shown; keep-alive connections are closed.

        What is held is answered 503, so not while no server is unsealed. Raises
        VerificationError, UnreachableError.
        """
        ...

    async def answers(self, scheme: str) -> bool:
        """A real request through the public site: does a server answer it."""
        ...


class Backups(Protocol):
    """Backups of this site; only verified ones count."""

    async def latest_verified(self) -> BackupFacts | None: ...
    async def verified(self) -> Sequence[BackupFacts]:
        """All of them."""
        ...

    async def damage(self, name: str) -> str:
        """Why that backup's bytes are not those that were verified; "" when they are."""
        ...

    async def take(self, store_url: str, shares: Sequence[Secret]) -> BackupFacts: ...
    async def restore(self, recovery: Recovery, destination: str) -> None: ...


class KeyFiles(Protocol):
    """The encrypted key file and its password."""

    async def exists(self) -> bool: ...
    async def fingerprint(self) -> str:
        """Of the seal it was made for, as in StoreFacts; "" when no file says so."""
        ...

    async def create(self, store_url: str, shares: Sequence[Secret]) -> None: ...
    async def prove(self, store_url: str) -> None:
        """Open it with the password and open the store's keyring with it."""

    async def renew(self, store_url: str, shares: Sequence[Secret]) -> None:
        """The same file with other shares; the old one stays until the new one is proven."""
        ...

    async def destroy(self) -> None: ...
    async def layout_risk(self) -> str:
        """Why password and key file protect each other too little; "" when they do."""
        ...


class NewShares(Protocol):
    """A rekey, and the file its shares go into."""

    async def exists(self, path: Path) -> bool: ...
    async def in_file(self, path: Path) -> Sequence[Secret]:
        """The shares in it; none when it is absent or was never filled."""
        ...

    async def make(self, target: Target, store_url: str, old: Sequence[Secret], path: Path) -> None:
        """A whole rekey: durable in ``path``, then verified, in force and proven.

        As many shares as now, with the same threshold. Raises when ``path`` exists.
        """
        ...

    async def cancel(self, target: Target) -> None:
        """End what a killed ``make`` has begun: what is not in force on return never will be."""
        ...

    async def set_aside(self, path: Path) -> None:
        """Give the file another name: its shares never counted, or there are none in it."""
        ...


class Tls(Protocol):
    """The server's certificate."""

    async def problem(self) -> str:
        """Why the pair on disk cannot serve; "" when it can."""
        ...

    async def issue(self) -> None: ...
    async def shown_problem(self, target: Target) -> str:
        """Why a handshake does not show the pair on disk; "" when it does."""
        ...

    async def require_served(self, target: Target) -> None:
        """Return when a handshake shows the pair on disk. Raises TlsNotServedError."""
        ...


class Files(Protocol):
    """Rendered configuration files."""

    async def read(self, path: Path) -> str | None: ...
    async def write(self, path: Path, text: str) -> None: ...
    async def remove(self, path: Path) -> None: ...


class State(Protocol):
    """The site's state file."""

    async def read(self) -> SiteState | None: ...
    async def write(self, state: SiteState) -> None: ...


class Credentials(Protocol):
    """What the operator brought: read when asked for, kept nowhere."""

    async def has_shares(self) -> bool: ...
    async def shares(self) -> Sequence[Secret]:
        """The operator's shares. Raises PreconditionError when none were given."""
        ...

    async def unseal_shares(self) -> Sequence[Secret]:
        """The operator's shares, or those of the key file opened with the password."""
        ...

    async def has_token(self) -> bool: ...
    async def token(self) -> Secret: ...


class Machine(Protocol):
    """Time and disk."""

    def now_ns(self) -> int: ...
    def monotonic(self) -> float: ...
    async def sleep(self, seconds: float) -> None: ...
    def trouble(self) -> str:
        """Why this site's own folders cannot take what a run writes; "" when they can."""
        ...

    def free_bytes(self, store_url: str) -> int | None:
        """Free on the disk of that place; None for a bucket."""
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """All doors together."""

    stores: Stores
    server: Server
    agent: Agent
    vault: Vault
    audit_file: AuditFile
    front_door: FrontDoor
    backups: Backups
    key_files: KeyFiles
    new_shares: NewShares
    tls: Tls
    files: Files
    state: State
    credentials: Credentials
    machine: Machine
