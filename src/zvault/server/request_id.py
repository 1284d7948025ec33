"""Request ids: random UUIDs in text, made from random bytes taken in stock.

What lives here: the stock and the formatting. Invariant: an id is used once; ids are names, not
secrets, so a stock in memory is fine.
"""

from collections.abc import Callable

_STOCK = 256
_VERSION_4 = bytes(byte & 0x0F | 0x40 for byte in range(256))
_VARIANT = bytes(byte & 0x3F | 0x80 for byte in range(256))


class RequestIds:
    """Gives one id a call."""

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes
        self._stock = ""
        self._position = 0

    def next(self) -> str:
        """A version 4 UUID."""
        start = self._position
        if start == len(self._stock):
            self._stock = _marked(self._random_bytes(16 * _STOCK)).hex()
            start = 0
        self._position = start + 32
        text = self._stock[start : start + 32]
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _marked(stock: bytes) -> bytearray:
    """Version and variant put into every 16 bytes (RFC 9562 5.4)."""
    marked = bytearray(stock)
    marked[6::16] = marked[6::16].translate(_VERSION_4)
    marked[8::16] = marked[8::16].translate(_VARIANT)
    return marked
