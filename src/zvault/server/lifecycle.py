"""A server's life: start, serve, reload, drain, stop.

What lives here: the order of these acts and the signals that cause them. What never does: which
storage, which engine (``app/serving.py``).
Invariants: SIGTERM and SIGINT finish every request that was begun, then seal and let the lock go;
an idle connection is closed without being read, so a request not read is not executed; SIGHUP never
loses what works.
"""

import asyncio
import contextlib
import faulthandler
import logging
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from zvault.base.atomic_file import write_atomic
from zvault.base.errors import ZvaultError
from zvault.server.answers import Renderer
from zvault.server.app import App, ListenerPolicy
from zvault.server.config import ServerConfig
from zvault.server.connections import SWEEP_SECONDS, Connections
from zvault.server.engine_port import ServedEngine
from zvault.server.failures import describe
from zvault.server.listeners import Listeners
from zvault.server.logs import set_level
from zvault.server.protocol import HttpProtocol
from zvault.server.request_id import RequestIds
from zvault.server.request_log import logging_requests
from zvault.server.settings import ListenerSettings

log = logging.getLogger("zvault.server")
TICK_SECONDS = 1.0
FINISH_SECONDS = 30.0
"""How long requests that were begun may take after the drain."""


@dataclass
class Server:
    """One server over one engine. ``serve`` runs it from start to end."""

    config: ServerConfig
    engine: ServedEngine
    random_bytes: Callable[[int], bytes] = os.urandom
    reread: Callable[[], ServerConfig] | None = None
    """The configuration as its files say now, for SIGHUP."""
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _hurry: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.listeners = Listeners()
        self.connections = Connections()
        self._ids = RequestIds(self.random_bytes)
        self._renderers: list[Renderer] = []
        self._make_cache: dict[int, Callable[[], HttpProtocol]] = {}

    def stop(self) -> None:
        """Begin the end; a second call skips the drain."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def reload(self) -> None:
        """New certificates, audit files opened anew, the log level as it is configured now.

        What fails is said and stays as it was.
        """
        if self.reread is not None:
            try:
                set_level(self.reread().log.level)
            except ZvaultError as problem:
                log.error("reload: %s; the log level stays as it was", problem)
        for error in self.listeners.reload_certificates():
            log.error("reload: %s; the old certificate goes on serving", error)
        self.engine.reload_audit()
        log.info("reloaded")

    async def serve(self, announce: Callable[[list[str]], None]) -> int:
        """From start to end. ``announce`` gets the bound addresses once requests can come.

        Returns how many requests were cut off at the end: 0 unless one took longer than
        FINISH_SECONDS. Raises ZvaultError when the server cannot start.
        """
        asyncio.get_running_loop().set_exception_handler(_log_unexpected)
        with _Signals(self):
            try:
                await self.engine.start()
                await self.listeners.open(self.config.listeners, self._protocol)
                with self._pid_file():
                    return await self._serve(announce)
            finally:
                self.listeners.close()
                await self.engine.shutdown()

    async def _serve(self, announce: Callable[[list[str]], None]) -> int:
        background = [
            asyncio.create_task(self._repeat(SWEEP_SECONDS, self._sweep)),
            asyncio.create_task(self._repeat(TICK_SECONDS, self.engine.tick)),
        ]
        try:
            announce(self.listeners.bound)
            _notify_systemd("READY=1")
            await self._stop.wait()
            _notify_systemd("STOPPING=1")
            return await self._finish()
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)

    async def _finish(self) -> int:
        log.info("stopping: health says 503, requests are still served")
        self.connections.draining = True
        if self.config.drain_seconds > 0:
            try:
                async with asyncio.timeout(self.config.drain_seconds):
                    await self._hurry.wait()
            except TimeoutError:
                pass
        self.listeners.close()
        cut_off = await self.connections.finish(FINISH_SECONDS)
        if cut_off:
            log.error("stopping: %d requests did not finish in time and were cut off", cut_off)
        return cut_off

    def _protocol(self, settings: ListenerSettings) -> HttpProtocol:
        make = self._make_cache.get(id(settings))
        if make is None:
            make = self._make_cache[id(settings)] = self._maker(settings)
        return make()

    def _maker(self, settings: ListenerSettings) -> Callable[[], HttpProtocol]:
        """What all connections of one listener share."""
        renderer = Renderer(settings.custom_headers)
        renderer.set_date(time.time())
        self._renderers.append(renderer)
        policy = ListenerPolicy(
            unauthenticated_metrics=settings.unauthenticated_metrics,
            prometheus=self.config.prometheus,
            require_request_header=settings.require_request_header,
            closed_paths=settings.closed_paths,
            forwarded_for=settings.forwarded_for,
        )
        application = logging_requests(
            App(self.engine, self.connections, self._ids, policy), self.config.log.requests_level
        )
        return lambda: HttpProtocol(
            application, self.connections, renderer, settings.limits, tls=settings.tls is not None
        )

    async def _sweep(self) -> None:
        self.connections.sweep(asyncio.get_running_loop().time())
        for renderer in self._renderers:
            renderer.set_date(time.time())

    async def _repeat(self, seconds: float, work: Callable[[], Awaitable[object]]) -> None:
        """Background work; a failure is said and the work done again next time."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await work()
            except ZvaultError as error:
                log.error("background work failed and is tried again: %s", error.message)
            except Exception as error:
                log.error("background work failed and is tried again: %s", describe(error))

    @contextlib.contextmanager
    def _pid_file(self) -> Iterator[None]:
        """There while the server runs."""
        path = self.config.pid_file
        if path is None:
            yield
            return
        write_atomic(path, f"{os.getpid()}\n".encode(), mode=0o644)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _log_unexpected(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What the loop itself met, such as a client that breaks off in the TLS handshake."""
    error = context.get("exception")
    what = describe(error) if isinstance(error, BaseException) else "no exception"
    level = logging.DEBUG if isinstance(error, OSError) else logging.ERROR
    log.log(level, "%s (%s)", context.get("message", "unexpected"), what)


class _Signals:
    """While open: SIGTERM and SIGINT stop, SIGHUP reloads, SIGUSR2 shows where the program is."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> None:
        self._loop.add_signal_handler(signal.SIGTERM, self._server.stop)
        self._loop.add_signal_handler(signal.SIGINT, self._server.stop)
        self._loop.add_signal_handler(signal.SIGHUP, self._reload)
        faulthandler.register(signal.SIGUSR2)

    def __exit__(self, *exc: object) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self._loop.remove_signal_handler(number)
        faulthandler.unregister(signal.SIGUSR2)

    def _reload(self) -> None:
        try:
            self._server.reload()
        except ZvaultError as error:
            log.error("reload: %s", error)


def _notify_systemd(state: str) -> None:
    """sd_notify(3), when systemd asks for it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.connect(address)
            notify.send(state.encode())
    except OSError as error:
        log.warning("systemd was not told %s (%s)", state, error.strerror)
