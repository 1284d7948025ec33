"""An ASGI app on a real socket, served by uvicorn in the test's own loop."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import uvicorn


@contextlib.asynccontextmanager
async def serving_asgi(app: Any, **more: Any) -> AsyncIterator[str]:
    """Yields ``http://127.0.0.1:PORT``; ``more`` is uvicorn's."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(512)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=1,
            timeout_keep_alive=75,
            **more,
        )
        server = uvicorn.Server(config)
        task = asyncio.create_task(server._serve(sockets=[listening]))
        try:
            while not server.started and not task.done():  # noqa: ASYNC110 - uvicorn has no event
                await asyncio.sleep(0.01)
            if task.done():
                await task
                raise AssertionError("the app did not start")
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task
