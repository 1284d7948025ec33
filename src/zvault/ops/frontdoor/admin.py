"""Questions to the running proxy: its configuration and its counters, over its private socket.

What lives here: an HTTP client for a unix socket of any path length, and the reader of the few
metrics that matter. What never does: a decision.
"""

import http.client
import json
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zvault.ops.frontdoor.errors import FrontDoorDownError
from zvault.ops.frontdoor.render import ADMIN_SOCKET

_SAMPLE = re.compile(r"^(caddy_http_requests_(?:total|in_flight))\{([^}]*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True)
class SiteCounts:
    """One public site since the proxy's start.

    ``forwarded``: requests given to a server and answered; ``answered_here``: refusals, probes;
    ``active``: requests that wait or run now.
    """

    forwarded: int = 0
    answered_here: int = 0
    active: int = 0

    @property
    def seen(self) -> int:
        """Every request that ever arrived to be forwarded, answered or not."""
        return self.forwarded + self.active


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over ``directory/name``, through a directory handle: a socket path has 107 bytes."""

    def __init__(self, directory: Path, name: str) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_SECONDS)
        self._directory, self._name = directory, name

    def connect(self) -> None:
        handle = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(_TIMEOUT_SECONDS)
            try:
                connection.connect(f"/proc/self/fd/{handle}/{self._name}")
            except OSError:
                connection.close()
                raise
            self.sock = connection
        finally:
            os.close(handle)


def running_config(run_dir: Path) -> dict[str, Any]:
    """The configuration the proxy runs with. Raises FrontDoorDownError."""
    config: dict[str, Any] = json.loads(_get(run_dir, "/config/"))
    return config


def site_counts(run_dir: Path) -> dict[str, SiteCounts]:
    """Site name → its counters. Raises FrontDoorDownError."""
    return parse_metrics(_get(run_dir, "/metrics").decode())


def parse_metrics(text: str) -> dict[str, SiteCounts]:
    """The counters out of Prometheus text; a site without samples has not been asked yet."""
    sites: dict[str, dict[str, int]] = {}
    for name, labels, value in _SAMPLE.findall(text):
        label = dict(_LABEL.findall(labels))
        counts = sites.setdefault(label["server"], {"forwarded": 0, "here": 0, "active": 0})
        if name.endswith("in_flight"):
            counts["active"] += round(float(value))
        else:
            counts["forwarded" if label["handler"] == "reverse_proxy" else "here"] += round(
                float(value)
            )
    return {
        site: SiteCounts(counts["forwarded"], counts["here"], counts["active"])
        for site, counts in sites.items()
    }


def load_again(run_dir: Path, config: dict[str, Any]) -> None:
    """Load a configuration and the files it names, also when it is the running one.

    Closes keep-alive connections; what is held is answered with 503. Raises FrontDoorDownError.
    """
    headers = {"Content-Type": "application/json", "Cache-Control": "must-revalidate"}
    _ask(run_dir, "POST", "/load", json.dumps(config).encode(), headers)


def _get(run_dir: Path, path: str) -> bytes:
    return _ask(run_dir, "GET", path, b"", {})


def _ask(run_dir: Path, method: str, path: str, body: bytes, headers: dict[str, str]) -> bytes:
    connection = _UnixConnection(run_dir, ADMIN_SOCKET)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        answer = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise FrontDoorDownError(
            f"the front door in {run_dir} does not answer: {error}",
            hint="zvault frontdoor status",
        ) from None
    finally:
        connection.close()
    if response.status != 200:
        raise FrontDoorDownError(
            f"the front door answered {response.status} to {path}", hint="look into its log"
        )
    return answer
