"""What a site declares of its Vault, what a Vault was seen to have, and what may be done about it.

What lives here: frozen values; each action says in a sentence what it does. What never does: IO.
Invariant: there is no action that removes anything; what nobody declared stays.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

RoleValue = int | tuple[str, ...]
"""Seconds, a count, or names of policies (sorted)."""
DEFAULT_MAX_VERSIONS = 10
"""What Vault keeps of a secret when a mount says 0."""


@dataclass(frozen=True, slots=True)
class KvMount:
    """A KV version 2 mount. ``max_versions`` None: whatever it is."""

    path: str
    max_versions: int | None = None


@dataclass(frozen=True, slots=True)
class Role:
    """An AppRole role; settings that are not named are left alone."""

    name: str
    settings: Mapping[str, RoleValue]


@dataclass(frozen=True, slots=True)
class Declaration:
    """All of it. Paths without a slash at the end; ``policies`` name to text."""

    kv: tuple[KvMount, ...] = ()
    auth_methods: tuple[str, ...] = ()
    policies: Mapping[str, str] = field(default_factory=dict)
    roles: tuple[Role, ...] = ()


@dataclass(frozen=True, slots=True)
class SeenMount:
    """One row of ``sys/mounts``. ``version`` of a KV mount, 1 when it names none; else 0."""

    type: str
    version: int = 0
    max_versions: int | None = None
    """Only of declared KV v2 mounts, which are asked for it."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What the Vault has, as far as the declaration speaks of it; all mounts, by path."""

    mounts: Mapping[str, SeenMount] = field(default_factory=dict)
    auth: Mapping[str, str] = field(default_factory=dict)
    """Path to type."""
    policies: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, Mapping[str, RoleValue]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EnableKv:
    """Mount KV version 2."""

    path: str

    def __str__(self) -> str:
        return f"mount KV version 2 at {self.path}/"


@dataclass(frozen=True, slots=True)
class SetMaxVersions:
    """Change how many versions a KV mount keeps."""

    path: str
    before: int
    after: int

    def __str__(self) -> str:
        loses = "; what a secret has beyond goes with its next write"
        return (
            f"let {self.path}/ keep {self.after} versions of a secret instead of {self.before}"
            + (loses if self.after < self.before else "")
        )


@dataclass(frozen=True, slots=True)
class EnableAuth:
    """Enable an auth method at the path of its type."""

    path: str

    def __str__(self) -> str:
        return f"enable the auth method {self.path} at auth/{self.path}/"


@dataclass(frozen=True, slots=True)
class PutPolicy:
    """Write a policy."""

    name: str
    text: str = field(repr=False)
    replaces: bool

    def __str__(self) -> str:
        return f"{'replace' if self.replaces else 'write'} the policy {self.name}"


@dataclass(frozen=True, slots=True)
class PutRole:
    """Make an AppRole role or change the settings that differ."""

    name: str
    settings: Mapping[str, RoleValue]
    changes: bool

    def __str__(self) -> str:
        said = f"{'change' if self.changes else 'make'} the AppRole role {self.name}"
        return said + (f" ({', '.join(sorted(self.settings))})" if self.settings else "")


Action = EnableKv | SetMaxVersions | EnableAuth | PutPolicy | PutRole


@dataclass(frozen=True, slots=True)
class Plan:
    """What is left to do, in order, and what stands in the way."""

    actions: tuple[Action, ...]
    conflicts: tuple[str, ...]
