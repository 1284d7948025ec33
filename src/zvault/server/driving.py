"""Runs a coroutine that usually never waits without making a task for it.

What lives here: the first step by hand; the rest, if there is one, in a task. What never does:
results interpreted.
Invariant: the coroutine may not rely on ``asyncio.current_task()`` before its first suspension
(no ``asyncio.timeout``, no task group there); the engine keeps to that.
"""

import asyncio
import types
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Finished(Generic[T]):
    """The coroutine ended in its first step; ``value`` is what it returned."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value


def start(
    coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop
) -> Finished[T] | asyncio.Task[T]:
    """Step once. The coroutine's exception, if it ends with one, is raised from here."""
    try:
        pending = coroutine.send(None)
    except StopIteration as stop:
        return Finished(stop.value)
    return loop.create_task(_continue(coroutine, pending))


async def _continue(coroutine: Coroutine[Any, Any, T], pending: Any) -> T:
    return await _resume(coroutine, pending)


@types.coroutine
def _resume(coroutine: Coroutine[Any, Any, T], pending: Any) -> Generator[Any, Any, T]:
    """Hand the future on which the first step stopped to the task, then go on as usual.

    The future still carries asyncio's mark "somebody is about to wait for me", because nobody has
    looked at it yet; so the task takes it as if the coroutine had yielded it just now.
    """
    while True:
        try:
            try:
                value = yield pending
            except BaseException as error:  # cancellation included: it is the coroutine's to take
                pending = coroutine.throw(error)
            else:
                pending = coroutine.send(value)
        except StopIteration as stop:
            result: T = stop.value
            return result
