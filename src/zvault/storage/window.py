"""Many things at once, results in order, a bound on how many.

What lives here: one helper on asyncio. What never does: storage.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def each(items: Iterable[T]) -> AsyncGenerator[T, None]:
    """Items that are known already, for ``ordered_map``."""
    for item in items:
        yield item


async def ordered_map(
    items: AsyncIterator[T], work: Callable[[T], Awaitable[R]], parallel: int
) -> AsyncGenerator[R, None]:
    """``work`` of each item, at most ``parallel`` at a time, results in the items' order.

    The first error, wherever it happens, stops everything: what is under way is cancelled and
    awaited before the error leaves here. Close the iterator (``contextlib.aclosing``) when leaving
    early.
    """
    running: deque[asyncio.Future[R]] = deque()
    failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    def note(task: "asyncio.Future[R]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not failed.done():
            failed.set_result(error)

    async def oldest() -> R:
        head = running[0]
        if not head.done():
            await asyncio.wait((head, failed), return_when=asyncio.FIRST_COMPLETED)
        if failed.done():
            raise failed.result()
        return await running.popleft()

    try:
        async for item in items:
            task: asyncio.Future[R] = asyncio.ensure_future(work(item))
            task.add_done_callback(note)
            running.append(task)
            if len(running) >= parallel:
                yield await oldest()
        while running:
            yield await oldest()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
