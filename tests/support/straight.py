"""Runs a coroutine without an event loop; it fails if it has to wait for anything."""

from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def straight(work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, which must not suspend."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    work.close()
    raise AssertionError("it suspended")
