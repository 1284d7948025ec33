"""An uploaded file, read to its end.

What lives here: from a file on disk to the rows that are taken and the errors of the others. What
never does: PostgreSQL.
Invariants: every row below the header that is not empty is read once, and is either taken or has an
error; memory holds what is taken, one row that is not, and at most ``MOST_ERRORS`` errors.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from zakupai_etl.uploads.csv_file import csv_rows, detect_encoding
from zakupai_etl.uploads.rows import (
    MOST_ROWS,
    FileError,
    Header,
    Row,
    RowError,
    SourceRow,
    check_row,
    is_empty,
    read_header,
)
from zakupai_etl.uploads.xlsx_file import xlsx_rows

CSV, XLSX = "csv", "xlsx"
MOST_ERRORS = 1000
"""Told and kept of one file; all are counted."""


@dataclass
class ReadFile:
    """What a file says. ``rows_refused`` counts rows, ``errors`` may have several of one row."""

    form: str
    encoding: str | None = None
    rows: list[Row] = field(default_factory=list)
    errors: list[RowError] = field(default_factory=list)
    errors_count: int = 0
    rows_refused: int = 0

    @property
    def rows_read(self) -> int:
        return len(self.rows) + self.rows_refused


def read_file(path: Path, form: str) -> ReadFile:
    """All of it. Raises FileError when it cannot be read as a whole."""
    found = ReadFile(form)
    header, rows = _opened(path, found)
    for row in rows:
        if is_empty(row):
            continue
        if found.rows_read >= MOST_ROWS:
            raise FileError("too-many-rows", f"the file has more than {MOST_ROWS} rows")
        checked = check_row(header, row)
        if isinstance(checked, Row):
            found.rows.append(checked)
        else:
            found.rows_refused += 1
            found.errors_count += len(checked)
            found.errors += checked[: MOST_ERRORS - len(found.errors)]
    if not found.rows_read:
        raise FileError("no-rows", "there is no row below the header")
    return found


def _opened(path: Path, found: ReadFile) -> tuple[Header, Iterator[SourceRow]]:
    if found.form == CSV:
        found.encoding = detect_encoding(path)
        return csv_rows(path, found.encoding)
    rows = xlsx_rows(path)
    first = next(rows, None)
    if first is None:
        raise FileError("header-wrong", "the first sheet is empty")
    return read_header([cell.text for cell in first.cells], exact=False), rows
