"""What a front door is made of, as values.

What lives here: addresses, files and limits, and the checks that need no machine. What never does:
a default path of a site (``app/site.py``).
"""

from dataclasses import dataclass
from pathlib import Path

from zvault.ops.frontdoor.errors import FrontDoorSettingsError

DEFAULT_HOLD_SECONDS = 60
DEFAULT_HEALTH_INTERVAL_MS = 100
REQUEST_BUFFER_BYTES = 33 * 1024 * 1024
"""Vault's largest request (32 MiB) and a little: only a buffered request can be sent again."""


@dataclass(frozen=True)
class FrontDoorSettings:
    """Two public sites in front of two server slots.

    Addresses are ``host:port``. ``plain_upstream`` (slot A) speaks http, ``tls_upstream`` (slot B)
    https with a certificate that ``ca_file`` signed for ``tls_server_name``. ``run_dir`` belongs to
    the front door alone.
    """

    run_dir: Path
    address_file: Path
    plaintext_listen: str
    tls_listen: str
    certificate_file: Path
    key_file: Path
    ca_file: Path
    plain_upstream: str
    tls_upstream: str
    tls_server_name: str = ""
    hold_seconds: int = DEFAULT_HOLD_SECONDS
    health_interval_ms: int = DEFAULT_HEALTH_INTERVAL_MS
    caddy: Path | None = None

    @property
    def plaintext_url(self) -> str:
        return f"http://{self.plaintext_listen}"

    @property
    def tls_url(self) -> str:
        return f"https://{self.tls_listen}"

    @property
    def config_file(self) -> Path:
        return self.run_dir / "frontdoor-config.json"

    @property
    def state_file(self) -> Path:
        return self.run_dir / "frontdoor.json"

    @property
    def log_file(self) -> Path:
        return self.run_dir / "frontdoor.log"

    @property
    def flag_file(self) -> Path:
        """Plaintext is let through while this file exists."""
        return self.run_dir / "plaintext-allowed"


def split_address(address: str) -> tuple[str, int]:
    """Host and port. Raises FrontDoorSettingsError for anything that is not ``host:port``."""
    host, separator, port = address.rpartition(":")
    if not separator or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise FrontDoorSettingsError(
            f"{address!r} is not an address", hint="write host:port, for example 127.0.0.1:9000"
        )
    return host.strip("[]"), int(port)


def check_settings(settings: FrontDoorSettings) -> None:
    """Raise FrontDoorSettingsError for settings that no machine could make work."""
    addresses = (
        settings.plaintext_listen,
        settings.tls_listen,
        settings.plain_upstream,
        settings.tls_upstream,
    )
    for address in addresses:
        split_address(address)
    if len(set(addresses)) != len(addresses):
        raise FrontDoorSettingsError(
            "two of the front door's four addresses are the same",
            hint="give listen addresses and upstreams a port each",
        )
    if settings.hold_seconds < 1:
        raise FrontDoorSettingsError("hold_seconds is below 1", hint="60 is the default")
