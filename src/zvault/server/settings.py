"""What a server configuration says, as values.

What lives here: frozen dataclasses with Vault's defaults. What never does: text (``config.py``),
anything opened.
Units: ``*_ns`` nanoseconds, ``*_seconds`` seconds, ``*_bytes`` bytes. Secrets are ``Secret``, so a
settings object may be printed.
Source: ``vault-api.md`` 11.3, 1.6; docs/formats/server-config.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zvault.base.gotime import SECOND_NS
from zvault.base.secret import Secret
from zvault.server.forwarded import ForwardedForPolicy
from zvault.server.protocol import Limits

DEFAULT_ADDRESS = "127.0.0.1:8200"
DEFAULT_LEASE_NS = 768 * 3_600 * SECOND_NS
DEFAULT_DRAIN_SECONDS = 0.4


@dataclass(frozen=True, slots=True)
class InmemSettings:
    """Nothing survives the process."""

    kind: str = "inmem"


@dataclass(frozen=True, slots=True)
class FileSettings:
    """A directory. Without ``fsync`` a power cut takes acknowledged writes, or the store."""

    path: Path
    fsync: bool = True
    kind: str = "file"


@dataclass(frozen=True, slots=True)
class S3Settings:
    """A bucket and a prefix in it. Keys absent: from the environment or the credentials file."""

    bucket: str
    path: str = ""
    endpoint: str = ""
    """Empty: AWS itself."""
    region: str = ""
    access_key: Secret | None = None
    secret_key: Secret | None = None
    session_token: Secret | None = None
    force_path_style: bool = False
    disable_ssl: bool = False
    kind: str = "s3"


StorageSettings = InmemSettings | FileSettings | S3Settings


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Certificate and key of a listener."""

    cert_file: Path
    key_file: Path
    min_version: str = "tls12"
    max_version: str = "tls13"
    client_ca_file: Path | None = None
    require_client_cert: bool = False


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """One listener."""

    kind: str = "tcp"
    """``tcp`` or ``unix``."""
    address: str = DEFAULT_ADDRESS
    """``host:port``, or the socket's path."""
    socket_mode: int = 0o600
    tls: TlsSettings | None = None
    limits: Limits = field(default_factory=Limits)
    unauthenticated_metrics: bool = False
    require_request_header: bool = False
    closed_paths: tuple[str, ...] = ()
    """Shareholders' paths below these are not served."""
    forwarded_for: ForwardedForPolicy = field(default_factory=ForwardedForPolicy)
    custom_headers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Where the log goes; it never holds a secret or a request's body."""

    level: str = "info"
    json: bool = False
    file: Path | None = None
    """None: standard error."""
    requests_level: str = "off"
    """Level at which every request is one line; ``off``: none."""
