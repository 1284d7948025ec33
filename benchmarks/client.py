"""A load client for machines without wrk: keep-alive connections, one request each at a time.

Run as a program of its own with a plan file (JSON, private: it holds a token). Prints one line that
``load.py`` reads. Answers are only framed (status and Content-Length), to leave the time to the
server.
"""

import asyncio
import json
import ssl
import sys
import time
from pathlib import Path
from typing import Any, cast

import uvloop


class Plan:
    """What to send, and what came back."""

    def __init__(self, document: dict[str, Any]) -> None:
        scenario = document["scenario"]
        lines = [f"{name}: {value}" for name, value in document["headers"].items()]
        if scenario["body"]:
            lines.append(f"Content-Length: {len(scenario['body'].encode())}")
        tail = "\r\n".join(["", *lines, "", scenario["body"]]).encode()
        method = scenario["method"]
        numbers = range(document["numbers"]) if "%d" in scenario["path"] else [0]
        self.requests = [
            f"{method} {scenario['path'].replace('%d', str(n))} HTTP/1.1".encode() + tail
            for n in numbers
        ]
        self.count = 0
        self.latencies: list[float] = []
        self.errors = 0
        self.stopping = False

    def next(self) -> bytes:
        self.count += 7
        return self.requests[self.count % len(self.requests)]


class Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._buffer = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._plan.next())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        start = head.find(b"content-length: ")
        length = 0 if start < 0 else int(head[start + 16 :].split(b"\r", 1)[0])
        if len(self._buffer) < end + 4 + length:
            return
        self._plan.latencies.append(time.perf_counter() - self._sent)
        if head[9:10] != b"2":
            self._plan.errors += 1
        self._buffer = b""
        if not self._plan.stopping:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._plan.stopping:
            self._plan.errors += 1


async def run(document: dict[str, Any]) -> dict[str, int]:
    """Load for the planned seconds; the figures ``load.py`` wants."""
    plan = Plan(document)
    loop = asyncio.get_running_loop()
    scheme, _, place = document["address"].partition("://")
    host, port = place.split(":")
    tls = ssl.create_default_context(cafile=document["ca_file"]) if scheme == "https" else None
    made = [
        await loop.create_connection(lambda: Client(plan), host, int(port), ssl=tls)
        for _ in range(document["connections"])
    ]
    started = time.perf_counter()
    await asyncio.sleep(document["seconds"])
    elapsed = time.perf_counter() - started
    plan.stopping = True
    for transport, _ in made:
        transport.close()
    ordered = sorted(plan.latencies) or [0.0]
    return {
        "requests": len(plan.latencies),
        "microseconds": int(elapsed * 1e6),
        "p50_us": int(ordered[len(ordered) // 2] * 1e6),
        "p99_us": int(ordered[len(ordered) * 99 // 100] * 1e6),
        "max_us": int(ordered[-1] * 1e6),
        "errors": plan.errors,
    }


def main() -> None:
    document = json.loads(Path(sys.argv[1]).read_text())
    print("BENCH " + json.dumps(uvloop.run(run(document))))


if __name__ == "__main__":
    main()
