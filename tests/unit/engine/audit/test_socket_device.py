"""Records to a collector: whole lines, again on a new connection, and no hanging on a dead one."""

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from zvault.base.clock import ManualClock
from zvault.engine.audit.device import AuditWriteError
from zvault.engine.audit.options import SocketOptions
from zvault.engine.audit.socket_device import REST_SECONDS, SocketDevice


@pytest.fixture
def collector() -> Iterator[socket.socket]:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        listening.settimeout(5)
        yield listening


def device(collector: socket.socket, clock: ManualClock | None = None) -> SocketDevice:
    port = collector.getsockname()[1]
    now = (clock or ManualClock()).monotonic
    return SocketDevice(SocketOptions(f"127.0.0.1:{port}"), now)


def accepted(collector: socket.socket) -> socket.socket:
    connection, _ = collector.accept()
    connection.settimeout(5)
    return connection


def test_lines_arrive_as_they_are(collector: socket.socket) -> None:
    audit = device(collector)
    audit.open()
    with closing(accepted(collector)) as connection:
        audit.write(b"one\ntwo\n")
        audit.write(b"three\n")
        audit.close()
        assert connection.makefile("rb").read() == b"one\ntwo\nthree\n"


def test_a_collector_that_was_restarted_gets_every_line_that_was_acknowledged(
    collector: socket.socket,
) -> None:
    audit = device(collector)
    audit.open()
    accepted(collector).close()
    audit.write(b"after\n")
    with closing(accepted(collector)) as connection:
        audit.close()
        assert connection.makefile("rb").read() == b"after\n"


def test_a_dead_collector_is_an_error_at_once_and_is_asked_again_later() -> None:
    clock = ManualClock()
    with closing(socket.create_server(("127.0.0.1", 0))) as collector:
        port = collector.getsockname()[1]
        audit = device(collector, clock)
    with pytest.raises(AuditWriteError, match="refused"):
        audit.write(b"x\n")
    with closing(socket.create_server(("127.0.0.1", port))) as collector:
        with pytest.raises(AuditWriteError, match="a moment ago"):
            audit.write(b"x\n")
        clock.advance(REST_SECONDS)
        audit.write(b"y\n")
        with closing(accepted(collector)) as connection:
            audit.close()
            assert connection.makefile("rb").read() == b"y\n"


def test_reopening_keeps_the_old_connection_when_there_is_no_new_one() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as collector:
        audit = device(collector)
        audit.open()
        connection = accepted(collector)
    with pytest.raises(AuditWriteError):
        audit.reopen()
    audit.write(b"still\n")
    assert connection.recv(100) == b"still\n"
    audit.close()
    connection.close()


def test_a_datagram_is_one_record() -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(5)
        port = collector.getsockname()[1]
        audit = SocketDevice(SocketOptions(f"127.0.0.1:{port}", "udp"), ManualClock().monotonic)
        audit.write(b"one\ntwo\n")
        assert [collector.recv(100), collector.recv(100)] == [b"one\n", b"two\n"]
        audit.close()


def test_a_unix_socket_is_one_too(tmp_path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as collector:
        place = str(tmp_path / "s")
        collector.bind(place)
        collector.listen()
        audit = SocketDevice(SocketOptions(place, "unix"), ManualClock().monotonic)
        audit.write(b"one\n")
        with closing(accepted(collector)) as connection:
            audit.close()
            assert connection.makefile("rb").read() == b"one\n"


def test_a_collector_that_reads_nothing_is_an_error_and_not_a_hung_server(
    collector: socket.socket,
) -> None:
    port = collector.getsockname()[1]
    options = SocketOptions(f"127.0.0.1:{port}", "tcp", 0.05)
    audit = SocketDevice(options, ManualClock().monotonic)
    with pytest.raises(AuditWriteError):
        audit.write(b"x" * 50_000_000 + b"\n")
    audit.close()
