"""Many things at once, results in order, a bound on how many.

What lives here: one helper on asyncio. What never does: storage.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def ordered_map(
    items: AsyncIterator[T], work: Callable[[T], Awaitable[R]], parallel: int
) -> AsyncGenerator[R, None]:
    """``work`` of each item, at most ``parallel`` at a time, results in the items' order.

    The first error stops everything: what is under way is cancelled and awaited before the error
    leaves here. Close the iterator (``contextlib.aclosing``) when leaving early.
    """
    running: deque[asyncio.Future[R]] = deque()
    try:
        async for item in items:
            running.append(asyncio.ensure_future(work(item)))
            if len(running) >= parallel:
                yield await running.popleft()
        while running:
            yield await running.popleft()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
