"""What a service says it needs, before it starts.

What lives here: the declaration of one secret and how a value of KV becomes the declared type.
What never does: I/O.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar, overload

from zakupai_common.vault.errors import SecretAbsentError, SettingsError, WrongTypeError

T = TypeVar("T")


class Declared(Generic[T]):
    """One secret: a ``name`` for humans, ``path`` below the KV mount, ``key`` inside it.

    ``key`` None means all keys of the path, as a dict. ``kind`` is one of str, int, float, bool,
    dict, list; KV holds JSON, and a text that reads as the type is taken too (``vault kv put``
    writes texts). An optional secret (``required=False``) may be absent.
    Raises SettingsError for a declaration that makes no sense.
    """

    __slots__ = ("key", "kind", "name", "path", "required")
    kind: type[T]

    @overload
    def __init__(
        self: "Declared[str]", name: str, path: str, key: str, *, required: bool = ...
    ) -> None: ...

    @overload
    def __init__(
        self: "Declared[dict[str, Any]]", name: str, path: str, *, required: bool = ...
    ) -> None: ...

    @overload
    def __init__(
        self, name: str, path: str, key: str, kind: type[T], *, required: bool = ...
    ) -> None: ...

    def __init__(
        self,
        name: str,
        path: str,
        key: str | None = None,
        kind: type[Any] | None = None,
        *,
        required: bool = True,
    ) -> None:
        wanted: Any = kind or (dict if key is None else str)
        if wanted not in _READERS or (key is None and wanted is not dict):
            raise SettingsError(
                f"secret {name!r} is declared as {wanted.__name__}, which KV cannot hold",
                hint="str, int, float, bool, dict or list; dict for a whole path",
            )
        if not name or not path.strip("/") or key == "":
            raise SettingsError(f"secret {name!r} is declared without a name, path or key")
        self.name, self.path, self.key = name, path.strip("/"), key
        self.kind, self.required = wanted, required

    def __repr__(self) -> str:
        return f"Declared({self.name!r}, {self.path!r}, {self.key!r}, {self.kind.__name__})"

    def pick(self, content: Mapping[str, Any]) -> T:
        """The declared value out of what the path holds.

        Raises SecretAbsentError and WrongTypeError; neither quotes the value.
        """
        found = dict(content) if self.key is None else content.get(self.key)
        if found is None:
            raise SecretAbsentError(f"{self.path} has no key {self.key!r}")
        try:
            return _READERS[self.kind](found)  # type: ignore[no-any-return]
        except (ValueError, TypeError):
            pass
        raise WrongTypeError(
            f"{self.path}, key {self.key!r}, holds a {type_name(found)} that is no "
            f"{self.kind.__name__}"
        )


def type_name(value: object) -> str:
    """What JSON calls it."""
    names = {str: "string", bool: "boolean", int: "number", float: "number", dict: "object"}
    return "null" if value is None else names.get(type(value), "array")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError
    return int(value)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    return float(value)


def _truth(value: object) -> bool:
    if isinstance(value, str):
        value = {"true": True, "false": False}.get(value.strip().lower())
    if not isinstance(value, bool):
        raise TypeError
    return value


def _structure(kind: type[Any]) -> Callable[[object], Any]:
    def read(value: object) -> Any:
        found = json.loads(value) if isinstance(value, str) else value
        if not isinstance(found, kind):
            raise TypeError
        return found

    return read


_READERS: dict[Any, Callable[[object], Any]] = {
    str: _text,
    int: _integer,
    float: _number,
    bool: _truth,
    dict: _structure(dict),
    list: _structure(list),
}
