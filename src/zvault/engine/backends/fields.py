"""Coercion of request fields: what real servers take for a boolean, a number, a list, a map.

What lives here: one function a kind. Null is the kind's empty value. Invariant: pure; raises
ValueError with text that names no value, because values may be secrets.
"""

import contextlib
import re
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from zvault.base.gotime import SECOND_NS, parse_duration
from zvault.records.gojson import NumberLiteral

_INT64 = 2**63
_TRUE = {"1", "t", "T", "TRUE", "true", "True"}
_FALSE = {"0", "f", "F", "FALSE", "false", "False", ""}
_OCTAL = re.compile(r"[+-]?0_?[0-7][0-7_]*")


class FieldKind(Enum):
    """What a field holds after coercion."""

    STRING = auto()
    INT = auto()
    FLOAT = auto()
    BOOL = auto()
    MAP = auto()
    DURATION = auto()
    """Nanoseconds, whole seconds, not negative."""
    SIGNED_DURATION = auto()
    """Nanoseconds, whole seconds; negative allowed."""
    COMMA_LIST = auto()
    """List of str from a list or from ``a, b``; empty ones stay."""
    WORDS = auto()
    """List of str; a lone string is one word, commas and all."""
    COMMA_INTS = auto()
    KV_PAIRS = auto()
    """dict of str to str from a map, ``k=v`` or a list of ``k=v``."""
    ANY = auto()


SKIPS_NULL = frozenset({FieldKind.DURATION, FieldKind.SIGNED_DURATION, FieldKind.ANY})
"""Kinds whose null counts as not given; any other kind's null is its empty value."""


def invalid_duration(value: Any) -> str:
    """Go's words for a lifetime that is none. A lifetime is no secret, but the text stays short."""
    shown = value if isinstance(value, str) and len(value) <= 32 else type(value).__name__
    return f'time: invalid duration "{shown}"'


def coerce(kind: FieldKind, value: Any) -> Any:
    """The value as its kind. Raises ValueError or TypeError."""
    return _COERCERS[kind](value)


def _string(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, NumberLiteral):
        return value.text
    if isinstance(value, int | float):
        return str(value)
    raise ValueError("expected a string")


def _int(value: Any) -> int:
    if value is None or isinstance(value, bool):
        return int(value or 0)
    if isinstance(value, str):
        value = _number(value)
    if isinstance(value, int):
        return _bounded(value)
    # Vault sees the digits as they were written, and ``1.0`` or ``1e3`` is no int to Go.
    raise ValueError("expected a whole number")


def _number(text: str) -> int:
    """A whole number as Go writes it in its source: ``0x1f``, ``017``, ``1_000`` too."""
    try:
        if text.isascii() and text == text.strip():
            return int(text or "0", 8 if _OCTAL.fullmatch(text) else 0)
    except ValueError:
        pass
    raise ValueError("expected a number")


def _bounded(number: int) -> int:
    """Go's int64; a larger number could not be read by the server that takes the store over."""
    if not -_INT64 <= number < _INT64:
        raise ValueError("out of range")
    return number


def _bool(value: Any) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    if isinstance(value, int) and value in (0, 1):
        return value == 1
    if isinstance(value, str) and value in _TRUE:
        return True
    if isinstance(value, str) and value in _FALSE:
        return False
    raise ValueError("expected a boolean")


def _map(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    if value is None:
        return {}
    if isinstance(value, list) and _are_maps(value):
        return {key: inner for item in value if item for key, inner in item.items()}
    raise ValueError("expected a map")


def _are_maps(items: list[Any]) -> bool:
    return all(item is None or isinstance(item, dict) for item in items)


def lifetime_ns(value: Any) -> int:
    """A duration with all its digits: seconds, or Go's text. Raises ValueError."""
    if value is None or value == "":
        return 0
    if isinstance(value, int) and not isinstance(value, bool):
        return _bounded(value * SECOND_NS)
    if isinstance(value, str) and value == value.strip():
        # Seconds with a fraction or an exponent are no duration to Vault, as text or as number.
        try:
            return _bounded(parse_duration(value))
        except ValueError:
            pass
    raise ValueError("expected a duration")


def _signed_duration(value: Any) -> int:
    exact = lifetime_ns(value)
    return exact // SECOND_NS * SECOND_NS if exact > 0 else -(-exact // SECOND_NS * SECOND_NS)


def _duration(value: Any) -> int:
    result = _signed_duration(value)
    if result < 0:
        raise ValueError("cannot be negative")
    return result


def _float(value: Any) -> float:
    is_plain = isinstance(value, str) and value.isascii() and value == value.strip()
    if is_plain or value is None or isinstance(value, int | float):
        with contextlib.suppress(ValueError, OverflowError):
            return float(value or 0)
    raise ValueError("expected a number")


def _listed(value: Any) -> list[Any]:
    """A list as it is, nothing as an empty one, one thing as a list of one."""
    if isinstance(value, list | tuple):
        return list(value)
    return [] if value is None or value == "" or value == {} else [value]


def _comma_list(value: Any) -> list[str]:
    items = value.split(",") if isinstance(value, str) and value else _listed(value)
    return [_string(item).strip() for item in items]


def _words(value: Any) -> list[str]:
    return [_string(item).strip() for item in _listed(value)]


def _comma_ints(value: Any) -> list[int]:
    items = value.split(",") if isinstance(value, str) and value else _listed(value)
    return [_int(item) for item in items]


def _kv_pairs(value: Any) -> dict[str, str]:
    items = [value] if isinstance(value, str) else _listed(value)
    if isinstance(value, dict) or _are_maps(items):
        return {str(key): _string(item) for key, item in _map(value).items()}
    pairs = [item.split("=", 1) for item in map(_string, items)]
    if all(len(pair) == 2 and pair[0] for pair in pairs):
        return {pair[0]: pair[1] for pair in pairs}
    raise ValueError("expected a map or a list of k=v")


_COERCERS: dict[FieldKind, Callable[[Any], Any]] = {
    FieldKind.STRING: _string,
    FieldKind.INT: _int,
    FieldKind.FLOAT: _float,
    FieldKind.BOOL: _bool,
    FieldKind.MAP: _map,
    FieldKind.DURATION: _duration,
    FieldKind.SIGNED_DURATION: _signed_duration,
    FieldKind.COMMA_LIST: _comma_list,
    FieldKind.WORDS: _words,
    FieldKind.COMMA_INTS: _comma_ints,
    FieldKind.KV_PAIRS: _kv_pairs,
    FieldKind.ANY: lambda value: value,
}
