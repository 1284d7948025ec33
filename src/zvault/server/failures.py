"""What is said of an error that nobody expected.

Invariant: its kind and the places it came from, never its text, which may hold anything.
"""

import traceback
from pathlib import Path

_PLACES = 4


def describe(error: BaseException) -> str:
    """``KeyError at kv2.py:12 <- pipeline.py:34``, innermost first."""
    frames = traceback.extract_tb(error.__traceback__)[-_PLACES:]
    places = " <- ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames))
    return f"{type(error).__name__} at {places}" if places else type(error).__name__
