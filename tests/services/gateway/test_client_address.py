"""The address that limits are counted by cannot be chosen by a client."""

import pytest

from zakupai_gateway.client_address import client_address, networks

PROXIES = networks("10.0.0.0/8, fd00::/8")


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.5", [], "203.0.113.5"),
        ("203.0.113.5", [b"1.1.1.1"], "203.0.113.5"),
        ("10.0.0.1", [b"198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", [b"6.6.6.6, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", [b"6.6.6.6", b"198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", [b"198.51.100.7, 10.0.0.2"], "198.51.100.7"),
        ("10.0.0.1", [b"198.51.100.7, nonsense"], "10.0.0.1"),
        ("10.0.0.1", [b"nonsense, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", [b""], "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", [], "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", [], "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.5", [], "203.0.113.5"),
        ("fe80::1%eth0", [], "fe80::/64"),
        ("", [], "unknown"),
    ],
)
def test_the_last_address_that_no_proxy_of_ours_has_counts(
    peer: str, forwarded: list[bytes], address: str
) -> None:
    assert client_address(peer, forwarded, PROXIES) == address


def test_without_declared_proxies_the_header_is_never_read() -> None:
    assert client_address("10.0.0.1", [b"198.51.100.7"], ()) == "10.0.0.1"
