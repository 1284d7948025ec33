"""A front door before two slots of a real OpenBao on one golden store."""

import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from launcher.ports import free_ports
from tests.support.certificates import TestPki, make_pki
from tests.support.golden import Golden, unpack
from tests.support.openbao import OpenBao
from tests.support.real import require
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


def door_settings(place: Path, pki: TestPki) -> FrontDoorSettings:
    """A front door of its own below ``place``."""
    ports = free_ports(4)
    return FrontDoorSettings(
        run_dir=place / "run",
        address_file=place / "address",
        plaintext_listen=f"127.0.0.1:{ports[0]}",
        tls_listen=f"127.0.0.1:{ports[1]}",
        certificate_file=pki.certificate,
        key_file=pki.key,
        ca_file=pki.ca,
        plain_upstream=f"127.0.0.1:{ports[2]}",
        tls_upstream=f"127.0.0.1:{ports[3]}",
        caddy=require("caddy"),
    )


@contextmanager
def house(place: Path) -> Iterator[House]:
    """Everything in place, nothing started; whatever was started is stopped at the end."""
    pki = make_pki(place / "tls")
    settings = door_settings(place, pki)
    golden = unpack("openbao-file", place)
    for slot in ("a", "b"):
        (place / slot).mkdir()
    slot_a = OpenBao(place / "a", golden.data, int(settings.plain_upstream.split(":")[1]))
    slot_b = OpenBao(
        place / "b",
        golden.data,
        int(settings.tls_upstream.split(":")[1]),
        tls_cert=pki.certificate,
        tls_key=pki.key,
    )
    door = FrontDoor(settings)
    try:
        yield House(door, slot_a, slot_b, golden, pki)
    finally:
        door.stop()
        slot_a.kill()
        slot_b.kill()
