"""Tests that run on both event loops: uvloop, which the server uses, and asyncio's own."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

RUNNERS = [uvloop.run, asyncio.run]


def on_both_loops(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Decorator: the coroutine test becomes a plain one that is run once a loop."""

    def run_test(run_on_loop: Callable[[Coroutine[Any, Any, None]], None], **fixtures: Any) -> None:
        run_on_loop(test(**fixtures))

    signature = inspect.signature(test)
    first = inspect.Parameter("run_on_loop", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run_test.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[first, *signature.parameters.values()], return_annotation=None
    )
    run_test.__name__, run_test.__doc__ = test.__name__, test.__doc__
    run_test.__module__ = test.__module__
    return pytest.mark.parametrize("run_on_loop", RUNNERS, ids=["uvloop", "asyncio"])(run_test)
