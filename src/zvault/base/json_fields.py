"""Strict reading of JSON that somebody may have altered.

What lives here: one function a kind of field, each raising ValueError for any other kind, so that
nothing is converted on the way. What never does: what a field means.
"""

from typing import Any


def text_field(value: Any) -> str:
    """Text. Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError("no text")
    return value


def count_field(value: Any) -> int:
    """A whole number from 0; true and false are none. Raises ValueError."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("no number")
    return value
