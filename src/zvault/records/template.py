"""Encoded records that differ in a few places only: encoded once, filled often.

What lives here: text with holes. Pure. Invariant: filling gives what encoding the record anew would
give, because the text was made by that very encoder, from a record with markers in the fields that
differ; who fills gives each value as the encoder would write it there (escaped, quotes excluded).
"""

import re
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any


class Template:
    """One record's text. Markers are drawn at random: nothing else in it looks like one."""

    def __init__(self, encoded: bytes, markers: Sequence[bytes], needed: Sequence[int]) -> None:
        """``needed``: positions in ``markers`` that the text has; other ones it has not.

        Raises ValueError when that is not so.
        """
        pattern = re.compile(b"|".join(re.escape(marker) for marker in markers))
        holes = [markers.index(found) for found in pattern.findall(encoded)]
        if set(holes) != set(needed) or not holes:
            raise ValueError("the markers are not where they are needed")
        pieces = [piece.replace(b"%", b"%%") for piece in pattern.split(encoded)]
        self._text = b"%b".join(pieces)
        self._pick: Callable[[Sequence[bytes]], Any] = itemgetter(*holes)

    @property
    def size(self) -> int:
        """Bytes of the text."""
        return len(self._text)

    def fill(self, values: Sequence[bytes]) -> bytes:
        """The record with ``values``, in the order of the markers."""
        filled: bytes = self._text % self._pick(values)
        return filled
