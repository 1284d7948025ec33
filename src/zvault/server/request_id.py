"""Request ids: random UUIDs in text, made from random bytes taken in stock.

What lives here: the stock and the formatting. Invariant: an id is used once; ids are names, not
secrets, so a stock in memory is fine.
"""

from collections.abc import Callable

_STOCK = 256


class RequestIds:
    """Gives one id a call."""

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes
        self._stock = ""
        self._position = 0

    def next(self) -> str:
        """A version 4 UUID."""
        if self._position == len(self._stock):
            self._stock = self._random_bytes(16 * _STOCK).hex()
            self._position = 0
        start = self._position
        self._position = start + 32
        text = self._stock[start : start + 32]
        variant = "89ab"[int(text[16], 16) & 3]
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"
