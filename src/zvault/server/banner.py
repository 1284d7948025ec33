"""What a starting server prints on standard output, as Vault does.

Invariant: nothing in it is secret; it is printed once requests can come, so a script may wait for
its last line.
"""

from collections.abc import Sequence

from zvault.base.gotime import SECOND_NS, format_duration
from zvault.server.config import ServerConfig
from zvault.server.settings import ListenerSettings

STARTED = "==> zvault server started! Log data will stream in below:"


def banner(config: ServerConfig, bound: Sequence[str], version: str) -> list[str]:
    """Lines; ``bound`` are the addresses in the order of the configuration's listeners."""
    pairs = [
        (f"Listener {number}", _listener(settings, address))
        for number, (settings, address) in enumerate(
            zip(config.listeners, bound, strict=True), start=1
        )
    ]
    pairs += [
        ("Api Address", config.api_addr),
        ("Log Level", config.log.level),
        ("Storage", config.storage.kind),
        ("Version", version),
    ]
    width = max(len(name) for name, _ in pairs) + 10
    lines = [f"{name:>{width}}: {value}" for name, value in pairs if value]
    return ["==> zvault server configuration:", "", *lines, "", STARTED, ""]


def _listener(settings: ListenerSettings, address: str) -> str:
    limits = settings.limits
    duration = format_duration(int(limits.max_request_seconds * SECOND_NS))
    return (
        f'{settings.kind} (addr: "{address}", max_request_duration: "{duration}", '
        f'max_request_size: "{limits.max_request_bytes}", '
        f'tls: "{"enabled" if settings.tls else "disabled"}")'
    )
