"""What the built-in backends (sys, token, identity) are given instead of a view alone.

What lives here: one frozen bundle. What never does: storage, the barrier, the core.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from zvault.barrier.barrier import Barrier
from zvault.barrier.keyring import RotationConfig
from zvault.base.clock import Clock
from zvault.base.ids import RandomBytes
from zvault.engine.audit.devices import AuditDevices
from zvault.engine.cors import Cors
from zvault.engine.identity.store import IdentityStore
from zvault.engine.leases.book import LeaseBook
from zvault.engine.leases.expiration import Expiration
from zvault.engine.leases.secret_leases import SecretLeases
from zvault.engine.mounts.service import MountService
from zvault.engine.policy.store import PolicyStore
from zvault.engine.quotas import Quotas
from zvault.engine.seal.rekey import Rekey
from zvault.engine.seal.root_generation import RootGeneration
from zvault.engine.settings import CoreSettings
from zvault.engine.telemetry.metrics import Metrics
from zvault.engine.tokens.revocation import TokenRevocation
from zvault.engine.tokens.service import TokenService
from zvault.engine.tokens.sessions import Sessions
from zvault.engine.tokens.wrapping import Wrapping
from zvault.engine.versions import ServedVersion


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of an unsealed store that serve requests about themselves."""

    mounts: MountService
    policies: PolicyStore
    identity: IdentityStore
    tokens: TokenService
    revocation: TokenRevocation
    sessions: Sessions
    leases: LeaseBook
    expiration: Expiration
    secrets: SecretLeases
    wrapping: Wrapping
    audit: AuditDevices
    quotas: Quotas
    cors: Cors
    versions: Sequence[ServedVersion]
    """Which versions have served the store, oldest first."""
    raw: Barrier
    """For what lies in nobody's view: ``sys/raw``, settings of the server itself."""
    metrics: Metrics
    settings: CoreSettings
    clock: Clock
    random_bytes: RandomBytes
    family: str
    key_status: Callable[[], tuple[int, int, int]]
    """Term, install time in ns, encryptions of the active data key."""
    rotate: Callable[[], Awaitable[int]]
    """Add a data key; returns its term."""
    rotation: Callable[[], RotationConfig]
    """When the key is rotated without being asked."""
    configure_rotation: Callable[[RotationConfig], Awaitable[None]]
    rekey: Rekey
    root_generation: RootGeneration
