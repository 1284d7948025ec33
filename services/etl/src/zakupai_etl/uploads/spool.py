"""The body of a request, in a file of its own.

What lives here: one context manager. What never does: reading the file.
Invariant: memory holds one piece of the body; the file is gone when the block ends.
"""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request


@dataclass(frozen=True)
class Spooled:
    """A whole body."""

    path: Path
    sha256: str
    size_bytes: int


@asynccontextmanager
async def spooled(request: Request) -> AsyncIterator[Spooled]:
    """The body on disk. Raises starlette's ClientDisconnect."""
    digest, size = hashlib.sha256(), 0
    with tempfile.NamedTemporaryFile(prefix="zakupai-etl-") as file:
        async for chunk in request.stream():
            digest.update(chunk)
            size += len(chunk)
            await asyncio.to_thread(file.write, chunk)
        await asyncio.to_thread(file.flush)
        yield Spooled(Path(file.name), digest.hexdigest(), size)
