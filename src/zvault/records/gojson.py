"""JSON as Go's ``encoding/json`` writes it and as Vault reads it.

What lives here: text to values and back. Pure.
Invariant: numbers keep their digits (``1.0`` stays ``1.0``, ``1e5`` stays ``1e5``, integers of any
length stay exact); object keys are written in byte order; ``<``, ``>``, ``&`` and the two Unicode
line separators are escaped.
"""

import json
import re
from typing import Any

import msgspec
import orjson

from zvault.records.errors import RecordError

_ESCAPES = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
)
_ASCII_ESCAPES = _ESCAPES[:3]
_SURROGATE = re.compile("[\ud800-\udfff]")


class NumberLiteral(float):
    """A number that was not an integer, with the digits it was written with."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> "NumberLiteral":
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __reduce__(self) -> tuple[Any, ...]:
        return (NumberLiteral, (self.text,))


_decoder = msgspec.json.Decoder(float_hook=NumberLiteral)


def loads(data: bytes | str) -> Any:
    """The value of one JSON text; trailing white space is fine. Raises RecordError."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _loads_slowly(data)
    except (RecursionError, ValueError):
        raise RecordError("the entry holds no JSON that can be read") from None


def _loads_slowly(data: bytes | str) -> Any:
    """What msgspec refuses and Go takes: bad UTF-8 and lone surrogates become U+FFFD."""
    text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
    try:
        value = json.loads(text, parse_float=NumberLiteral, parse_constant=_refuse)
        return _without_surrogates(value)
    except (ValueError, RecursionError):
        raise RecordError("the entry holds no JSON that can be read") from None


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list | tuple):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(k): _without_surrogates(item) for k, item in value.items()}
    return value


def loads_object(data: bytes | str) -> dict[str, Any]:
    """Like ``loads``, for a JSON object. Raises RecordError."""
    value = loads(data)
    if not isinstance(value, dict):
        raise RecordError("the entry holds JSON, but no object")
    return value


def dumps(value: Any, *, sort_keys: bool = True, newline: bool = False) -> bytes:
    """Compact JSON. ``newline``: with the line feed that Go's Encoder ends with.

    Raises RecordError for a value JSON cannot hold (not-a-number, keys that are no strings).
    """
    option = orjson.OPT_SORT_KEYS if sort_keys else 0
    if newline:
        option |= orjson.OPT_APPEND_NEWLINE
    try:
        data = orjson.dumps(value, default=_fragment, option=option)
    except (TypeError, orjson.JSONEncodeError):
        data = _dumps_slowly(value, sort_keys=sort_keys) + (b"\n" if newline else b"")
    for plain, escaped in _ASCII_ESCAPES if data.isascii() else _ESCAPES:
        if plain in data:  # a search for one string costs a tenth of any pattern's
            data = data.replace(plain, escaped)
    return data


def _fragment(value: Any) -> Any:
    if isinstance(value, NumberLiteral):
        return orjson.Fragment(value.text)
    raise TypeError


def _dumps_slowly(value: Any, *, sort_keys: bool) -> bytes:
    """Integers above 64 bits and lone surrogates, which orjson refuses."""
    try:
        text = _encode(_without_surrogates(value), sort_keys=sort_keys)
    except (TypeError, ValueError, RecursionError):
        raise RecordError("a value cannot be written as JSON") from None
    return text.encode()


def _encode(value: Any, *, sort_keys: bool) -> str:
    if isinstance(value, NumberLiteral):
        return value.text
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError
        items = sorted(value.items()) if sort_keys else value.items()
        members = (f"{_scalar(k)}:{_encode(v, sort_keys=sort_keys)}" for k, v in items)
        return "{" + ",".join(members) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_encode(item, sort_keys=sort_keys) for item in value) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
