"""Telegram's Bot API: send one text, and know what is known about it afterwards.

What lives here: the request and its outcomes. What never does: a retry, a decision to repeat.
Invariants: an outcome says "not sent" only when Telegram cannot have taken the message; the bot's
token, which is a part of the URL, is in no outcome, log or exception.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from zakupai_common.secret import Secret
from zakupai_common.vault.errors import StaleSecretError

_log = logging.getLogger("zakupai.risk.telegram")
SEND_SECONDS, CONNECT_SECONDS = 10.0, 3.0
_DEFAULT_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 30.0, 3600.0
_ANSWER_BYTES = 64 * 1024


@dataclass(frozen=True)
class Sent:
    """Telegram took it under this id."""

    message_id: int


@dataclass(frozen=True)
class Refused:
    """Telegram will not deliver this, whenever it is tried: the chat is gone, the bot blocked."""

    why: str


@dataclass(frozen=True)
class NotSent:
    """It was not delivered, through no fault of its own: nothing can be sent now.

    ``wait_seconds``: how long Telegram wants to be left alone.
    """

    why: str
    wait_seconds: float = 0.0


@dataclass(frozen=True)
class Doubtful:
    """It may have been delivered: the answer did not arrive, or could not be read."""

    why: str


Outcome = Sent | Refused | NotSent | Doubtful


class Telegram:
    """One bot. Made by ``telegram_client``."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, token: Callable[[], Secret[str]]
    ) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._token = token

    async def send(self, chat_id: int, text: str) -> Outcome:
        """Send plain text."""
        try:
            url = f"{self._url}/bot{self._token().reveal()}/sendMessage"
        except StaleSecretError:
            return NotSent("the bot's token is too old to be used")
        content = {"chat_id": chat_id, "text": text, "disable_web_page_preview": True}
        try:
            async with (
                asyncio.timeout(SEND_SECONDS),
                self._session.post(url, json=content, allow_redirects=False) as response,
            ):
                status = response.status
                body = await _whole(response.content)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            return NotSent("Telegram cannot be reached")
        except (aiohttp.ClientError, OSError) as error:
            return Doubtful(f"no answer: {type(error).__name__}")
        except TimeoutError:
            return Doubtful(f"no answer within {SEND_SECONDS:.0f} s")
        return _outcome(status, body)


async def _whole(content: aiohttp.StreamReader) -> bytes:
    """All of it, but of an answer that is too long no more than shows that it is."""
    body = bytearray()
    async for piece in content.iter_chunked(_ANSWER_BYTES):
        body += piece
        if len(body) > _ANSWER_BYTES:
            break
    return bytes(body)


def _outcome(status: int, body: bytes) -> Outcome:
    told = _object(body)
    if status == 200:
        number = told.get("result", {}).get("message_id") if told.get("ok") is True else None
        return Sent(number) if isinstance(number, int) else Doubtful("an answer without sense")
    if status >= 500:
        return Doubtful(f"HTTP {status}")
    if status == 429:
        said = told.get("parameters", {}).get("retry_after")
        wait = float(said) if isinstance(said, int) and said > 0 else _DEFAULT_WAIT_SECONDS
        return NotSent("Telegram limits us", min(wait, _LONGEST_WAIT_SECONDS))
    if status in (401, 404):
        _log.error("Telegram does not know the bot's token")
        return NotSent("Telegram does not know the bot's token")
    if status in (400, 403) and told.get("ok") is False:
        return Refused(str(told.get("description", f"HTTP {status}"))[:200])
    return NotSent(f"HTTP {status}")


def _object(body: bytes) -> dict[str, Any]:
    """The JSON object; its members ``result`` and ``parameters`` are objects or absent."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        name: value
        for name, value in found.items()
        if name not in ("result", "parameters") or isinstance(value, dict)
    }


@asynccontextmanager
async def telegram_client(url: str, token: Callable[[], Secret[str]]) -> AsyncIterator[Telegram]:
    """A client of the Bot API at ``url`` (https://api.telegram.org)."""
    async with aiohttp.ClientSession(
        # A kept connection may be closed while a message is on its way: that would be a doubt.
        connector=aiohttp.TCPConnector(force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
    ) as session:
        yield Telegram(session, url, token)
