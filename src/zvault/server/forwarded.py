"""Whose address a request carries when it came through a proxy.

What lives here: the decision from peer, ``X-Forwarded-For`` and the listener's trust; pure. What
never does: sockets.
Invariant: without authorised proxies in the configuration the header is never believed.
Source: Vault's listener options ``x_forwarded_for_*``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address

from zvault.engine.errors import InvalidRequestError


@dataclass(frozen=True, slots=True)
class ForwardedForPolicy:
    """The listener's words; no addresses: the header is ignored."""

    authorized: Sequence[IPv4Network | IPv6Network] = ()
    hop_skips: int = 0
    reject_not_present: bool = True
    reject_not_authorized: bool = True


def decide_client_address(policy: ForwardedForPolicy, peer: str, headers: Sequence[bytes]) -> str:
    """The address to record and to check CIDRs against. Raises InvalidRequestError."""
    if not policy.authorized:
        return peer
    if not headers:
        if policy.reject_not_present:
            raise InvalidRequestError(
                "missing x-forwarded-for header and configured to reject when not present"
            )
        return peer
    if not _is_authorized(policy, peer):
        if policy.reject_not_authorized:
            raise InvalidRequestError(
                "client address not authorized for x-forwarded-for and configured to reject "
                "connection"
            )
        return peer
    hops = [hop.strip() for value in headers for hop in value.decode("latin-1").split(",")]
    index = len(hops) - 1 - policy.hop_skips
    if index < 0:
        raise InvalidRequestError(
            "malformed x-forwarded-for configuration or request: hops to skip exceed the "
            "addresses given"
        )
    try:
        return str(ip_address(hops[index].strip("[]")))
    except ValueError:
        raise InvalidRequestError("malformed x-forwarded-for header") from None


def _is_authorized(policy: ForwardedForPolicy, peer: str) -> bool:
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    return any(address in network for network in policy.authorized)
