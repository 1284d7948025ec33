"""A proxy that only passes on: raw ASGI and aiohttp, no login, no limit, no streaming.

What lives here: the app that the gateway is compared with; run under uvicorn, its upstream in
``BARE_UPSTREAM``.
"""

import os
from typing import Any

import aiohttp
from yarl import URL

_UPSTREAM = os.environ.get("BARE_UPSTREAM", "")
_DROPPED = (b"host", b"connection")
_session: aiohttp.ClientSession | None = None


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Every request to the upstream, every answer back."""
    global _session
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            _session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
            )
            await send({"type": "lifespan.startup.complete"})
        if _session is not None:
            await _session.close()
        await send({"type": "lifespan.shutdown.complete"})
        return
    assert _session is not None
    target = scope["raw_path"].decode()
    headers = [(k.decode(), v.decode()) for k, v in scope["headers"] if k not in _DROPPED]
    url = URL(_UPSTREAM + target, encoded=True)
    async with _session.get(url, headers=headers, allow_redirects=False) as answer:
        body = await answer.read()
        raw = [(name.lower(), value) for name, value in answer.raw_headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        await send({"type": "http.response.body", "body": body})
