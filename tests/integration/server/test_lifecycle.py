"""A server over real sockets: starting, reloading, draining, stopping."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.support.certificates import make_pki
from tests.support.fake_core import FakeCore
from tests.support.loops import on_both_loops
from zvault.base.errors import PreconditionError, UnreachableError
from zvault.server import lifecycle
from zvault.server.config import ServerConfig
from zvault.server.lifecycle import Server
from zvault.server.listeners import CannotListenError
from zvault.server.settings import InmemSettings, ListenerSettings, TlsSettings

LOOPBACK = ListenerSettings(address="127.0.0.1:0")


@dataclass
class Running:
    server: Server
    core: FakeCore
    bound: list[str]
    task: asyncio.Task[int]

    async def connect(
        self, tls: ssl.SSLContext | None = None, which: int = 0
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = self.bound[which].rsplit(":", 1)
        return await asyncio.open_connection(host, int(port), ssl=tls)


@contextlib.asynccontextmanager
async def running(
    *listeners: ListenerSettings, drain: float = 0.0, pid_file: Path | None = None
) -> AsyncIterator[Running]:
    core = FakeCore()
    config = ServerConfig(
        InmemSettings(), listeners or (LOOPBACK,), drain_seconds=drain, pid_file=pid_file
    )
    server = Server(config, core)
    announced: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(server.serve(announced.set_result))
    await asyncio.wait({task, announced}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    try:
        yield Running(server, core, announced.result(), task)
    finally:
        server.stop()
        server.stop()
        await task


async def ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str = "kv/a"
) -> tuple[int, dict[str, object], bytes]:
    writer.write(f"GET /v1/{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return await answer(reader)


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, object], bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    body = await reader.readexactly(length)
    return int(head.split(b" ")[1]), json.loads(body), head


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()


@on_both_loops
async def test_several_listeners_serve_one_engine_plain_and_tls(tmp_path: Path) -> None:
    pki = make_pki(tmp_path)
    secure = replace(LOOPBACK, tls=TlsSettings(pki.certificate, pki.key))
    async with running(LOOPBACK, secure) as one:
        trusting = ssl.create_default_context(cafile=pki.ca)
        for which, tls in enumerate([None, trusting]):
            reader, writer = await one.connect(tls, which)
            for _ in range(3):
                assert (await ask(reader, writer))[0] == 200
            await closed(writer)
        assert len(one.core.seen) == 6
    assert one.core.life == ["start", "shutdown"]


@on_both_loops
async def test_sigterm_finishes_what_was_begun_and_closes_the_rest_unread() -> None:
    async with running() as one:
        busy_reader, busy_writer = await one.connect()
        idle_reader, idle_writer = await one.connect()
        assert (await ask(idle_reader, idle_writer))[0] == 200
        busy_writer.write(b"POST /v1/wait/w HTTP/1.1\r\nHost: x\r\n\r\n")
        await one.core.arrived.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        assert await idle_reader.read() == b"", "closed without a word"
        with pytest.raises(OSError):
            await one.connect()
        assert not one.task.done()
        assert one.core.life == ["start"], "not sealed before the last answer"
        one.core.gate("wait/w").set()
        status, _, head = await answer(busy_reader)
        assert status == 200
        assert b"Connection: close" in head
        assert await one.task == 0
        assert one.core.life == ["start", "shutdown"]
        await closed(busy_writer)
        await closed(idle_writer)


@on_both_loops
async def test_while_draining_health_says_503_and_requests_are_served() -> None:
    async with running(drain=30.0) as one:
        one.server.stop()
        await asyncio.sleep(0)
        reader, writer = await one.connect()
        status, _, head = await ask(reader, writer, "sys/health")
        assert status == 503
        assert b"Connection: close" in head
        assert await reader.read() == b""
        await closed(writer)
        reader, writer = await one.connect()
        assert (await ask(reader, writer))[0] == 200
        await closed(writer)
        one.server.stop()
        assert await asyncio.wait_for(one.task, 5) == 0


@on_both_loops
async def test_sighup_shows_the_new_certificate_and_keeps_open_connections(tmp_path: Path) -> None:
    live, other = make_pki(tmp_path / "live"), make_pki(tmp_path / "other")
    old_trust = ssl.create_default_context(cafile=live.ca)
    new_trust = ssl.create_default_context(cafile=other.ca)
    secure = replace(LOOPBACK, tls=TlsSettings(live.certificate, live.key))
    async with running(secure) as one:
        reader, writer = await one.connect(old_trust)
        assert (await ask(reader, writer))[0] == 200
        live.key.write_bytes(other.key.read_bytes())
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0.05)
        again = await one.connect(old_trust)
        assert (await ask(*again))[0] == 200, "the mixed pair did not replace the good one"
        live.certificate.write_bytes(other.certificate.read_bytes())
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0.05)
        with pytest.raises(ssl.SSLError):
            await one.connect(old_trust)
        new = await one.connect(new_trust)
        assert (await ask(*new))[0] == 200
        assert (await ask(reader, writer))[0] == 200, "the old connection lives on"
        assert one.core.life == ["start", "reload", "reload"]
        for stream in (writer, again[1], new[1]):
            await closed(stream)


@on_both_loops
async def test_an_address_that_is_taken_is_named_and_nothing_stays_open() -> None:
    async with running() as one:
        taken = ListenerSettings(address=one.bound[0])
        core = FakeCore()
        second = Server(ServerConfig(InmemSettings(), (LOOPBACK, taken)), core)
        with pytest.raises(CannotListenError, match=one.bound[0]):
            await second.serve(lambda _: None)
        assert core.life == ["start", "shutdown"]


@on_both_loops
async def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    pki = make_pki(tmp_path)
    pki.key.chmod(0o644)
    secure = replace(LOOPBACK, tls=TlsSettings(pki.certificate, pki.key))
    server = Server(ServerConfig(InmemSettings(), (secure,)), FakeCore())
    with pytest.raises(PreconditionError, match="0644"):
        await server.serve(lambda _: None)


@on_both_loops
async def test_the_pid_file_lives_as_long_as_the_server(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    async with running(pid_file=file):
        assert file.read_text() == f"{os.getpid()}\n"
    assert not file.exists()


@on_both_loops
async def test_a_unix_listener_is_private_and_replaces_a_dead_socket(tmp_path: Path) -> None:
    path = tmp_path / "s"
    listener = ListenerSettings(kind="unix", address=str(path))
    for _ in range(2):
        async with running(listener) as one:
            assert path.stat().st_mode & 0o777 == 0o600
            reader, writer = await asyncio.open_unix_connection(str(path))
            assert (await ask(reader, writer))[0] == 200
            await closed(writer)
            assert one.core.seen[0].remote_address == ""
            stale = tmp_path / "stale"
            with contextlib.suppress(FileExistsError):
                os.link(path, stale)
        stale.rename(path)


@on_both_loops
async def test_a_thousand_idle_connections_leave_room_for_one_that_works() -> None:
    async with running() as one:
        idle = await asyncio.gather(*(one.connect() for _ in range(1_000)))
        reader, writer = await one.connect()
        for _ in range(20):
            assert (await ask(reader, writer))[0] == 200
        assert len(one.server.connections) == 1_001
        for _, stream in [*idle, (reader, writer)]:
            stream.close()
        for _ in range(1_000):
            if len(one.server.connections) == 0:
                break
            await asyncio.sleep(0.005)
        assert len(one.server.connections) == 0, "a connection that is gone is forgotten"


@on_both_loops
async def test_a_plain_request_to_a_tls_listener_ends_and_the_next_is_served(
    tmp_path: Path,
) -> None:
    pki = make_pki(tmp_path)
    secure = replace(LOOPBACK, tls=TlsSettings(pki.certificate, pki.key))
    async with running(secure) as one:
        reader, writer = await one.connect()
        writer.write(b"GET /v1/kv/a HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" not in await reader.read()
        await closed(writer)
        reader, writer = await one.connect(ssl.create_default_context(cafile=pki.ca))
        assert (await ask(reader, writer))[0] == 200
        await closed(writer)
        assert len(one.core.seen) == 1


@on_both_loops
async def test_the_engines_clockwork_goes_on_after_a_failure(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lifecycle, "TICK_SECONDS", 0.005)
    ticks: list[int] = []
    again = asyncio.Event()

    async def tick(core: FakeCore) -> int:
        ticks.append(1)
        if len(ticks) == 3:
            again.set()
        raise KeyError("a-secret-value") if len(ticks) == 1 else UnreachableError("disk gone")

    monkeypatch.setattr(FakeCore, "tick", tick)
    async with running() as one:
        await asyncio.wait_for(again.wait(), 20)
        assert not one.task.done()
    assert "KeyError at test_lifecycle.py" in caplog.text
    assert "disk gone" in caplog.text
    assert "a-secret-value" not in caplog.text


@on_both_loops
async def test_a_signal_while_it_starts_does_not_end_it_without_a_word() -> None:
    core = FakeCore()
    gate = asyncio.Event()

    async def slow_start() -> None:
        core.life.append("start")
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        await gate.wait()

    core.start = slow_start  # type: ignore[method-assign]
    server = Server(ServerConfig(InmemSettings(), (LOOPBACK,), drain_seconds=0), core)
    task = asyncio.create_task(server.serve(lambda _: None))
    await asyncio.sleep(0.05)
    gate.set()
    assert await task == 0
    assert core.life[0] == "start"
    assert core.life[-1] == "shutdown"


def _silent_client(address: str, ca: Path, body: str) -> ssl.SSLSocket:
    """A TLS connection that has asked for ``body`` to be sent back and reads nothing."""
    host, port = address.rsplit(":", 1)
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.connect((host, int(port)))
    tls = ssl.create_default_context(cafile=ca).wrap_socket(plain, server_hostname=host)
    text = json.dumps({"value": body})
    head = f"PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: {len(text)}\r\n\r\n"
    tls.sendall((head + text).encode())
    return tls


def _drained(client: ssl.SSLSocket) -> bytes:
    parts = []
    with contextlib.suppress(ssl.SSLEOFError, ConnectionResetError):
        while part := client.recv(65536):
            parts.append(part)
            time.sleep(0.0005)
    return b"".join(parts)


@on_both_loops
async def test_an_idle_tls_connection_whose_peer_says_nothing_does_not_hold_up_the_end(
    tmp_path: Path,
) -> None:
    pki = make_pki(tmp_path)
    secure = replace(LOOPBACK, tls=TlsSettings(pki.certificate, pki.key))
    async with running(secure) as one:
        client = await asyncio.to_thread(_silent_client, one.bound[0], pki.ca, "a")
        assert b"200 OK" in await asyncio.to_thread(client.recv, 65536)
        async with asyncio.timeout(60):
            # Reading time and patience without end: only closing it by itself ends this.
            assert await one.server.connections.finish(1e9, 1e9) == 0
        client.close()


@on_both_loops
async def test_an_answer_that_a_tls_client_reads_slowly_arrives_whole_at_the_end(
    tmp_path: Path,
) -> None:
    pki = make_pki(tmp_path)
    secure = replace(LOOPBACK, tls=TlsSettings(pki.certificate, pki.key))
    async with running(secure) as one:
        client = await asyncio.to_thread(_silent_client, one.bound[0], pki.ca, "x" * 12_000_000)
        finishing = asyncio.create_task(one.server.connections.finish(1e9, 1e9))
        received = await asyncio.to_thread(_drained, client)
        head, _, body = received.partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        assert len(body) == length
        assert length > 12_000_000
        client.close()
        async with asyncio.timeout(60):
            assert await finishing == 0
