"""The connections of the client: nothing is sent before the other end was looked at.

What lives here: a requests session that takes nothing from the environment (no proxy, no CA
bundle, no .netrc), follows no redirect, never sends a request twice, and calls a guard on every
new connection after it is made and before the first byte of a request. What never does: Vault's
paths.
Invariant: a guard that raises means that no byte of a request left.
"""

import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

ConnectionGuard = Callable[[socket.socket], None]
"""Looks at a connected socket (TLS done, when there is TLS) and raises when it is not trusted."""


def trust_nothing(connection: socket.socket) -> None:
    """The guard of calls that carry no secret: every connection will do."""


class _PlainConnection(HTTPConnection):
    guard: ConnectionGuard

    def connect(self) -> None:
        super().connect()
        _look_at(self)


class _TlsConnection(HTTPSConnection):
    guard: ConnectionGuard
    pinned: bool

    def connect(self) -> None:
        super().connect()
        _look_at(self)
        if self.pinned:
            self.is_verified = True


def _look_at(connection: _PlainConnection | _TlsConnection) -> None:
    try:
        if connection.sock is not None:
            type(connection).guard(connection.sock)
    except BaseException:
        connection.close()
        raise


class _GuardedAdapter(HTTPAdapter):
    """An adapter whose pools make guarded connections."""

    def __init__(
        self, guard: ConnectionGuard, context: ssl.SSLContext | None, pinned: bool
    ) -> None:
        self._guard, self._context, self._pinned = guard, context, pinned
        super().__init__(max_retries=0)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        if self._context is not None:
            options["ssl_context"] = self._context
            if self._pinned:
                options["assert_hostname"] = False
        super().init_poolmanager(*arguments, **options)
        guard = staticmethod(self._guard)
        plain = type("Plain", (_PlainConnection,), {"guard": guard})
        tls = type("Tls", (_TlsConnection,), {"guard": guard, "pinned": self._pinned})
        self.poolmanager.pool_classes_by_scheme = {
            "http": type("PlainPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("TlsPool", (HTTPSConnectionPool,), {"ConnectionCls": tls}),
        }

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """The context decides; requests would put its own bundle over it."""


def open_session(
    *, ca_file: Path | None, guard: ConnectionGuard, pinned: bool = False
) -> requests.Session:
    """A session that trusts ``ca_file`` alone (the system's bundle when None).

    ``pinned`` leaves the judgement on the certificate to the guard. Raises OSError or
    ssl.SSLError when ``ca_file`` cannot be read.
    """
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if pinned:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    session = requests.Session()
    session.trust_env = False
    session.verify = not pinned
    session.max_redirects = 1
    adapter = _GuardedAdapter(guard, context, pinned)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session
