"""Metrics on a port of their own.

What lives here: the lifetime that serves an app's registry with prometheus_client's server. What
never does: a metric.
Invariant: the app does not start when the port is taken, and the port is free when the app ended.
"""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from wsgiref.simple_server import WSGIServer

from prometheus_client import start_http_server

from zakupai_common.web.parts import Parts
from zakupai_common.web.service import Lifetime
from zakupai_common.web.settings import SettingsError

OPTION = "ZAKUPAI_METRICS_PORT"
"""A service that uses this names it in ``options``; "0" is no port."""


def metrics_port(default: int) -> Lifetime:
    """Serve ``parts.registry`` on the service's host. Raises SettingsError at the start."""

    @asynccontextmanager
    async def lifetime(parts: Parts) -> AsyncIterator[None]:
        told = parts.settings.options.get(OPTION, str(default))
        if not (told.isascii() and told.isdigit() and int(told) < 65536):
            raise SettingsError(f"{OPTION} is no port")
        if told == "0":
            yield
            return
        try:
            server, thread = start_http_server(int(told), parts.settings.host, parts.registry)
        except OSError as error:
            raise SettingsError(f"{OPTION}: port {told} cannot be used: {error.strerror}") from None
        try:
            yield
        finally:
            await asyncio.to_thread(_stop, server, thread)

    return lifetime


def _stop(server: WSGIServer, thread: threading.Thread) -> None:
    server.shutdown()
    server.server_close()
    thread.join()
