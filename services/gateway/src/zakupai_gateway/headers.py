"""Which headers cross the gateway, in both directions.

What lives here: hop-by-hop rules, what outside must not say inside, what inside must not say
outside. What never does: I/O, the values of identity headers.
Invariants: nothing that a client sends can pass for the gateway's word, however it is spelled;
credentials end here; no answer names an inner address.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from zakupai_common.web.identity import PREFIX as IDENTITY_PREFIX

RawHeaders = Iterable[tuple[bytes, bytes]]
_IDENTITY = IDENTITY_PREFIX.encode()
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""RFC 9110 section 7.6.1, and those that older programs treat so."""
_ENDS_HERE = HOP_BY_HOP | {
    b"authorization",
    b"expect",  # answered by our own server
    b"forwarded",
    b"host",
    b"http2-settings",
    b"x-api-key",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-port",
    b"x-forwarded-prefix",
    b"x-forwarded-proto",
    b"x-original-url",
    b"x-real-ip",
    b"x-request-id",  # the checked one is set anew
    b"x-rewrite-url",
}
_OURS_TO_SAY = HOP_BY_HOP | {
    b"date",
    b"server",
    b"x-powered-by",
    b"x-request-id",
    b"ratelimit-limit",
    b"ratelimit-remaining",
    b"ratelimit-reset",
}


class HeaderRefusedError(ValueError):
    """A header that cannot be handed on as it is."""


def to_service(headers: RawHeaders) -> list[tuple[str, str]]:
    """What of a client's headers the service sees. Raises HeaderRefusedError."""
    headers = list(headers)
    named = _named_by_connection(headers)
    dropped = _ENDS_HERE | named if named else _ENDS_HERE
    kept = []
    for name, value in headers:
        # Some servers read an underscore as a hyphen.
        spelled = name.replace(b"_", b"-") if b"_" in name else name
        if spelled not in dropped and not spelled.startswith(_IDENTITY):
            kept.append((name.decode("latin-1"), _text(value)))
    return kept


@dataclass(frozen=True, slots=True)
class Places:
    """Where a service is, and where clients think it is."""

    address: bytes
    """``http://host:port``"""
    prefix: bytes
    """What its own paths begin with."""
    outer: bytes
    """What stands for address and prefix outside."""


def to_client(headers: RawHeaders, places: Places) -> list[tuple[bytes, bytes]]:
    """What of a service's headers the client sees, names in lower case.

    A redirect to the service's own address is told as one to where clients know it.
    """
    headers = [(name.lower(), value) for name, value in headers]
    named = _named_by_connection(headers)
    dropped = _OURS_TO_SAY | named if named else _OURS_TO_SAY
    kept = []
    for name, value in headers:
        if name in dropped or name.startswith(_IDENTITY):
            continue
        if name in (b"location", b"content-location"):
            value = _outside(value, places)
        kept.append((name, value))
    return kept


def _outside(value: bytes, places: Places) -> bytes:
    for address in (places.address, places.address.partition(b":")[2]):  # //host:port/… is one too
        rest = value[len(address) :]
        if value.startswith(address) and rest[:1] in (b"", b"/", b"?", b"#"):
            value = rest or b"/"
            break
    if value.startswith(b"/") and not value.startswith(b"//"):
        return places.outer + value.removeprefix(places.prefix)
    return value


def _named_by_connection(headers: list[tuple[bytes, bytes]]) -> set[bytes]:
    """The names that ``Connection`` makes hop-by-hop; the length of a body is never one."""
    named: set[bytes] = set()
    for name, value in headers:
        if name == b"connection" and value.lower() not in (b"keep-alive", b"close"):
            named.update(part.strip().lower() for part in value.split(b","))
    named.discard(b"content-length")
    named.discard(b"content-type")
    return named


def _text(value: bytes) -> str:
    """The client library writes UTF-8, so what is none would change on its way."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise HeaderRefusedError("a header is no UTF-8") from None
