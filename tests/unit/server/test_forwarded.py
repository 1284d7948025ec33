"""Whose address a request carries."""

from ipaddress import ip_network

import pytest

from zvault.engine.errors import InvalidRequestError
from zvault.server.forwarded import ForwardedForPolicy, decide_client_address

PROXY = ForwardedForPolicy(authorized=(ip_network("127.0.0.0/8"), ip_network("::1")))


def test_without_authorised_proxies_the_header_is_not_believed() -> None:
    assert decide_client_address(ForwardedForPolicy(), "10.1.1.1", [b"6.6.6.6"]) == "10.1.1.1"


def test_the_proxys_word_is_taken_and_the_last_hop_counts() -> None:
    assert decide_client_address(PROXY, "127.0.0.1", [b"1.1.1.1"]) == "1.1.1.1"
    assert decide_client_address(PROXY, "127.0.0.1", [b"6.6.6.6, 1.1.1.1"]) == "1.1.1.1"
    assert decide_client_address(PROXY, "::1", [b"6.6.6.6", b"2001:db8::1"]) == "2001:db8::1"


def test_hops_are_skipped_from_the_right() -> None:
    policy = ForwardedForPolicy(PROXY.authorized, hop_skips=1)
    assert decide_client_address(policy, "127.0.0.1", [b"1.1.1.1, 2.2.2.2"]) == "1.1.1.1"
    with pytest.raises(InvalidRequestError):
        decide_client_address(policy, "127.0.0.1", [b"1.1.1.1"])


def test_a_stranger_with_the_header_is_refused_or_taken_for_himself() -> None:
    with pytest.raises(InvalidRequestError, match="not authorized"):
        decide_client_address(PROXY, "10.1.1.1", [b"1.1.1.1"])
    lenient = ForwardedForPolicy(PROXY.authorized, reject_not_authorized=False)
    assert decide_client_address(lenient, "10.1.1.1", [b"1.1.1.1"]) == "10.1.1.1"


def test_a_missing_header_is_refused_or_the_peer_counts() -> None:
    with pytest.raises(InvalidRequestError, match="missing x-forwarded-for"):
        decide_client_address(PROXY, "127.0.0.1", [])
    lenient = ForwardedForPolicy(PROXY.authorized, reject_not_present=False)
    assert decide_client_address(lenient, "127.0.0.1", []) == "127.0.0.1"


@pytest.mark.parametrize("header", [b"", b"nobody", b"1.1.1.1:80", b"\xff"])
def test_a_header_that_is_no_address_is_refused(header: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="malformed"):
        decide_client_address(PROXY, "127.0.0.1", [header])
