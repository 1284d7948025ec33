"""Fetching one attachment.

What lives here: the requests, redirect after redirect, and the body as it comes in. What never
does: PostgreSQL, a decision about an address (``resolver``) or a URL (``target``).
Invariants: each hop is checked like the first; nothing of a body is believed but its bytes, which
are counted as they come; a body that did not come to its end is not kept.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from yarl import URL

from zakupai_etl.attachments.addresses import is_public
from zakupai_etl.attachments.files import Folder, Incoming
from zakupai_etl.attachments.kinds import SNIFF_BYTES, FileKind, kind_of
from zakupai_etl.attachments.resolver import (
    AddressError,
    CheckedResolver,
    Lookup,
    system_lookup,
)
from zakupai_etl.attachments.target import Hosts, TargetError, decide_target, read_url

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PIECE = 64 * 1024
AT_ONCE = 4


class ContentError(Exception):
    """What came is not kept; the text says why."""


class UpstreamError(Exception):
    """The host gave nothing that could be kept. ``slow``: it took too long."""

    def __init__(self, reason: str, *, slow: bool = False) -> None:
        super().__init__(reason)
        self.slow = slow


class BusyError(Exception):
    """Others are fetched, and it would be long before this one's turn."""


@dataclass(frozen=True)
class Limits:
    """Of one attachment; times in seconds."""

    bytes: int = 50 * 1024 * 1024
    redirects: int = 3
    connect_seconds: float = 5.0
    silent_seconds: float = 15.0
    whole_seconds: float = 120.0
    turn_seconds: float = 30.0


@dataclass(frozen=True)
class Fetched:
    """A file that is in the folder now."""

    sha256: str
    kind: FileKind
    size_bytes: int


class Fetcher:
    """Made by ``fetcher``."""

    def __init__(
        self, session: aiohttp.ClientSession, hosts: Hosts, folder: Folder, limits: Limits
    ) -> None:
        self._session = session
        self._hosts = hosts
        self._folder = folder
        self._limits = limits
        self._turn = asyncio.Semaphore(AT_ONCE)

    def check(self, text: str) -> URL:
        """The URL as it would be asked. Raises TargetError."""
        return decide_target(read_url(text), self._hosts)

    async def fetch(self, url: URL) -> Fetched:
        """Raises TargetError, ContentError, UpstreamError, BusyError, OSError of the folder."""
        try:
            async with asyncio.timeout(self._limits.turn_seconds):
                await self._turn.acquire()
        except TimeoutError:
            raise BusyError from None
        try:
            async with asyncio.timeout(self._limits.whole_seconds):
                return await self._hops(url)
        except AddressError:
            reason = "the host has an address that is not on the public internet"
            raise TargetError(403, "address-not-public", reason) from None
        except TimeoutError:
            raise UpstreamError("it takes too long", slow=True) from None
        except (aiohttp.ClientPayloadError, aiohttp.ClientResponseError):
            raise UpstreamError("its answer is broken") from None
        except aiohttp.ClientError:
            raise UpstreamError("it cannot be reached") from None
        finally:
            self._turn.release()

    async def _hops(self, url: URL) -> Fetched:
        for _ in range(self._limits.redirects + 1):
            url = decide_target(url, self._hosts)
            async with self._session.get(url, allow_redirects=False) as response:
                if response.status == 200:
                    return await self._body(response)
                location = response.headers.get("Location")
                if response.status not in _REDIRECTS or not location:
                    raise UpstreamError(f"it answers {response.status}")
            try:
                url = url.join(read_url(location))
            except (TargetError, ValueError):  # the host's fault, not that of who asked
                raise UpstreamError("it redirects to what is no URL") from None
        raise UpstreamError(f"it redirects more than {self._limits.redirects} times")

    async def _body(self, response: aiohttp.ClientResponse) -> Fetched:
        if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            raise ContentError("it came compressed, although that was not asked for")
        if response.content_length is None and not _is_chunked(response):
            # It ends when the connection does, and so does one that was cut off.
            raise UpstreamError("its answer does not say where it ends")
        if (response.content_length or 0) > self._limits.bytes:
            raise self._too_large()
        with self._folder.incoming() as incoming:
            kind = await self._receive(response, incoming)
            sha256 = await asyncio.to_thread(incoming.keep, self._folder.path)
        return Fetched(sha256, kind, incoming.size)

    async def _receive(self, response: aiohttp.ClientResponse, incoming: Incoming) -> FileKind:
        first, kind = b"", None
        async for piece in response.content.iter_chunked(_PIECE):
            if incoming.size + len(piece) > self._limits.bytes:
                raise self._too_large()
            if kind is None:
                first += piece[:SNIFF_BYTES]
                kind = kind_of(first)
                if kind is None and len(first) >= SNIFF_BYTES:
                    break
            await asyncio.to_thread(incoming.write, piece)
        if kind is None:
            raise ContentError("it is of no kind that is kept (PDF, ZIP, OLE, RAR, 7z, PNG, JPEG)")
        return kind

    def _too_large(self) -> ContentError:
        return ContentError(f"it is larger than {self._limits.bytes} bytes")


def _is_chunked(response: aiohttp.ClientResponse) -> bool:
    coding = response.headers.get("Transfer-Encoding", "")
    return coding.rpartition(",")[2].strip().lower() == "chunked"


@asynccontextmanager
async def fetcher(
    hosts: Hosts,
    folder: Folder,
    limits: Limits | None = None,
    *,
    lookup: Lookup = system_lookup,
    permit: Callable[[str], bool] = is_public,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Fetcher]:
    """What fetches. ``lookup``, ``permit`` and ``tls`` are for tests; no setting changes them."""
    limits = limits or Limits()
    connector = aiohttp.TCPConnector(
        resolver=CheckedResolver(lookup, permit),
        use_dns_cache=False,
        force_close=True,  # each hop has a connection, and so a checked address, of its own
        ssl=tls or True,
    )
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,  # a proxy would look names up by itself
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(
            total=None, sock_connect=limits.connect_seconds, sock_read=limits.silent_seconds
        ),
        headers={"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "zakupai"},
    ) as session:
        yield Fetcher(session, hosts, folder, limits)
