"""A value that prints redacted.

What lives here: the type of everything that came out of Vault or opens it.
Invariant: nothing but ``reveal`` gives the value out, so it can be grepped; a secret cannot be
pickled, and dumps of pydantic models hold ``<redacted>``.
"""

import hmac
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

REDACTED = "<redacted>"
T_co = TypeVar("T_co", covariant=True)


class Secret(Generic[T_co]):
    """A value of any type that does not show up in a repr, a log, a traceback or a dump.

    As a field of a pydantic model, ``Secret[str]`` takes a plain value or a Secret. Give such a
    model ``hide_input_in_errors=True``: pydantic quotes the input of whatever field was wrong.
    """

    __slots__ = ("_value",)
    _value: T_co

    def __init__(self, value: T_co) -> None:
        self._value = value

    def reveal(self) -> T_co:
        """The value itself."""
        return self._value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        mine, theirs = self._value, other._value
        if isinstance(mine, str) and isinstance(theirs, str):
            return hmac.compare_digest(_as_bytes(mine), _as_bytes(theirs))
        if isinstance(mine, bytes) and isinstance(theirs, bytes):
            return hmac.compare_digest(mine, theirs)
        return type(mine) is type(theirs) and bool(mine == theirs)

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return f"Secret({REDACTED})"

    def __str__(self) -> str:
        return REDACTED

    def __format__(self, format_spec: str) -> str:
        return REDACTED

    def __copy__(self) -> "Secret[T_co]":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "Secret[T_co]":
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled")

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: "GetCoreSchemaHandler"
    ) -> "CoreSchema":
        from typing import get_args

        from pydantic_core import core_schema

        inside = handler.generate_schema((get_args(source) or (str,))[0])
        wrap = core_schema.no_info_after_validator_function(cls, inside)
        return core_schema.json_or_python_schema(
            json_schema=wrap,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), wrap]),
            serialization=core_schema.plain_serializer_function_ser_schema(_redact),
        )


def _redact(_: object) -> str:
    return REDACTED


def _as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
