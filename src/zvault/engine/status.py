"""What the server says about itself to anybody who asks.

What lives here: the values behind seal-status, health and init, as Vault words them. What never
does: HTTP. Source: ``docs/api/sys.md``.
"""

from dataclasses import dataclass

from zvault.base.secret import Secret


@dataclass(frozen=True, slots=True)
class SealStatus:
    """Body of ``sys/seal-status`` and of every answer to ``sys/unseal``."""

    initialized: bool
    sealed: bool
    threshold: int
    """``t``."""
    shares: int
    """``n``."""
    progress: int
    nonce: str
    version: str
    storage_type: str
    build_date: str = ""
    cluster_name: str = ""
    """"" while sealed; the answer then leaves it out."""
    cluster_id: str = ""


@dataclass(frozen=True, slots=True)
class HealthStatus:
    """Body of ``sys/health``."""

    initialized: bool
    sealed: bool
    version: str
    server_time_seconds: int
    cluster_name: str = ""
    cluster_id: str = ""


@dataclass(frozen=True, slots=True)
class InitOutcome:
    """Answer to ``sys/init``: the shares and the root token, shown once."""

    keys: list[Secret]
    root_token: Secret
