"""Audit devices that the server's configuration declares.

What lives here: the declaration. Source: OpenBao's ``audit`` stanzas
(``docs/formats/server-config.md``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class DeclaredDevice:
    """One stanza. It is enabled at unseal and cannot be disabled over the API."""

    path: str
    """With trailing ``/``."""
    type: str
    description: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    local: bool = False
