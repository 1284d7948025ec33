"""Who owns the other end of a loopback connection, by the kernel's own table.

What lives here: the reading of ``/proc/net/tcp`` and ``tcp6`` as text. What never does: a file
opened, a socket.
Source: proc_net(5) and the kernel's Documentation/networking/proc_net_tcp.rst: addresses are
32-bit words in the machine's byte order, written as hex; ``inode`` is 0 (and ``uid`` 0 on older
kernels) until the connection was accepted, so a row without inode says nothing about an owner.
"""

import ipaddress
import sys
from collections.abc import Iterable
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Endpoint = tuple[Address, int]

_LOCAL, _REMOTE, _UID, _INODE = 1, 2, 7, 9


@dataclass(frozen=True, slots=True)
class SocketOwner:
    """The user and the inode of an accepted socket."""

    uid: int
    inode: int


def endpoint(host: str, port: int) -> Endpoint:
    """An address as Python's socket module gives it; IPv4 inside IPv6 is IPv4."""
    return _plain(ipaddress.ip_address(host.partition("%")[0])), port


def owner_of(table: Iterable[str], near: Endpoint, far: Endpoint) -> SocketOwner | None:
    """The owner of the socket at ``far`` that is connected to ``near``; None: not accepted yet."""
    for line in table:
        fields = line.split()
        if len(fields) <= _INODE or not fields[_INODE].isdecimal():
            continue
        inode = int(fields[_INODE])
        if inode and _parse(fields[_LOCAL]) == far and _parse(fields[_REMOTE]) == near:
            return SocketOwner(int(fields[_UID]), inode)
    return None


def _parse(text: str) -> Endpoint | None:
    words, _, port = text.partition(":")
    try:
        raw = bytes.fromhex(words)
        if len(raw) not in (4, 16):
            return None
        if sys.byteorder == "little":
            raw = b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4))
        return _plain(ipaddress.ip_address(raw)), int(port, 16)
    except ValueError:
        return None


def _plain(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
