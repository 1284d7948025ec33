"""One XML part of an untrusted file, parsed piece by piece.

What lives here: the parser and its limits. What never does: what the elements mean.
Invariants: the parser holds no more than one piece, one token, the open elements and the names it
has met, each with a limit: without them 60 KB of ``<a><a><a>…``, packed, take gigabytes; a document
type is refused, so no entity is expanded.
"""

from collections.abc import Callable, Iterator
from typing import IO
from xml.parsers import expat

from zakupai_etl.uploads.rows import FileError

MOST_OPEN, MOST_NAMES, LONGEST_TOKEN_BYTES = 100, 10_000, 1024 * 1024
_CHUNK = 64 * 1024
Start = Callable[[str, dict[str, str]], None]
"""Gets an element's name, without its prefix, and its attributes."""


def local(name: str) -> str:
    """The name without its prefix."""
    return name.rpartition(":")[2]


class _Depth:
    """The handlers of elements, counted."""

    def __init__(self, start: Start, end: Callable[[str], None]) -> None:
        self._start = start
        self._end = end
        self._open = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._open += 1
        if self._open > MOST_OPEN:
            raise FileError("xlsx-too-large", f"more than {MOST_OPEN} elements inside each other")
        self._start(local(name), attributes)

    def end(self, name: str) -> None:
        self._open -= 1
        self._end(local(name))


def parse(
    part: IO[bytes],
    start: Start,
    end: Callable[[str], None] = lambda _: None,
    data: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Call the handlers; stops after each piece. Raises FileError, expat.ExpatError."""
    names: dict[str, str] = {}
    parser = expat.ParserCreate(intern=names)
    parser.buffer_text = True
    depth = _Depth(start, end)
    parser.StartElementHandler, parser.EndElementHandler = depth.start, depth.end
    parser.StartDoctypeDeclHandler = _refuse_document_type
    if data is not None:
        parser.CharacterDataHandler = data
    read = 0
    while chunk := part.read(_CHUNK):
        read += len(chunk)
        parser.Parse(chunk, False)
        # Where it is: at the end, or at the beginning of a token whose end has not come.
        if read - parser.CurrentByteIndex > LONGEST_TOKEN_BYTES:
            raise FileError("xlsx-too-large", "an element or a comment is longer than 1 MiB")
        if len(names) > MOST_NAMES:
            raise FileError("xlsx-too-large", f"the XML has more than {MOST_NAMES} names")
        yield
    parser.Parse(b"", True)
    yield


def _refuse_document_type(*_: object) -> None:
    raise FileError("xlsx-broken", "the file's XML has a document type, which XLSX never has")
