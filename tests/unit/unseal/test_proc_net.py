"""The kernel's table of connections, as text."""

import pytest

from zvault.ops.unseal.proc_net import SocketOwner, endpoint, owner_of

NEAR, FAR = endpoint("127.0.0.1", 0xD3C2), endpoint("127.0.0.1", 0x1F90)
SERVER = (
    "   1: 0100007F:1F90 0100007F:D3C2 01 00000000:00000000 00:00000000 00000000"
    "  1000        0 424242 1 0000000000000000 20 4 30 10 -1"
)
CLIENT = SERVER.replace("0100007F:1F90 0100007F:D3C2", "0100007F:D3C2 0100007F:1F90")
LISTENER = SERVER.replace("0100007F:D3C2 01", "00000000:0000 0A")
NOT_ACCEPTED = SERVER.replace("  1000        0 424242", "     0        0 0")
MAPPED = SERVER.replace(
    "0100007F:1F90 0100007F:D3C2",
    "0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF00000100007F:D3C2",
)


def test_the_servers_end_of_the_connection_names_its_owner() -> None:
    assert owner_of([CLIENT, LISTENER, SERVER], NEAR, FAR) == SocketOwner(1000, 424242)


def test_a_listener_on_the_same_port_is_not_the_connection() -> None:
    assert owner_of([LISTENER, CLIENT], NEAR, FAR) is None


def test_a_connection_nobody_accepted_has_no_owner_whatever_uid_it_shows() -> None:
    assert owner_of([NOT_ACCEPTED], NEAR, FAR) is None


def test_ipv4_inside_ipv6_is_the_same_connection() -> None:
    assert owner_of([MAPPED], NEAR, FAR) == SocketOwner(1000, 424242)


def test_ipv6_loopback_is_found() -> None:
    row = SERVER.replace(
        "0100007F:1F90 0100007F:D3C2",
        "00000000000000000000000001000000:1F90 00000000000000000000000001000000:D3C2",
    )
    assert owner_of([row], endpoint("::1", 0xD3C2), endpoint("::1", 0x1F90)) is not None


@pytest.mark.parametrize("row", ["", "garbage", "a b c d e f g h i j", SERVER[:60]])
def test_rows_of_another_shape_are_nobody(row: str) -> None:
    assert owner_of([row], NEAR, FAR) is None
