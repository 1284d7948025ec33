"""Where an attachment may be fetched from; pure.

What lives here: the list of allowed hosts, and the check of one URL. What never does: a look-up.
Invariant: what is checked is the very object that the HTTP client gets, so the two cannot read one
text differently.
"""

import ipaddress
import re
from collections.abc import Set as AbstractSet

from yarl import URL

HTTPS_PORT = 443
LONGEST_URL = 2000
_HOST = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9-]*[a-z][a-z0-9-]*"
)
"""Its last part has a letter. What some resolvers read as an address all the same (``0x7f000001``)
is refused for the address that they find."""

Hosts = AbstractSet[tuple[str, int]]


class TargetError(Exception):
    """Nothing is fetched from there. ``status`` is that of the answer."""

    def __init__(self, status: int, slug: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.slug = slug


def read_hosts(text: str) -> Hosts:
    """``a.example.kz, b.example.kz:8443`` as a set. Raises ValueError naming what is no host."""
    found = set()
    for entry in filter(None, (part.strip() for part in text.split(","))):
        host, colon, port = entry.partition(":")
        number = port if colon else str(HTTPS_PORT)
        good = number.isascii() and number.isdigit() and 0 < int(number) < 65536
        if not (_HOST.fullmatch(host) and good):
            raise ValueError(f"{entry!r} is no HOST or HOST:PORT (a name, lower case)")
        found.add((host, int(number)))
    return frozenset(found)


def decide_target(url: URL, hosts: Hosts) -> URL:
    """The URL to ask, without its fragment. Raises TargetError."""
    if len(str(url)) > LONGEST_URL:
        raise TargetError(422, "url-refused", f"it is longer than {LONGEST_URL} characters")
    if url.scheme != "https":
        raise TargetError(422, "url-refused", "only https is asked")
    if url.user is not None or url.password is not None:
        raise TargetError(422, "url-refused", "a name or password in a URL goes nowhere")
    host = url.raw_host or ""
    if _is_address(host):
        raise TargetError(422, "url-refused", "it names an address, not a host")
    if (host, url.port) not in hosts:
        raise TargetError(403, "host-not-allowed", "nothing is fetched from this host")
    return url.with_fragment(None)


def read_url(text: str) -> URL:
    """The URL that a client or a redirect names. Raises TargetError."""
    try:
        url = URL(text)
        _ = url.port  # read only when it is asked for
    except ValueError:
        raise TargetError(422, "url-refused", "it is no URL") from None
    return url


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0].strip("[]"))
    except ValueError:
        return False
    return True
