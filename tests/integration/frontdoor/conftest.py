"""A front door before two slots of a real OpenBao on one store."""

import base64
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.certificates import TestPki, make_pki
from tests.support.golden import Golden, unpack
from tests.support.openbao import OpenBao
from tests.support.real import free_port, require
from zvault.ops.frontdoor.door import FrontDoor
from zvault.ops.frontdoor.settings import FrontDoorSettings


@dataclass
class House:
    """The door and what is behind it; nothing is started."""

    door: FrontDoor
    slot_a: OpenBao
    slot_b: OpenBao
    golden: Golden
    pki: TestPki

    @property
    def token(self) -> str:
        return str(self.golden.expected["root_token"])

    def unseal(self, server: OpenBao) -> None:
        for share in self.golden.expected["shares"][: self.golden.expected["threshold"]]:
            key = base64.b64decode(share).hex()
            status, body = server.request("PUT", "sys/unseal", {"key": key})
            assert status == 200, body
        deadline = time.monotonic() + 10
        while server.request("GET", "sys/health")[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def free_ports(count: int) -> list[int]:
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return list(ports)


@pytest.fixture
def settings(tmp_path: Path) -> FrontDoorSettings:
    pki = make_pki(tmp_path / "tls")
    ports = free_ports(4)
    return FrontDoorSettings(
        run_dir=tmp_path / "run",
        address_file=tmp_path / "address",
        plaintext_listen=f"127.0.0.1:{ports[0]}",
        tls_listen=f"127.0.0.1:{ports[1]}",
        certificate_file=pki.certificate,
        key_file=pki.key,
        ca_file=pki.ca,
        plain_upstream=f"127.0.0.1:{ports[2]}",
        tls_upstream=f"127.0.0.1:{ports[3]}",
        caddy=require("caddy"),
    )


@pytest.fixture
def door(settings: FrontDoorSettings) -> Iterator[FrontDoor]:
    door = FrontDoor(settings)
    yield door
    door.stop()


@pytest.fixture
def house(tmp_path: Path, door: FrontDoor, settings: FrontDoorSettings) -> Iterator[House]:
    golden = unpack("openbao-file", tmp_path)
    pki = TestPki(settings.ca_file, settings.certificate_file, settings.key_file)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    slot_a = OpenBao(tmp_path / "a", golden.data, int(settings.plain_upstream.split(":")[1]))
    slot_b = OpenBao(
        tmp_path / "b",
        golden.data,
        int(settings.tls_upstream.split(":")[1]),
        tls_cert=pki.certificate,
        tls_key=pki.key,
    )
    os.environ["SSL_CERT_FILE"] = str(pki.ca)
    try:
        yield House(door, slot_a, slot_b, golden, pki)
    finally:
        del os.environ["SSL_CERT_FILE"]
        slot_a.kill()
        slot_b.kill()
