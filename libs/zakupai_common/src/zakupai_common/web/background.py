"""Work that goes on beside the requests, as long as the app does.

What lives here: its begin and end, and the setting that says how often it comes round. What never
does: the work. Invariant: when the block is left, the work has ended.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from zakupai_common.web.settings import ServiceSettings, SettingsError

_LONGEST_SECONDS = 86400


@asynccontextmanager
async def background(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    """``work`` runs until the block is left; then it is cancelled and waited for."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def seconds_between(settings: ServiceSettings, option: str, default: str) -> float:
    """A service's own setting of how often it does something; 0 is never. Raises SettingsError."""
    told = settings.options.get(option, default)
    if not (told.isascii() and told.isdigit() and int(told) <= _LONGEST_SECONDS):
        raise SettingsError(f"{option} is no number of seconds")
    return float(told)
