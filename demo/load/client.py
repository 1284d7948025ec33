"""A service's client: hvac over one keep-alive session, the address read before each operation.

What lives here: the five lines a service needs to survive a move of its Vault. What never does: a
retry, on any level.
"""

from pathlib import Path
from typing import Any

import hvac
import hvac.utils
import requests

MOUNT = "zakupai"
TIMEOUT_SECONDS = 90
_MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}


class Client:
    """hvac bound to the address file. ``use`` picks the token for the next operation."""

    def __init__(self, address_file: Path, ca_file: Path | None) -> None:
        self._address_file = address_file
        self.ca_file = ca_file
        session = requests.Session()
        session.trust_env = False
        # A session's own setting wins over hvac's argument of the same name.
        session.verify = str(ca_file) if ca_file else True
        self._hvac = hvac.Client(session=session, timeout=TIMEOUT_SECONDS)

    def use(self, token: str | None) -> hvac.Client:
        """The hvac client with this token, at the address that holds now."""
        self._hvac.url = self._address_file.read_text().strip()
        self._hvac.token = token
        return self._hvac

    def merge_patch(self, token: str, path: str, data: dict[str, Any]) -> dict[str, Any]:
        """HTTP PATCH of a KV v2 secret (hvac's own ``patch`` reads and writes instead)."""
        url = hvac.utils.format_url("/v1/{mount}/data/{path}", mount=MOUNT, path=path)
        answer: dict[str, Any] = self.use(token).adapter.request(
            "patch", url, json={"data": data}, headers=dict(_MERGE_PATCH)
        )
        return answer

    def close(self) -> None:
        self._hvac.adapter.close()
