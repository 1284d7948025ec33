"""What etl takes from goszakup: five kinds of records, as data; pure.

What lives here: each kind's query, fields and window, and reading one record of an answer. What
never does: I/O.
Invariants: a record without its key, or with a value that its column cannot hold, is refused with
the reason, and never stored with an empty one; a text says what goszakup said.
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

PAGE_SIZE = 200
"""The most that goszakup gives at once."""
GOSZAKUP_TIME = datetime.timezone(datetime.timedelta(hours=5))
"""Its times name no zone; they are those of Astana."""
_LONGEST_TEXT = 20_000
_LARGEST_SUM = Decimal(10) ** 15
_LARGEST_NUMBER = 2**63 - 1


class Kind(StrEnum):
    """What a field holds."""

    TEXT = "text"
    BIN = "bin"
    """Twelve digits; goszakup gives some as numbers, without their leading zeros."""
    NUMBER = "number"
    SUM = "sum"
    TIME = "time"


class EntityName(StrEnum):
    """The kinds, as tables, labels of metrics and answers name them."""

    RNU = "rnu"
    """Suppliers in the list of the unscrupulous."""
    SUBJECTS = "subjects"
    TRD_BUY = "trd_buy"
    """Announcements."""
    LOTS = "lots"
    CONTRACTS = "contracts"


@dataclass(frozen=True)
class Field:
    """``name`` at goszakup, ``column`` here."""

    name: str
    column: str
    kind: Kind = Kind.TEXT
    required: bool = False


@dataclass(frozen=True)
class Entity:
    """One kind of records. ``windowed``: only those that changed in a window can be asked for."""

    name: EntityName
    root: str
    filter_type: str
    key: str
    fields: tuple[Field, ...]
    windowed: bool = True

    @property
    def query(self) -> str:
        """The GraphQL text; page, cursor and window are variables of it."""
        names = " ".join([self.key, *(field.name for field in self.fields)])
        return (
            f"query($filter: {self.filter_type}, $limit: Int, $after: Int) "
            f"{{ {self.root}(filter: $filter, limit: $limit, after: $after) {{ {names} }} }}"
        )

    def variables(
        self, after: int, since: datetime.datetime, until: datetime.datetime
    ) -> dict[str, Any]:
        """Records with a greater key than ``after``, in the order of their keys."""
        told: dict[str, Any] = {"limit": PAGE_SIZE, "after": after}
        if self.windowed:
            told["filter"] = {"lastUpdateDate": [_told_time(since), _told_time(until)]}
        return told


_UPDATED = Field("lastUpdateDate", "last_update_date", Kind.TIME)
ENTITIES: tuple[Entity, ...] = (
    Entity(
        EntityName.RNU,
        "Rnu",
        "RnuFiltersInput",
        "id",
        (
            Field("supplierBiin", "supplier_biin", Kind.BIN, required=True),
            Field("supplierNameRu", "supplier_name"),
            Field("startDate", "start_date", Kind.TIME),
            Field("endDate", "end_date", Kind.TIME),
        ),
        windowed=False,
    ),
    Entity(
        EntityName.SUBJECTS,
        "Subjects",
        "SubjectFiltersInput",
        "pid",
        (
            Field("bin", "bin", Kind.BIN),
            Field("iin", "iin", Kind.BIN),
            Field("nameRu", "name"),
            _UPDATED,
        ),
    ),
    Entity(
        EntityName.TRD_BUY,
        "TrdBuy",
        "TrdBuyFiltersInput",
        "id",
        (
            Field("numberAnno", "number_anno", required=True),
            Field("nameRu", "name"),
            Field("totalSum", "total_sum", Kind.SUM),
            Field("orgBin", "org_bin", Kind.BIN),
            Field("refBuyStatusId", "status_id", Kind.NUMBER),
            Field("publishDate", "publish_date", Kind.TIME),
            Field("startDate", "start_date", Kind.TIME),
            Field("endDate", "end_date", Kind.TIME),
            _UPDATED,
        ),
    ),
    Entity(
        EntityName.LOTS,
        "Lots",
        "LotsFiltersInput",
        "id",
        (
            Field("lotNumber", "lot_number", required=True),
            Field("nameRu", "name"),
            Field("descriptionRu", "description"),
            Field("amount", "amount", Kind.SUM),
            Field("customerBin", "customer_bin", Kind.BIN),
            Field("trdBuyId", "trd_buy_id", Kind.NUMBER),
            Field("trdBuyNumberAnno", "trd_buy_number_anno"),
            Field("refLotStatusId", "status_id", Kind.NUMBER),
            _UPDATED,
        ),
    ),
    Entity(
        EntityName.CONTRACTS,
        "Contract",
        "ContractFiltersInput",
        "id",
        (
            Field("contractNumberSys", "contract_number", required=True),
            Field("trdBuyId", "trd_buy_id", Kind.NUMBER),
            Field("supplierBiin", "supplier_biin", Kind.BIN),
            Field("customerBin", "customer_bin", Kind.BIN),
            Field("contractSum", "contract_sum", Kind.SUM),
            Field("refContractStatusId", "status_id", Kind.NUMBER),
            Field("signDate", "sign_date", Kind.TIME),
            _UPDATED,
        ),
    ),
)
"""In the order in which a run takes them."""
BY_NAME: Mapping[str, Entity] = {entity.name: entity for entity in ENTITIES}


class RefusedError(ValueError):
    """A record that is not stored; the text is the reason."""


def key_of(entity: Entity, record: Any) -> int:
    """Its key. Raises RefusedError."""
    if not isinstance(record, dict):
        raise RefusedError("the record is no object")
    found = _value(Field(entity.key, "id", Kind.NUMBER, required=True), record.get(entity.key))
    assert isinstance(found, int)
    if found < 1:
        raise RefusedError(f"{entity.key}: must be at least 1")
    return found


def read_record(entity: Entity, record: Mapping[str, Any]) -> dict[str, Any]:
    """Its values by column, ``id`` apart. Raises RefusedError."""
    return {field.column: _value(field, record.get(field.name)) for field in entity.fields}


def _value(field: Field, found: Any) -> Any:
    if found is None or found == "":
        if field.required:
            raise RefusedError(f"{field.name}: is missing")
        return None
    try:
        return _READERS[field.kind](found)
    except (ValueError, OverflowError, InvalidOperation) as error:
        # Python's own texts would quote the value.
        reason = str(error) if isinstance(error, RefusedError) else "is not what it must be"
        raise RefusedError(f"{field.name}: {reason}") from None


def _text(found: Any) -> str:
    if isinstance(found, bool) or not isinstance(found, str | int):
        raise RefusedError("is no text")
    text = str(found)
    if len(text) > _LONGEST_TEXT:
        raise RefusedError(f"is longer than {_LONGEST_TEXT} characters")
    if "\x00" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise RefusedError("holds characters that no text can hold")
    return text


def _bin(found: Any) -> str:
    text = _text(found).strip()
    if isinstance(found, int):
        text = text.rjust(12, "0")
    if len(text) != 12 or not (text.isascii() and text.isdigit()):
        raise RefusedError("is not 12 digits")
    return text


def _number(found: Any) -> int:
    if isinstance(found, bool) or not isinstance(found, str | int):
        raise RefusedError("is no whole number")
    text = str(found)
    if not (text.isascii() and text.removeprefix("-").isdigit() and len(text) <= 20):
        raise RefusedError("is no whole number")
    if abs(number := int(text)) > _LARGEST_NUMBER:
        raise RefusedError("is too large")
    return number


def _sum(found: Any) -> Decimal:
    if isinstance(found, bool) or not isinstance(found, str | int | float):
        raise RefusedError("is no amount")
    # A binary fraction has 15 digits that mean something: 710338.80000000005 is 710338.8.
    text = f"{found:.15g}" if isinstance(found, float) else str(found)
    amount = Decimal(text) if len(text) <= 40 else Decimal("NaN")
    if not amount.is_finite():
        raise RefusedError("is no amount")
    if abs(amount) >= _LARGEST_SUM:
        raise RefusedError("is too large")
    return amount.quantize(Decimal("0.01"), ROUND_HALF_UP)


def _time(found: Any) -> datetime.datetime:
    if not isinstance(found, str):
        raise RefusedError("is no time")
    moment = datetime.datetime.fromisoformat(found.strip())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=GOSZAKUP_TIME)
    return moment.astimezone(datetime.UTC)


_READERS = {
    Kind.TEXT: _text,
    Kind.BIN: _bin,
    Kind.NUMBER: _number,
    Kind.SUM: _sum,
    Kind.TIME: _time,
}


def _told_time(moment: datetime.datetime) -> str:
    return moment.astimezone(GOSZAKUP_TIME).strftime("%Y-%m-%d %H:%M:%S")
