"""Many secrets: fills a store before the start, and compares them quickly.

What lives here: the only part of the demo that speaks HTTP without hvac, because it reads tens of
thousands of secrets after every step. Each bulk secret is two entries (metadata and version).
"""

import http.client
import json
import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from demo.load.client import MOUNT
from demo.load.values import Values
from demo.proof.findings import DIFFERING, LOST, UNEXPECTED, Finding, Verdict

_THREADS = 4
_PART = 200
"""Secrets a connection: an interrupted run waits for no more than this many."""
_LANE = "bulk.0"
_FOLDER = 500


@dataclass
class Bulk:
    """``count`` secrets below ``prefix``, each written once."""

    values: Values
    token: str = field(repr=False)
    count: int
    prefix: str = "bulk/"

    def fill(self, address: str) -> None:
        """Write them all. Raises RuntimeError when one is not taken."""

        def write(numbers: range) -> None:
            with _Caller(address, None, self.token) as caller:
                for number in numbers:
                    body = {"data": self.values.data(_LANE, number)}
                    status, _ = caller.call("POST", self._path("data", number), body)
                    if status != 200:
                        raise RuntimeError(f"bulk secret {number} was answered with {status}")

        self._in_parts(write)

    def compare(self, address: str, ca_file: Path | None) -> Verdict:
        """Read them all, and list the folders for what must not be there."""

        def read(numbers: range) -> list[Finding]:
            found = []
            with _Caller(address, ca_file, self.token) as caller:
                for number in numbers:
                    status, body = caller.call("GET", self._path("data", number))
                    name = self._name(number)
                    if status != 200:
                        found.append(Finding(LOST, name, "the secret is not there"))
                    elif body["data"]["data"] != self.values.data(_LANE, number):
                        found.append(Finding(DIFFERING, name, "its data is not what was written"))
                    elif body["data"]["metadata"]["version"] != 1:
                        found.append(Finding(DIFFERING, name, "it has another version"))
            return found

        findings = [finding for part in self._in_parts(read) for finding in part]
        listed = self._listed(address, ca_file)
        if listed > self.count:
            findings.append(Finding(UNEXPECTED, self.prefix, f"{listed - self.count} too many"))
        return Verdict(self.count, self.count, 0, 0, 0, tuple(findings))

    def _listed(self, address: str, ca_file: Path | None) -> int:
        total = 0
        with _Caller(address, ca_file, self.token) as caller:
            root = f"/v1/{MOUNT}/metadata/{self.prefix}"
            _, folders = caller.call("LIST", root)
            for folder in folders.get("data", {}).get("keys", []):
                _, inside = caller.call("LIST", root + quote(folder))
                total += len(inside["data"]["keys"])
        return total

    def _in_parts(self, work: Any) -> list[Any]:
        parts = [
            range(begin, min(begin + _PART, self.count)) for begin in range(0, self.count, _PART)
        ]
        with ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(work, parts))

    def _name(self, number: int) -> str:
        return f"{self.prefix}{number // _FOLDER:04d}/{number:06d}"

    def _path(self, verb: str, number: int) -> str:
        return f"/v1/{MOUNT}/{verb}/{quote(self._name(number))}"


class _Caller:
    """One keep-alive connection."""

    def __init__(self, address: str, ca_file: Path | None, token: str) -> None:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
        self._connection = (
            http.client.HTTPConnection(host, port, timeout=90)
            if parts.scheme == "http"
            else http.client.HTTPSConnection(
                host, port, timeout=90, context=ssl.create_default_context(cafile=str(ca_file))
            )
        )
        self._headers = {"X-Vault-Token": token, "X-Vault-Request": "true"}

    def __enter__(self) -> "_Caller":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        content = None if body is None else json.dumps(body)
        self._connection.request(method, path, content, self._headers)
        response = self._connection.getresponse()
        return response.status, json.loads(response.read() or b"{}")


def store_entries(data: Path) -> int:
    """Files of a file store: one an entry."""
    return sum(path.is_file() for path in data.rglob("*") if ".zvault-tmp" not in path.parts)
