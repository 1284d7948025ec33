"""All needles looked for at once, in memory and in streams.

What lives here: the automaton and the pieces in which a stream passes through it. What never does:
a file found or opened.
Invariant: pieces overlap by the longest needle, so nothing hides on the border of two.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ahocorasick_rs import BytesAhoCorasick

from demo.leaks.needles import Needle

PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class Leak:
    """A secret found where it must not be."""

    of: str
    spelling: str
    where: str

    def __str__(self) -> str:
        return f"{self.of} ({self.spelling}) in {self.where}"


class Readable(Protocol):
    """A stream."""

    def read(self, size: int = -1, /) -> bytes: ...


class Search:
    """Every needle, in one pass over whatever is searched."""

    def __init__(self, needles: Sequence[Needle]) -> None:
        self._needles = needles
        self._automaton = BytesAhoCorasick([needle.pattern for needle in needles])
        self.overlap = max((len(needle.pattern) for needle in needles), default=1) - 1

    def inside(self, content: bytes, where: str) -> list[Leak]:
        """The needles in some bytes, each once."""
        found = self._automaton.find_matches_as_indexes(content, overlapping=True)
        numbers = sorted({number for number, _, _ in found})
        return [
            Leak(self._needles[number].of, self._needles[number].spelling, where)
            for number in numbers
        ]


class Sieve:
    """A stream that is searched as it is read; it remembers one piece and what it found."""

    def __init__(self, source: Readable, search: Search, where: str) -> None:
        self._source, self._search, self._where = source, search, where
        self._tail = b""
        self._found: dict[Leak, None] = {}
        self.size = 0

    @property
    def leaks(self) -> list[Leak]:
        """What was found in what was read so far, each once."""
        return list(self._found)

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, as the source gives them."""
        piece = self._source.read(size)
        self.size += len(piece)
        window = self._tail + piece
        self._found.update(dict.fromkeys(self._search.inside(window, self._where)))
        self._tail = window[max(0, len(window) - self._search.overlap) :]
        return piece

    def drain(self) -> None:
        """Read to the end."""
        while self.read(PIECE_BYTES):
            pass
