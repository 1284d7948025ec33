"""Rows of the first sheet of an XLSX file.

What lives here: the ZIP around it, the few XML parts that hold values, its rows one after the
other. What never does: styles, macros, links, formulas.
Invariants: what unpacks to more than the limits is refused before it is unpacked, and ``zipfile``
hands out no more of a part than was counted; XML with a document type is refused, so no entity is
expanded; a formula is told as one and its last result is not used.
"""

import posixpath
import re
import zipfile
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from xml.parsers import expat

from zakupai_etl.uploads.rows import Cell, FileError, SourceRow

MOST_PARTS = 2_000
MOST_UNPACKED_BYTES = 64 * 1024 * 1024
"""Of all parts together, as the ZIP's directory counts them."""
MOST_COLUMNS = 64
"""Further ones are not looked at."""
_MOST_TEXTS, _MOST_CELLS, _LONGEST_TEXT = 500_000, 2_000_000, 32_767
_LAST_ROW = 1_048_576
_CHUNK = 64 * 1024
_REFERENCE = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
_SHEET_RELATION = "/relationships/worksheet"


def xlsx_rows(path: Path) -> Iterator[SourceRow]:
    """All rows of the first sheet that hold something, the header too. Raises FileError."""
    try:
        with zipfile.ZipFile(path) as archive:
            _check_sizes(archive)
            texts = _shared_texts(archive)
            yield from _sheet(archive, texts)
    except _BROKEN as error:
        raise FileError("xlsx-broken", f"the file is no XLSX: {type(error).__name__}") from None


_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    expat.ExpatError,
    KeyError,
    ValueError,
    OverflowError,
    EOFError,
    RuntimeError,  # a part with a password
    NotImplementedError,
    OSError,
)


def _check_sizes(archive: zipfile.ZipFile) -> None:
    parts = archive.infolist()
    if len(parts) > MOST_PARTS:
        raise FileError("xlsx-too-large", f"the file has more than {MOST_PARTS} parts")
    if sum(part.file_size for part in parts) > MOST_UNPACKED_BYTES:
        megabytes = MOST_UNPACKED_BYTES // 1024 // 1024
        raise FileError("xlsx-too-large", f"unpacked the file is larger than {megabytes} MiB")


def _parser() -> expat.XMLParserType:
    parser = expat.ParserCreate(namespace_separator=None)
    parser.buffer_text = True

    def refuse(*_: object) -> None:
        raise FileError("xlsx-broken", "the file's XML has a document type, which XLSX never has")

    parser.StartDoctypeDeclHandler = refuse
    return parser


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _feed(part: IO[bytes], parser: expat.XMLParserType) -> Iterator[None]:
    """Parse one piece after the other; stops after each."""
    while chunk := part.read(_CHUNK):
        parser.Parse(chunk, False)
        yield
    parser.Parse(b"", True)
    yield


def _elements(archive: zipfile.ZipFile, name: str, wanted: str) -> list[dict[str, str]]:
    """The attributes of all elements of this name, in the order of the part."""
    found: list[dict[str, str]] = []
    parser = _parser()

    def start(element: str, attributes: dict[str, str]) -> None:
        if _local(element) == wanted:
            found.append({_local(key): value for key, value in attributes.items()})

    parser.StartElementHandler = start
    with archive.open(name) as part:
        for _ in _feed(part, parser):
            pass
    return found


def _first_sheet(archive: zipfile.ZipFile) -> str:
    sheets = _elements(archive, "xl/workbook.xml", "sheet")
    relations = _elements(archive, "xl/_rels/workbook.xml.rels", "Relationship")
    for relation in relations:
        if sheets and relation.get("Id") == sheets[0].get("id"):
            if not relation.get("Type", "").endswith(_SHEET_RELATION):
                raise FileError("xlsx-broken", "the first sheet is no sheet of cells")
            target = relation["Target"]
            joined = target.lstrip("/") if target.startswith("/") else f"xl/{target}"
            return posixpath.normpath(joined)
    raise FileError("xlsx-broken", "the file has no sheet")


class _SharedTexts:
    """``xl/sharedStrings.xml``: each ``si``, its runs joined, phonetic readings left out."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._parts: list[str] = []
        self._inside = self._phonetic = False

    def start(self, element: str, _: dict[str, str]) -> None:
        name = _local(element)
        if name == "si":
            self._parts = []
        self._phonetic = self._phonetic or name == "rPh"
        self._inside = name == "t" and not self._phonetic

    def data(self, text: str) -> None:
        if self._inside:
            self._parts.append(text)

    def end(self, element: str) -> None:
        name = _local(element)
        self._inside = False
        if name == "rPh":
            self._phonetic = False
        if name == "si":
            if len(self.texts) >= _MOST_TEXTS:
                raise FileError("xlsx-too-large", f"more than {_MOST_TEXTS} texts")
            self.texts.append("".join(self._parts)[:_LONGEST_TEXT])


def _shared_texts(archive: zipfile.ZipFile) -> list[str]:
    name = "xl/sharedStrings.xml"
    if name not in archive.namelist():
        return []
    reader, parser = _SharedTexts(), _parser()
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler = reader.data
    with archive.open(name) as part:
        for _ in _feed(part, parser):
            pass
    return reader.texts


class _Sheet:
    """The rows of a sheet, as they are parsed."""

    def __init__(self, texts: list[str]) -> None:
        self.rows: deque[SourceRow] = deque()
        self._texts = texts
        self._number = 0
        self._cells: dict[int, Cell] = {}
        self._column = self._count = 0
        self._kind = ""
        self._value: list[str] = []
        self._formula = self._inside = False

    def start(self, element: str, attributes: dict[str, str]) -> None:
        name = _local(element)
        if name == "row":
            told = attributes.get("r")
            number = self._number + 1 if told is None else int(told)
            if not self._number < number <= _LAST_ROW:
                raise ValueError("rows are not in their order")
            self._number = number
            self._cells, self._column = {}, 0
        elif name == "c":
            self._begin_cell(attributes)
        elif name == "f":
            self._formula = True
        self._inside = name in ("v", "t")

    def _begin_cell(self, attributes: dict[str, str]) -> None:
        self._column += 1
        self._count += 1
        if self._count > _MOST_CELLS:
            raise FileError("xlsx-too-large", f"the sheet has more than {_MOST_CELLS} cells")
        if "r" in attributes:
            found = _REFERENCE.fullmatch(attributes["r"])
            if not found:
                raise ValueError("a cell has no place")
            self._column = 0
            for letter in found[1]:
                self._column = self._column * 26 + ord(letter) - 64
        self._kind = attributes.get("t", "n")
        self._value, self._formula = [], False

    def data(self, text: str) -> None:
        if self._inside:
            self._value.append(text)

    def end(self, element: str) -> None:
        name = _local(element)
        self._inside = False
        if name == "c" and self._column <= MOST_COLUMNS:
            self._cells[self._column] = Cell(self._shown(), self._formula)
        elif name == "row" and self._cells:
            last = max(self._cells)
            cells = [self._cells.get(place, Cell("")) for place in range(1, last + 1)]
            self.rows.append(SourceRow(self._number, cells))

    def _shown(self) -> str:
        text = "".join(self._value)
        if self._kind == "s" and text:
            return self._texts[int(text)] if 0 <= int(text) < len(self._texts) else ""
        if self._kind == "n" and text:
            return shown_number(text)
        return text[:_LONGEST_TEXT]


def shown_number(text: str) -> str:
    """A number of a sheet with the 15 digits that Excel shows: 0.30000000000000004 is 0.3."""
    number = float(text)
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else f"{number:.15g}"


def _sheet(archive: zipfile.ZipFile, texts: list[str]) -> Iterator[SourceRow]:
    reader, parser = _Sheet(texts), _parser()
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler = reader.data
    with archive.open(_first_sheet(archive)) as part:
        for _ in _feed(part, parser):
            while reader.rows:
                yield reader.rows.popleft()
