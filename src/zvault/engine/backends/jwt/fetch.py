"""JSON from the issuer's server: one GET, within limits.

What lives here: a blocking request for a thread of its own. What never does: which keys are
trusted.
Invariants: it is cut off after ``TIMEOUT_SECONDS``, however slowly bytes drip; no more than
``MAX_BODY_BYTES`` are read; redirects, proxies and other schemes than http and https are not
followed; with a CA given only that CA counts.
"""

import contextlib
import http.client
import socket
import ssl
import threading
from typing import Any
from urllib.parse import urlsplit

from zvault.base.errors import UnreachableError
from zvault.records import gojson
from zvault.records.errors import RecordError

TIMEOUT_SECONDS = 10.0
MAX_BODY_BYTES = 1 << 20


class FetchError(UnreachableError):
    """The issuer's server did not give what was asked for."""

    code = "issuer-fetch"


def check_ca(ca_pem: str) -> None:
    """Raises FetchError for text that is no CA certificate."""
    try:
        _context(ca_pem)
    except (ssl.SSLError, ValueError):
        raise FetchError("the CA is no certificate in PEM form") from None


def _context(ca_pem: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=ca_pem or None)
    # A private CA that other servers take need not follow every letter of RFC 5280.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def fetch_json(url: str, ca_pem: str) -> dict[str, Any]:
    """The JSON object at ``url``. Blocks. Raises FetchError."""
    try:
        body = _get(url, ca_pem)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise FetchError(f"the issuer's server cannot be asked: {type(error).__name__}") from None
    try:
        return gojson.loads_object(body)
    except RecordError:
        raise FetchError("the issuer's server gave no JSON object") from None


def _get(url: str, ca_pem: str) -> bytes:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(url)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=TIMEOUT_SECONDS, context=_context(ca_pem)
        )
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_SECONDS)
    guard = threading.Timer(TIMEOUT_SECONDS, _cut, [connection])
    guard.daemon = True
    guard.start()
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", target, headers={"Accept": "application/json"})
        with connection.getresponse() as answer:
            if answer.status != 200:
                raise FetchError(f"the issuer's server answered {answer.status}")
            body = answer.read(MAX_BODY_BYTES + 1)
        if len(body) > MAX_BODY_BYTES:
            raise FetchError("the issuer's server gave too much")
        return body
    finally:
        guard.cancel()
        connection.close()


def _cut(connection: http.client.HTTPConnection) -> None:
    """End a connection that another thread waits on."""
    with contextlib.suppress(OSError, AttributeError):
        connection.sock.shutdown(socket.SHUT_RDWR)
