"""Network blocks that bind AppRole logins and tokens.

What lives here: parsing, containment. Pure.
"""

import ipaddress
from collections.abc import Sequence

from zvault.engine.errors import InvalidRequestError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def check_blocks(blocks: Sequence[str]) -> None:
    """Raises InvalidRequestError for anything that is not ``address/bits``."""
    for block in blocks:
        try:
            if "/" not in block:
                raise ValueError(block)
            ipaddress.ip_network(block, strict=False)
        except ValueError:
            raise InvalidRequestError(
                f"failed to validate CIDR blocks: invalid CIDR address: {block}"
            ) from None


def token_blocks(blocks: Sequence[str]) -> tuple[str, ...]:
    """Addresses or blocks as the token stores them: a single address without its bits.

    Raises InvalidRequestError.
    """
    return tuple(_token_block(block) for block in blocks)


def _token_block(block: str) -> str:
    try:
        network = ipaddress.ip_network(block, strict=False)
    except ValueError:
        raise InvalidRequestError(
            f'error parsing address "{block}": Unable to convert "{block}" to an IPv4 or IPv6 '
            "address, or a UNIX Socket"
        ) from None
    return block.partition("/")[0] if network.num_addresses == 1 else block


def is_subset(inner: Sequence[str], outer: Sequence[str]) -> bool:
    """Every block of ``inner`` lies in one of ``outer``; an empty ``outer`` holds everything."""
    if not outer:
        return True
    wide = [ipaddress.ip_network(block, strict=False) for block in outer]
    return all(
        any(_holds(network, ipaddress.ip_network(block, strict=False)) for network in wide)
        for block in inner
    )


def admits(blocks: Sequence[str], address: str) -> bool:
    """``address`` lies in one of ``blocks``; no blocks admit everyone."""
    if not blocks:
        return True
    try:
        here = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(here, ipaddress.IPv6Address) and here.ipv4_mapped is not None:
        here = here.ipv4_mapped
    return any(here in ipaddress.ip_network(block, strict=False) for block in blocks)


def _holds(outer: Network, inner: Network) -> bool:
    if isinstance(outer, ipaddress.IPv4Network):
        return isinstance(inner, ipaddress.IPv4Network) and inner.subnet_of(outer)
    return isinstance(inner, ipaddress.IPv6Network) and inner.subnet_of(outer)
