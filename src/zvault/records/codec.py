"""Frozen dataclasses to Go's JSON structs and back, from one table of fields per record.

What lives here: the machine; the tables live beside their records. Pure.
Invariant: a field this version does not know is kept in ``extra`` and written back; a field of the
wrong shape is an error that names the field and never its value.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from operator import attrgetter
from typing import Any, Generic, TypeVar

from zvault.base.gotime import ZERO_NS, format_time, parse_time
from zvault.records import compress, gojson
from zvault.records.errors import RecordError

T = TypeVar("T")


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    raise TypeError


def _integer(value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise TypeError


def _boolean(value: Any) -> bool:
    if value is None:
        return False
    if isinstance(value, bool):
        return value
    raise TypeError


def _texts(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise TypeError


def _text_map(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if isinstance(value, dict) and all(isinstance(item, str) for item in value.values()):
        return value
    raise TypeError


def _text_map_or_null(value: Any) -> dict[str, str] | None:
    return None if value is None else _text_map(value)


def _object(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, dict):
        return value
    raise TypeError


def _time(value: Any) -> int:
    if not value:
        return ZERO_NS
    if isinstance(value, str):
        return parse_time(value)
    raise TypeError


def _same(value: Any) -> Any:
    return value


def _or_null(value: Any) -> Any:
    return value or None


class Kind(Enum):
    """How a JSON value becomes an attribute and back."""

    TEXT = (_text, _same)
    INT = (_integer, _same)
    BOOL = (_boolean, _same)
    TEXTS = (_texts, _or_null)
    """List of strings; the empty one is written as null, as Go writes an unset slice."""
    TEXTS_NOT_NULL = (_texts, _same)
    """List of strings; the empty one is written as []."""
    TEXT_MAP = (_text_map, _or_null)
    TEXT_MAP_OR_NULL = (_text_map_or_null, _same)
    OBJECT = (_object, _or_null)
    TIME = (_time, format_time)
    """int nanoseconds."""
    ANY = (_same, _same)

    def __init__(self, decode: Callable[[Any], Any], encode: Callable[[Any], Any]) -> None:
        self.decode = decode
        self.encode = encode


@dataclass(frozen=True, slots=True)
class Member:
    """One field: its JSON name, its attribute, its kind; omitted when empty if Go says so."""

    name: str
    kind: Kind
    attribute: str = ""
    omit_empty: bool = False


class Codec(Generic[T]):
    """Decodes and encodes one record class, whose every attribute has a default."""

    def __init__(
        self, title: str, record: Callable[..., T], members: Sequence[Member], *, newline: bool
    ) -> None:
        self._title = title
        self._record = record
        self._newline = newline
        self._names = [member.name for member in members]
        attributes = [member.attribute or member.name for member in members]
        self._decoders = [
            (member.name, attribute, member.kind.decode)
            for member, attribute in zip(members, attributes, strict=True)
        ]
        # A getter of one attribute gives no tuple, so there is always a second one.
        self._values = attrgetter(*attributes, "extra")
        self._encoders = [(m.name, m.kind.encode) for m in members if m.kind.encode is not _same]
        self._omitted_when_empty = [member.name for member in members if member.omit_empty]

    def decode(self, data: bytes) -> T:
        """The record of its stored bytes, compressed or not. Raises RecordError."""
        return self.decode_over({}, data)

    def decode_over(self, absent: Mapping[str, Any], data: bytes) -> T:
        """Like ``decode``; ``absent`` are the JSON values of fields that are not there."""
        try:
            body = gojson.loads_object(compress.expand(data))
        except RecordError as error:
            raise RecordError(f"{self._title}: {error.message}") from None
        return self.from_json({**absent, **body})

    def from_json(self, body: Mapping[str, Any]) -> T:
        """The record of a parsed object. Raises RecordError."""
        rest = dict(body)
        try:
            values = {
                attribute: decode(rest.pop(name))
                for name, attribute, decode in self._decoders
                if name in rest
            }
        except (TypeError, ValueError):
            raise RecordError(f"{self._title}: {self._blame(body)}") from None
        return self._record(**values, extra=rest)

    def _blame(self, body: Mapping[str, Any]) -> str:
        """Which field it was, looked for only after one was wrong."""
        for name, _, decode in self._decoders:
            try:
                if name in body:
                    decode(body[name])
            except (TypeError, ValueError):
                return f"field {name!r} is not as it must be"
        return "a field is not as it must be"

    def to_json(self, record: T) -> dict[str, Any]:
        """Fields in Go's order, then those nobody here knows."""
        *values, extra = self._values(record)
        body = dict(zip(self._names, values, strict=True))
        for name in self._omitted_when_empty:
            if not body[name]:
                del body[name]
        for name, encode in self._encoders:
            if name in body:
                body[name] = encode(body[name])
        body.update(extra)
        return body

    def encode(self, record: T) -> bytes:
        """The stored bytes, uncompressed."""
        return gojson.dumps(self.to_json(record), sort_keys=False, newline=self._newline)
