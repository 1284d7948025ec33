"""A value that prints redacted.

What lives here: the one type for shares, keys, passwords and tokens in memory; the comparison of
secret texts.
Invariant: nothing but ``reveal`` and ``reveal_text`` gives the value out, so both can be grepped;
a secret cannot be pickled, formatted or compared in variable time.
"""

import hmac
from typing import NoReturn

REDACTED = "<redacted>"


class Secret:
    """Bytes that do not show up in a repr, a log line, a traceback or a pickle."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes | str) -> None:
        self._value = value.encode() if isinstance(value, str) else bytes(value)

    def reveal(self) -> bytes:
        """The value itself."""
        return self._value

    def reveal_text(self) -> str:
        """The value as UTF-8 text. Raises UnicodeDecodeError when it is none."""
        return self._value.decode()

    def __len__(self) -> int:
        return len(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return f"Secret({REDACTED})"

    def __str__(self) -> str:
        return REDACTED

    def __format__(self, format_spec: str) -> str:
        return REDACTED

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled")


def same_text(one: str, other: str) -> bool:
    """Two secret texts are equal; how long that takes does not tell how much of them agrees."""
    return hmac.compare_digest(
        one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass")
    )
