"""Coercion of request fields, as Vault's ``sdk/framework/field_data.go`` does it.

What lives here: one function a kind. Invariant: pure; raises ValueError with text that names no
value, because values may be secrets.
"""

import json
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from zvault.base.gotime import SECOND_NS, parse_duration

_INT64 = 2**63
_TRUE = {"1", "t", "T", "TRUE", "true", "True"}
_FALSE = {"0", "f", "F", "FALSE", "false", "False", ""}


class FieldKind(Enum):
    """What a field holds after coercion."""

    STRING = auto()
    INT = auto()
    BOOL = auto()
    MAP = auto()
    DURATION = auto()
    """Nanoseconds, not negative."""
    SIGNED_DURATION = auto()
    """Nanoseconds; negative allowed."""
    COMMA_LIST = auto()
    """List of str from a list, ``a, b`` or JSON text."""
    WORDS = auto()
    """List of str; a lone string is one word, commas and all."""
    COMMA_INTS = auto()
    KV_PAIRS = auto()
    """dict of str to str from a map or a list of ``k=v``."""
    ANY = auto()


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
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, int | float):
        return str(value)
    raise ValueError("expected a string")


def _int(value: Any) -> int:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        # Vault sees the digits as they were written, and ``1.0`` or ``1e3`` is no int to Go.
        raise ValueError("expected a whole number")
    if isinstance(value, str):
        try:
            value = int(value.strip() or "0", 10)
        except ValueError:
            raise ValueError("expected a number") from None
    if isinstance(value, int):
        return _bounded(value)
    raise ValueError("expected a number")


def _bounded(number: int) -> int:
    """Go's int64; a larger number could not be read by the server that takes the store over."""
    if not -_INT64 <= number < _INT64:
        raise ValueError("out of range")
    return number


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):
        return value == 1
    if isinstance(value, str) and value in _TRUE:
        return True
    if isinstance(value, str) and value in _FALSE:
        return False
    raise ValueError("expected a boolean")


def _parsed(text: str) -> Any:
    """JSON that came as text. Raises ValueError, whose words do not repeat it."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _map(value: Any) -> dict[str, Any]:
    if isinstance(value, str) and value.strip().startswith("{"):
        value = _parsed(value)
    if isinstance(value, dict):
        return value
    raise ValueError("expected a map")


def _signed_duration(value: Any) -> int:
    if isinstance(value, bool):
        raise ValueError("expected a duration")
    if isinstance(value, int):
        return _bounded(value * SECOND_NS)
    if isinstance(value, str):
        # Seconds with a fraction or an exponent are no duration to Vault, as text or as number.
        try:
            return _bounded(parse_duration(value) if value.strip() else 0)
        except ValueError:
            raise ValueError("expected a duration") from None
    raise ValueError("expected a duration")


def _duration(value: Any) -> int:
    result = _signed_duration(value)
    if result < 0:
        raise ValueError("cannot be negative")
    return result


def _comma_list(value: Any) -> list[str]:
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("["):
            value = _parsed(text)
        else:
            value = text.split(",")
    if isinstance(value, int | float):
        value = [value]
    if not isinstance(value, list | tuple):
        raise ValueError("expected a list or a comma-separated string")
    return [item for item in (_string(item).strip() for item in value) if item]


def _words(value: Any) -> list[str]:
    return _comma_list([value] if isinstance(value, str) else value)


def _comma_ints(value: Any) -> list[int]:
    return [_int(item) for item in _comma_list(value)]


def _kv_pairs(value: Any) -> dict[str, str]:
    if isinstance(value, str):
        text = value.strip()
        value = _parsed(text) if text.startswith("{") else [p for p in text.split(",") if p]
    if isinstance(value, dict):
        return {str(key): _string(item) for key, item in value.items()}
    if isinstance(value, list):
        pairs = [item.split("=", 1) for item in map(_string, value)]
        if all(len(pair) == 2 for pair in pairs):
            return {key.strip(): item.strip() for key, item in pairs}
    raise ValueError("expected a map or a list of k=v")


_COERCERS: dict[FieldKind, Callable[[Any], Any]] = {
    FieldKind.STRING: _string,
    FieldKind.INT: _int,
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
