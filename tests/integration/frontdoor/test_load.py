"""A client's load through the door while a real server goes away and comes back."""

import time
from collections.abc import Iterator

import pytest

from tests.support.house import House
from tests.support.steady_load import SteadyLoad, steady_load
from zvault.ops.frontdoor.door import FrontDoor

PLACE = "zakupai/data/steady"
THREADS = 8


def await_quiet_plaintext(door: FrontDoor) -> None:
    """Until no plaintext request came for half a second."""
    deadline = time.monotonic() + 10
    seen, since = door.observe().plaintext.seen, time.monotonic()
    while time.monotonic() - since < 0.5:
        assert time.monotonic() < deadline
        counts = door.observe().plaintext
        if counts.seen != seen or counts.active:
            seen, since = counts.seen, time.monotonic()


@pytest.fixture
def running(house: House) -> Iterator[tuple[House, SteadyLoad]]:
    """The door open, slot A unsealed, load on."""
    house.slot_a.start()
    house.unseal(house.slot_a)
    house.door.start()
    house.door.write_address_file(house.door.settings.plaintext_url)
    with steady_load(
        house.door.settings.address_file,
        house.token,
        PLACE,
        threads=THREADS,
        ca_file=house.pki.ca,
    ) as load:
        time.sleep(0.5)
        yield house, load
        time.sleep(0.5)
    assert not load.failed, load.failed[:5]
    assert len(load.calls) > 100


def test_no_request_fails_while_the_server_restarts(running: tuple[House, SteadyLoad]) -> None:
    house, load = running
    house.slot_a.stop()
    time.sleep(1.0)
    house.slot_a.start()
    time.sleep(0.5)
    house.unseal(house.slot_a)
    time.sleep(0.5)
    assert load.longest_seconds > 1.4


def test_no_request_fails_while_the_server_is_killed_and_comes_back_sealed(
    running: tuple[House, SteadyLoad],
) -> None:
    house, load = running
    house.slot_a.kill()
    time.sleep(0.5)
    house.slot_a.start()
    time.sleep(0.5)
    house.unseal(house.slot_a)
    time.sleep(0.5)
    assert load.version_steps() <= THREADS


def test_no_request_fails_while_the_server_is_sealed_for_a_second(
    running: tuple[House, SteadyLoad],
) -> None:
    house, load = running
    status, body = house.slot_a.request("PUT", "sys/seal", token=house.token)
    assert status == 204, body
    time.sleep(1.0)
    house.unseal(house.slot_a)
    time.sleep(0.5)
    assert load.longest_seconds > 0.9


def test_the_load_moves_from_the_plain_server_to_the_tls_server_and_to_https(
    running: tuple[House, SteadyLoad],
) -> None:
    house, load = running
    house.slot_a.stop()
    house.slot_b.start()
    house.unseal(house.slot_b)
    house.door.write_address_file(house.door.settings.tls_url)
    await_quiet_plaintext(house.door)
    house.door.allow_plaintext(False)
    before = house.door.observe().plaintext.seen
    done = len(load.calls)
    time.sleep(0.5)
    assert house.door.observe().plaintext.seen == before
    assert len(load.calls) > done
    house.door.allow_plaintext(True)
    house.door.write_address_file(house.door.settings.plaintext_url)
    time.sleep(0.3)
    assert house.door.observe().plaintext.seen > before
