"""A small load of KV v2 writes and reads over keep-alive connections that never retries."""

import http.client
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Call:
    """One operation: which one, when, what came of it (``error`` empty: as it must be)."""

    name: str
    started: float
    ended: float
    error: str
    version: int = 0

    @property
    def seconds(self) -> float:
        return self.ended - self.started


@dataclass
class SteadyLoad:
    """What the threads did so far."""

    calls: list[Call] = field(default_factory=list)
    pause_seconds: float = 0.002

    @property
    def failed(self) -> list[Call]:
        return [call for call in self.calls if call.error]

    @property
    def longest_seconds(self) -> float:
        return max((call.seconds for call in self.calls), default=0.0)

    def version_steps(self) -> int:
        """Writes whose version is more than one above the one before: applied more than once."""
        last: dict[str, int] = {}
        extra = 0
        for call in self.calls:
            if call.version:
                extra += call.version - last.get(call.name, call.version - 1) - 1
                last[call.name] = call.version
        return extra


class _Client:
    def __init__(self, address_file: Path, token: str, ca_file: Path | None) -> None:
        self._address_file, self._token, self._ca_file = address_file, token, ca_file
        self._url = ""
        self._connection: http.client.HTTPConnection | None = None

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        url = self._address_file.read_text().strip()
        if url != self._url or self._connection is None:
            self.close()
            self._connection, self._url = self._connect(url), url
        self._connection.request(
            method,
            f"/v1/{path}",
            None if body is None else json.dumps(body),
            {"X-Vault-Token": self._token},
        )
        response = self._connection.getresponse()
        return response.status, json.loads(response.read() or b"{}")

    def _connect(self, url: str) -> http.client.HTTPConnection:
        parts = urlsplit(url)
        assert parts.hostname
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=str(self._ca_file))
            return http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=90, context=context
            )
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=90)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _work(
    load: SteadyLoad, client: _Client, place: str, number: int, stop: threading.Event
) -> None:
    name, sequence = f"{place}/steady-{number}", 0
    while not stop.is_set():
        sequence += 1
        for method, body in (("POST", {"data": {"sequence": sequence}}), ("GET", None)):
            started, version = time.monotonic(), 0
            try:
                status, answer = client.request(method, name, body)
                error = "" if status == 200 else f"{status} {answer}"
                if not error and method == "POST":
                    version = answer["data"]["version"]
                elif not error and answer["data"]["data"] != {"sequence": sequence}:
                    error = f"read {answer['data']['data']}, wrote {sequence}"
            except (OSError, http.client.HTTPException) as problem:
                error = repr(problem)
                client.close()
            load.calls.append(Call(name, started, time.monotonic(), error, version))
        time.sleep(load.pause_seconds)
    client.close()


@contextmanager
def steady_load(
    address_file: Path, token: str, place: str, *, threads: int = 8, ca_file: Path | None = None
) -> Iterator[SteadyLoad]:
    """Threads write and read below ``place`` (``MOUNT/data/PATH``) until the block ends."""
    load, stop = SteadyLoad(), threading.Event()
    workers = [
        threading.Thread(
            target=_work, args=(load, _Client(address_file, token, ca_file), place, n, stop)
        )
        for n in range(threads)
    ]
    for worker in workers:
        worker.start()
    try:
        yield load
    finally:
        stop.set()
        for worker in workers:
            worker.join()
