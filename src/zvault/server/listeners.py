"""The listening sockets.

What lives here: binding, accepting, no longer accepting, new certificates. What never does: what is
answered.
Invariant: either all listeners are open or none is.
"""

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from zvault.base.errors import PreconditionError, UsageError, ZvaultError
from zvault.server.protocol import HttpProtocol
from zvault.server.settings import ListenerSettings
from zvault.server.tls import ServerTls

BACKLOG = 1_024
HANDSHAKE_SECONDS = 10.0
ProtocolFactory = Callable[[ListenerSettings], HttpProtocol]


class AddressError(UsageError):
    """An address that is no ``host:port``."""

    code = "bad-address"


class CannotListenError(PreconditionError):
    """The address is taken or is not ours."""

    code = "cannot-listen"


@dataclass(frozen=True, slots=True)
class Listener:
    """One open listener."""

    settings: ListenerSettings
    server: asyncio.Server
    tls: ServerTls | None
    bound: str
    """``host:port`` as bound (port 0 resolved), or the socket's path."""


class Listeners:
    """All listeners of a server."""

    def __init__(self) -> None:
        self._open: list[Listener] = []

    @property
    def bound(self) -> list[str]:
        """The addresses, in the order of the configuration."""
        return [listener.bound for listener in self._open]

    async def open(self, settings: Sequence[ListenerSettings], factory: ProtocolFactory) -> None:
        """Bind all. Raises CannotListenError, AddressError, CertificateError; none is then open."""
        try:
            for one in settings:
                self._open.append(await _open_one(one, factory))
        except ZvaultError:
            self.close()
            raise

    def close(self) -> None:
        """Accept no more; open connections stay."""
        for listener in self._open:
            listener.server.close()
            if listener.settings.kind == "unix":
                with contextlib.suppress(OSError):
                    Path(listener.bound).unlink()
        self._open = []

    def reload_certificates(self) -> list[ZvaultError]:
        """Load every certificate anew; what fails keeps the old one and is returned."""
        errors: list[ZvaultError] = []
        for listener in self._open:
            if listener.tls is not None:
                try:
                    listener.tls.reload()
                except ZvaultError as error:
                    errors.append(error)
        return errors


async def _open_one(settings: ListenerSettings, factory: ProtocolFactory) -> Listener:
    loop = asyncio.get_running_loop()
    tls = ServerTls(settings.tls) if settings.tls else None

    def make() -> HttpProtocol:
        return factory(settings)

    handshake = HANDSHAKE_SECONDS if tls else None
    context = tls.context if tls else None
    try:
        if settings.kind == "unix":
            listening = _bind_unix(Path(settings.address), settings.socket_mode)
            server = await loop.create_unix_server(
                make,
                sock=listening,
                backlog=BACKLOG,
                ssl=context,
                ssl_handshake_timeout=handshake,
            )
            return Listener(settings, server, tls, settings.address)
        host, port = split_address(settings.address)
        server = await loop.create_server(
            make,
            host or None,
            port,
            backlog=BACKLOG,
            ssl=context,
            ssl_handshake_timeout=handshake,
        )
    except OSError as error:
        raise CannotListenError(
            f"cannot listen on {settings.address}: {_cause(error)}",
            hint="stop what uses the address or change the listener's address",
        ) from None
    name = server.sockets[0].getsockname()
    return Listener(settings, server, tls, f"{host or name[0]}:{name[1]}")


def _cause(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)


def split_address(text: str) -> tuple[str, int]:
    """Host and port; ``[::1]:8200`` and ``:8200`` too. Raises AddressError."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65_535 or ("[" not in host and ":" in host):
        raise AddressError(f"{text!r} is no listener address", hint='write it as "host:port"')
    return host.strip("[]"), int(port)


def _bind_unix(path: Path, mode: int) -> socket.socket:
    """A socket file that is never wider than ``mode``; one left by a dead server is replaced."""
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode) and not _answers(path):
        path.unlink()
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    previous = os.umask(0o177)
    try:
        listening.bind(str(path))
        path.chmod(mode)
    except OSError:
        listening.close()
        raise
    finally:
        os.umask(previous)
    return listening


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == 0
