"""Where a request comes from, as far as it can be believed.

What lives here: the address that limits are counted by. What never does: I/O.
Invariant: ``X-Forwarded-For`` counts only from a declared proxy, and only its last entry that is
none of these proxies; an IPv6 client is its /64, because it owns all of it.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
UNKNOWN = "unknown"


def networks(text: str) -> tuple[Network, ...]:
    """Of a list with commas. Raises ValueError."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def client_address(peer: str, forwarded: Sequence[bytes], trusted: tuple[Network, ...]) -> str:
    """``peer`` is who is connected, ``forwarded`` the values of X-Forwarded-For as they came."""
    if not trusted or not forwarded:
        return _group(peer)
    if not within(peer, trusted):
        return _group(peer)
    hops = [part.strip() for value in forwarded for part in value.split(b",")]
    nearest = peer
    for hop in reversed(hops):
        text = hop.decode("latin-1")
        if _parse(text) is None:
            break  # what stands before a lie is no better
        nearest = text
        if not within(text, trusted):
            break
    return _group(nearest)


@lru_cache(maxsize=4096)
def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def within(text: str, trusted: tuple[Network, ...]) -> bool:
    """The address is in one of these networks; what is no address never is."""
    address = _parse(text)
    return address is not None and any(address in network for network in trusted)


@lru_cache(maxsize=4096)
def _group(text: str) -> str:
    address = _parse(text)
    if isinstance(address, IPv6Address):
        return str(ip_network((int(address) >> 64 << 64, 64)))
    return str(address) if address else UNKNOWN
