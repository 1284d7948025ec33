"""What an engine is told when it is made. Durations are nanoseconds."""

from dataclasses import dataclass

from zvault.base.gotime import SECOND_NS
from zvault.engine.audit.declared import DeclaredDevice

DEFAULT_TTL_NS = 768 * 3600 * SECOND_NS
"""Vault's system default for both lease limits: 32 days."""


@dataclass(frozen=True, slots=True)
class CoreSettings:
    """``family`` and ``cluster_name`` only count for a store that this engine initialises."""

    default_lease_ttl_ns: int = DEFAULT_TTL_NS
    max_lease_ttl_ns: int = DEFAULT_TTL_NS
    version: str = "1.16.0"
    """The Vault version clients are told: a plain 1.16.x (``docs/server.md``)."""
    storage_type: str = "file"
    family: str = "vault"
    cluster_name: str = ""
    build_date: str = ""
    api_address: str = ""
    """Where clients find this server, as a URL."""
    cluster_address: str = ""
    """What ``sys/ha-status`` says of other servers' way in; nothing listens there."""
    audit: tuple[DeclaredDevice, ...] = ()
    """Devices of the server's configuration."""
    raw_storage: bool = False
    """Serve ``sys/raw``."""
