"""Waiting for what a background thread will do; the limit only ends a test that fails anyway."""

import time
from collections.abc import Callable

LIMIT_SECONDS = 120.0


def until(happened: Callable[[], object]) -> None:
    """Return as soon as it is so."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)
