"""Rows of a CSV file.

What lives here: its encoding, its delimiter, its rows one after the other. What never does: what a
row must be.
Invariants: the file is read from its beginning to its end once, line by line; of an encoding or a
delimiter that fits nothing the file is refused, never half read.
"""

import codecs
import csv
from collections.abc import Iterator
from pathlib import Path

from zakupai_etl.uploads.rows import Cell, FileError, Header, SourceRow, read_header

DELIMITERS = ",;\t|"
_CHUNK = 64 * 1024
_LONGEST_HEADER = 10_000


def detect_encoding(path: Path) -> str:
    """UTF-8 when all of it is UTF-8, else cp1251, which Excel writes here. Raises FileError."""
    for encoding in ("utf-8-sig", "cp1251"):
        if _decodes(path, encoding):
            return encoding
    raise FileError("encoding-unknown", "the text is neither UTF-8 nor Windows-1251")


def _decodes(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                if "\x00" in decoder.decode(chunk):
                    return False  # UTF-16, or no text at all
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def csv_rows(path: Path, encoding: str) -> tuple[Header, Iterator[SourceRow]]:
    """The header, and the rows below it. Raises FileError, also while the rows are read."""
    delimiter, header = _header(path, encoding)
    return header, _rows(path, encoding, delimiter, header.width or 0)


def _header(path: Path, encoding: str) -> tuple[str, Header]:
    """The delimiter with which the first line names all columns."""
    with path.open(encoding=encoding, newline="") as file:
        line = file.readline(_LONGEST_HEADER)
    if not line.strip():
        raise FileError("header-wrong", "the first line, which names the columns, is empty")
    wrong = None
    for delimiter in DELIMITERS:
        try:
            names = next(csv.reader([line], delimiter=delimiter, strict=True))
            return delimiter, read_header(names, exact=True)
        except csv.Error:
            continue
        except FileError as error:
            # The one that finds several names is the one that was meant.
            wrong = error if wrong is None or len(names) > 1 else wrong
    raise wrong or FileError("header-wrong", "the first line is no line of CSV")


def _rows(path: Path, encoding: str, delimiter: str, width: int) -> Iterator[SourceRow]:
    with path.open(encoding=encoding, newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            next(reader)
            before = reader.line_num
            for cells in reader:
                # A row with line breaks inside quotes is named by the line in which it begins.
                yield SourceRow(before + 1, [Cell(text) for text in _cut(cells, width)])
                before = reader.line_num
        except csv.Error as error:
            line = reader.line_num
            raise FileError("csv-broken", f"line {line} is no CSV: {error}") from None


def _cut(cells: list[str], width: int) -> list[str]:
    """A row with too many cells keeps one of them: the first that holds something.

    10 MiB may be ten million cells of one row, and each of ours takes a hundred bytes.
    """
    if len(cells) <= width:
        return cells
    return [*cells[:width], next((text for text in cells[width:] if text.strip()), "")]
