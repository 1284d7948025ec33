"""What a row of an upload must be; pure.

What lives here: the columns, their names and limits, and the check of one row. What never does: a
file format.
Invariant: a value is taken as it stands or refused with the column and the reason; nothing is
guessed, filled in or evaluated.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

MOST_ROWS = 100_000
COLUMNS = ("bin", "amount", "status")
STATUSES = ("NEW", "APPROVED", "REJECTED")
_OTHER_NAMES = {"бин": "bin", "бин/иин": "bin", "сумма": "amount", "статус": "status"}
_BIN = re.compile(r"[0-9]{12}")
_AMOUNT = re.compile(r"[0-9]{1,13}(?:[.,][0-9]{1,2})?")
_GROUPS = re.compile(r"(?<=[0-9])[ \u00a0\u202f](?=[0-9]{3}(?![0-9]))")


class FileError(Exception):
    """The file as a whole cannot be read; the text says why."""

    def __init__(self, slug: str, reason: str) -> None:
        super().__init__(reason)
        self.slug = slug


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in a cell. ``formula``: it is computed, so it says nothing by itself."""

    text: str
    formula: bool = False


@dataclass(frozen=True)
class SourceRow:
    """A row below the header; ``number`` as a person counts, the header's is usually 1."""

    number: int
    cells: Sequence[Cell]


@dataclass(frozen=True)
class Row:
    """A row that is taken."""

    number: int
    bin: str
    amount: Decimal
    status: str


@dataclass(frozen=True)
class RowError:
    """One thing that is wrong with a row; ``column`` None: with the row itself."""

    row: int
    column: str | None
    reason: str


@dataclass(frozen=True)
class Header:
    """``places``: column → its place. ``width``: how many cells a row may have at most."""

    places: Mapping[str, int]
    width: int | None


def read_header(names: Sequence[str], *, exact: bool) -> Header:
    """Where each column is. ``exact``: a further cell in a row would shift the others.

    Raises FileError naming all that is missing or doubled.
    """
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        plain = " ".join(name.strip().casefold().split())
        column = _OTHER_NAMES.get(plain, plain)
        if column in places and column in COLUMNS:
            raise FileError("header-wrong", f"the header names the column {column} twice")
        places.setdefault(column, place)
    missing = [column for column in COLUMNS if column not in places]
    if missing:
        raise FileError("header-wrong", f"the header has no column {', '.join(missing)}")
    width = len(names) if exact else None
    return Header({column: places[column] for column in COLUMNS}, width)


def check_row(header: Header, row: SourceRow) -> Row | list[RowError]:
    """The row's values, or everything that is wrong with it."""
    if header.width is not None and len(row.cells) > header.width:
        reason = f"has more than the header's {header.width} cells: quote what holds commas"
        return [RowError(row.number, None, reason)]
    found: dict[str, str] = {}
    errors = []
    for column, place in header.places.items():
        cell = row.cells[place] if place < len(row.cells) else Cell("")
        try:
            found[column] = _CHECKS[column](cell)
        except ValueError as error:
            errors.append(RowError(row.number, column, str(error)))
    if errors:
        return errors
    amount = Decimal(found["amount"])
    return Row(row.number, found["bin"], amount, found["status"])


def is_empty(row: SourceRow) -> bool:
    """Nothing stands in it."""
    return not any(cell.formula or cell.text.strip() for cell in row.cells)


def _plain(cell: Cell) -> str:
    if cell.formula:
        raise ValueError("holds a formula, and formulas are not evaluated: put the value there")
    text = cell.text.strip(" \t\r\n\u00a0")
    if not text:
        raise ValueError("is empty")
    return text


def _bin(cell: Cell) -> str:
    text = _plain(cell)
    if _BIN.fullmatch(text):
        return text
    if text.isascii() and text.isdigit() and len(text) < 12:
        raise ValueError(
            f"has {len(text)} digits, not 12: as a number it loses zeros in front; make it a text"
        )
    raise ValueError("must be 12 digits")


def _amount(cell: Cell) -> str:
    text = _GROUPS.sub("", _plain(cell))
    if _AMOUNT.fullmatch(text):
        return text.replace(",", ".")
    if text.startswith("-") and _AMOUNT.fullmatch(text[1:]):
        raise ValueError("must be at least 0")
    raise ValueError("must be an amount with at most 13 digits before the point and 2 after it")


def _status(cell: Cell) -> str:
    text = _plain(cell).upper()
    if text not in STATUSES:
        raise ValueError(f"must be one of {', '.join(STATUSES)}")
    return text


_CHECKS = {"bin": _bin, "amount": _amount, "status": _status}
