"""Rows of the first sheet of an XLSX file.

What lives here: the ZIP around it, the few XML parts that hold values, its rows one after the
other. What never does: styles, macros, links, formulas; the limits of XML itself (``xml_part``).
Invariants: what unpacks to more than the limits is refused before it is unpacked, and ``zipfile``
hands out no more of a part than was counted; of a text that is built of many no more is held than
is kept; a formula is told as one and its last result is not used.
"""

import posixpath
import re
import zipfile
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from xml.parsers import expat

from zakupai_etl.uploads.rows import Cell, FileError, SourceRow
from zakupai_etl.uploads.xml_part import local, parse

MOST_PARTS = 2_000
MOST_UNPACKED_BYTES = 64 * 1024 * 1024
"""Of all parts together, as the ZIP's directory counts them."""
MOST_COLUMNS = 64
"""Further ones are not looked at."""
_MOST_TEXTS, _MOST_CELLS, _LONGEST_TEXT = 500_000, 2_000_000, 32_767
_LAST_ROW = 1_048_576
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
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
    if any(part.compress_type not in _PACKED for part in parts):
        # Of bzip2 and LZMA zipfile unpacks all that it has read at once: gigabytes of 64 KB.
        raise FileError("xlsx-broken", "a part is packed in a way that XLSX does not have")
    if len(parts) > MOST_PARTS:
        raise FileError("xlsx-too-large", f"the file has more than {MOST_PARTS} parts")
    if sum(part.file_size for part in parts) > MOST_UNPACKED_BYTES:
        megabytes = MOST_UNPACKED_BYTES // 1024 // 1024
        raise FileError("xlsx-too-large", f"unpacked the file is larger than {megabytes} MiB")


def _elements(archive: zipfile.ZipFile, name: str, wanted: str) -> list[dict[str, str]]:
    """The attributes of the elements of this name, in the order of the part."""
    found: list[dict[str, str]] = []

    def start(element: str, attributes: dict[str, str]) -> None:
        if element == wanted:
            if len(found) >= MOST_PARTS:
                raise FileError("xlsx-too-large", f"the file has more than {MOST_PARTS} parts")
            found.append({local(key): value for key, value in attributes.items()})

    with archive.open(name) as part:
        for _ in parse(part, start):
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


class _Text:
    """What comes in pieces, and no more of it than is kept."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._left = _LONGEST_TEXT

    def add(self, piece: str) -> None:
        if self._left > 0:
            self._pieces.append(piece[: self._left])
            self._left -= len(piece)

    def __str__(self) -> str:
        return "".join(self._pieces)


class _SharedTexts:
    """``xl/sharedStrings.xml``: each ``si``, its runs joined, phonetic readings left out."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._text = _Text()
        self._inside = self._phonetic = False

    def start(self, name: str, _: dict[str, str]) -> None:
        if name == "si":
            self._text = _Text()
        self._phonetic = self._phonetic or name == "rPh"
        self._inside = name == "t" and not self._phonetic

    def data(self, text: str) -> None:
        if self._inside:
            self._text.add(text)

    def end(self, name: str) -> None:
        self._inside = False
        if name == "rPh":
            self._phonetic = False
        if name == "si":
            if len(self.texts) >= _MOST_TEXTS:
                raise FileError("xlsx-too-large", f"more than {_MOST_TEXTS} texts")
            self.texts.append(str(self._text))


def _shared_texts(archive: zipfile.ZipFile) -> list[str]:
    name = "xl/sharedStrings.xml"
    if name not in archive.namelist():
        return []
    reader = _SharedTexts()
    with archive.open(name) as part:
        for _ in parse(part, reader.start, reader.end, reader.data):
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
        self._value = _Text()
        self._formula = self._inside = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
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
        self._value, self._formula = _Text(), False

    def data(self, text: str) -> None:
        if self._inside:
            self._value.add(text)

    def end(self, name: str) -> None:
        self._inside = False
        if name == "c" and self._column <= MOST_COLUMNS:
            self._cells[self._column] = Cell(self._shown(), self._formula)
        elif name == "row" and self._cells:
            last = max(self._cells)
            cells = [self._cells.get(place, Cell("")) for place in range(1, last + 1)]
            self.rows.append(SourceRow(self._number, cells))

    def _shown(self) -> str:
        text = str(self._value)
        if self._kind == "s" and text:
            return self._texts[int(text)] if 0 <= int(text) < len(self._texts) else ""
        if self._kind == "n" and text:
            return shown_number(text)
        if self._kind == "b" and text:
            return "TRUE" if text.strip() == "1" else "FALSE"  # as Excel shows it: no amount
        return text


def shown_number(text: str) -> str:
    """A number of a sheet with the 15 digits that Excel shows: 0.30000000000000004 is 0.3."""
    number = float(text)
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else f"{number:.15g}"


def _sheet(archive: zipfile.ZipFile, texts: list[str]) -> Iterator[SourceRow]:
    reader = _Sheet(texts)
    with archive.open(_first_sheet(archive)) as part:
        for _ in parse(part, reader.start, reader.end, reader.data):
            while reader.rows:
                yield reader.rows.popleft()
