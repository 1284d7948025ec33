"""Records to the machine's syslog: one message a record, and an error when nobody takes it."""

import re
import socket
from contextlib import closing
from pathlib import Path

import pytest

from zvault.engine.audit.device import AuditWriteError
from zvault.engine.audit.options import SyslogOptions
from zvault.engine.audit.syslog_device import SyslogDevice

MESSAGE = re.compile(rb"<134>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d me\[\d+\]: (.*)", re.DOTALL)


def bound(place: Path, kind: socket.SocketKind) -> socket.socket:
    syslog = socket.socket(socket.AF_UNIX, kind)
    syslog.bind(str(place))
    syslog.settimeout(5)
    return syslog


def test_a_record_is_one_message_of_the_facility_and_the_tag(tmp_path: Path) -> None:
    place = tmp_path / "log"
    device = SyslogDevice(SyslogOptions("LOCAL0", "me"), [str(tmp_path / "absent"), str(place)])
    with closing(bound(place, socket.SOCK_DGRAM)) as syslog:
        device.write(b'{"a":1}\n{"b":2}\n')
        bodies = []
        for _ in range(2):
            match = MESSAGE.fullmatch(syslog.recv(1000))
            assert match is not None
            bodies.append(match.group(1))
        assert bodies == [b'{"a":1}', b'{"b":2}']
    device.close()


def test_a_syslog_that_takes_streams_gets_a_line_feed_after_each(tmp_path: Path) -> None:
    place = tmp_path / "log"
    device = SyslogDevice(SyslogOptions("LOCAL0", "me"), [str(place)])
    with closing(bound(place, socket.SOCK_STREAM)) as syslog:
        syslog.listen()
        device.write(b"one\ntwo\n")
        connection, _ = syslog.accept()
        with closing(connection):
            device.close()
            lines = connection.makefile("rb").read().splitlines()
        assert [line.rpartition(b": ")[2] for line in lines] == [b"one", b"two"]


def test_a_restarted_syslog_is_found_again_and_none_is_an_error(tmp_path: Path) -> None:
    place = tmp_path / "log"
    device = SyslogDevice(SyslogOptions("LOCAL0", "me"), [str(place)])
    with closing(bound(place, socket.SOCK_DGRAM)):
        device.open()
    place.unlink()
    with pytest.raises(AuditWriteError, match="no local syslog"):
        device.write(b"lost?\n")
    with closing(bound(place, socket.SOCK_DGRAM)) as syslog:
        device.write(b"found\n")
        assert syslog.recv(1000).endswith(b": found")
    device.close()
