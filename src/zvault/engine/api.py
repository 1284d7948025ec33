"""The words the engine's parts share: request, response, auth, backend.

What lives here: values that go down the pipeline and up again, and the contract of a backend. What
never does: HTTP, storage, a decision.
Invariant: one Request down, one Response (or one EngineError, ``engine/errors.py``) up.
Units: ``*_ns`` are nanoseconds, ``*_seconds`` seconds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from zvault.barrier.view import View
from zvault.base.clock import Clock
from zvault.engine.identity.lockout import Lockout
from zvault.records.mounts import MountEntry
from zvault.records.tokens import TokenEntry


class Operation(StrEnum):
    """What is asked of a path (Vault's logical operations)."""

    CREATE = "create"
    READ = "read"
    UPDATE = "update"
    PATCH = "patch"
    DELETE = "delete"
    LIST = "list"
    HELP = "help"


class Owed(Protocol):
    """A record that an answer waits for; shared by the answers of one event-loop turn."""

    def settle(self) -> None:
        """Write it unless that is done. Raises EngineError, which is then the answer."""
        ...


@dataclass(slots=True)
class Request:
    """One call. The pipeline fills the lower half on the way down."""

    id: str
    operation: Operation
    path: str
    """Without ``v1/``, URL-decoded; a LIST path ends in ``/``."""
    data: dict[str, Any] = field(default_factory=dict)
    client_token: str = ""
    """As the client sent it (external form)."""
    remote_address: str = ""
    remote_port: int = 0
    headers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    wrap_ttl_seconds: int = 0
    unauthenticated: bool = False

    mount: MountEntry | None = None
    relative_path: str = ""
    """The path below the mount."""
    token: TokenEntry | None = None
    policies: tuple[str, ...] = ()
    """Token policies plus those of the entity and its groups."""
    identity_policies: tuple[str, ...] = ()
    is_root: bool = False
    has_sudo: bool = False
    """The token may do sudo on this very path."""
    answer_headers: dict[str, str] = field(default_factory=dict)
    """What the answer's header says besides, whatever the answer is."""
    audit: Any = None
    """The audit broker's own, between the request record and the response record."""
    answer_waits: bool = False
    """The caller holds the answer back until it has called ``owed.settle()``."""
    owed: "Owed | None" = None
    """Of an answer that waits: the record that has to be written before it leaves."""


@dataclass(slots=True)
class Auth:
    """What a login or a token creation asks for; the core fills the lower half."""

    policies: Sequence[str] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    internal_data: dict[str, Any] = field(default_factory=dict)
    display_name: str = ""
    alias_name: str = ""
    """Identity alias; "" makes no entity."""
    alias_metadata: dict[str, str] | None = None
    """Of a new alias; None: the token's metadata."""
    group_names: Sequence[str] = ()
    """Names of groups at the issuer, for external groups with such an alias on this mount."""
    ttl_ns: int = 0
    max_ttl_ns: int = 0
    period_ns: int = 0
    explicit_max_ttl_ns: int = 0
    renewable: bool = True
    num_uses: int = 0
    bound_cidrs: Sequence[str] = ()
    token_type: str = "service"  # noqa: S105 - a kind of token
    no_default_policy: bool = False
    orphan: bool = True
    source: tuple[object, ...] = field(default=(), compare=False, repr=False)
    """Frozen values that alone decide all of the above: what logins with the very same ones are
    granted is remembered. Empty: something else decides too."""

    client_token: str = ""
    accessor: str = ""
    entity_id: str = ""
    entity_created: bool = False
    """This login made the entity."""
    token_policies: Sequence[str] = ()
    identity_policies: Sequence[str] = ()
    lease_seconds: int = 0


@dataclass(frozen=True, slots=True)
class SecretGrant:
    """A secret that ends: what its backend wants of the lease, and needs to take it back."""

    ttl_ns: int
    max_ttl_ns: int = 0
    """0: only the mount's."""
    renewable: bool = False
    internal_data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WrapInfo:
    """In place of a response: the token that its owner unwraps it with."""

    token: str = field(repr=False)
    accessor: str
    ttl_seconds: int
    creation_time_ns: int
    creation_path: str
    wrapped_accessor: str = ""
    """Of the token or secret id inside; "" for everything else."""


@dataclass(slots=True)
class Response:
    """What a handler gives back. ``None`` instead of a Response means "nothing" (204 or 404)."""

    data: dict[str, Any] | None = None
    auth: Auth | None = None
    warnings: list[str] = field(default_factory=list)
    lease_id: str = ""
    lease_seconds: int = 0
    renewable: bool = False
    status: int = 0
    """HTTP status when it is not the usual one; 0 = by the 200/204/404 rule."""
    raw_body: bytes | None = None
    """A body without envelope."""
    raw_content_type: str = "application/json"
    secret: SecretGrant | None = None
    """What the answer holds is leased; the core fills ``lease_id``, TTL and ``renewable``."""
    wrap_info: WrapInfo | None = None
    """The answer is wrapped; nothing else of it goes out."""
    audited: "Response | None" = None
    """What the audit log shows in place of this response (an unwrapped one as it was)."""
    is_only_copy: bool = False
    """Holds the only copy of what opens the store: it goes out even when it is not recorded."""
    login: Auth | None = None
    """Of a wrapped login: whom the audit log names as the caller."""


@dataclass(frozen=True, slots=True)
class MountContext:
    """All that a backend gets to see of the world."""

    entry: MountEntry
    view: View
    clock: Clock
    random_bytes: Callable[[int], bytes]
    default_ttl_ns: Callable[[], int]
    """Effective default lease TTL of this mount, now."""
    max_ttl_ns: Callable[[], int]
    family: str
    """``vault`` or ``openbao``."""
    lockout: Lockout
    """Auth methods: the names that were guessed at too often."""


class Backend(Protocol):
    """A mounted engine or auth method."""

    @property
    def unauthenticated_paths(self) -> Sequence[str]:
        """Relative paths (a trailing ``*`` is a prefix) that need no token, such as ``login``."""
        ...

    @property
    def root_paths(self) -> Sequence[str]:
        """Relative paths (a trailing ``*`` is a prefix) that need sudo."""
        ...

    async def start(self) -> None:
        """Called once after unseal or mount, before the first request."""
        ...

    async def stop(self) -> None:
        """Called before seal or unmount: end background work."""
        ...

    async def exists(self, request: Request) -> bool | None:
        """Existence check for create versus update; None where the path has none (update)."""
        ...

    async def handle(self, request: Request) -> Response | None:
        """Serve one request. Raises EngineError."""
        ...

    async def renew(self, auth: Auth) -> Auth:
        """Auth methods: what a renewal of this login grants now. Raises EngineError."""
        ...


@runtime_checkable
class LeasingBackend(Protocol):
    """A backend that makes secrets which end."""

    async def renew_secret(self, grant: SecretGrant, increment_ns: int) -> SecretGrant:
        """What a renewal grants now. Raises EngineError."""
        ...

    async def revoke_secret(self, internal_data: dict[str, Any]) -> None:
        """Take a secret back; may be asked again, also for one that is gone. Raises EngineError."""
        ...
