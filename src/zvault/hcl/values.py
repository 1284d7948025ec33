"""What parsed HCL is: objects of items in their order, duplicates kept.

What lives here: the value model and the two ways to look at it: ``blocks`` (all of a name) and
``stanzas`` (all of a name with their label, whichever of the allowed forms they were written in).
Pure.

Model: str, int, float, bool, None (JSON only), tuple for lists, ``Object``. ``a "b" "c" { }`` is
an item ``a`` with labels ``("b", "c")``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Union

from zvault.hcl.errors import HclError

Value = Union[str, int, float, bool, None, tuple["Value", ...], "Object"]


@dataclass(frozen=True, slots=True)
class Item:
    """One ``key = value`` or ``key "label" { … }``. ``line`` 0: from JSON, place not known."""

    key: str
    labels: tuple[str, ...]
    value: Value
    line: int = 0
    column: int = 0

    def error(self, problem: str) -> HclError:
        """An error at this item's place."""
        return HclError(f"{self.key!r} {problem}", self.line, self.column)


@dataclass(frozen=True, slots=True)
class Stanza:
    """A labelled block: ``path "secret/*" { … }`` has the label ``secret/*``."""

    label: str
    body: "Object"
    item: Item


@dataclass(frozen=True, slots=True)
class Object:
    """Items in the order of the text; a key can be there more than once."""

    items: tuple[Item, ...] = ()

    def keys(self) -> list[str]:
        """Distinct keys in order of first use."""
        return list(dict.fromkeys(item.key for item in self.items))

    def find(self, key: str) -> list[Item]:
        """All items of a key."""
        return [item for item in self.items if item.key == key]

    def last(self, key: str) -> Item | None:
        """The last item of a key: for settings, the later one wins."""
        return next((item for item in reversed(self.items) if item.key == key), None)

    def blocks(self, key: str) -> list["Object"]:
        """All blocks of a key without label, lists of objects included. Raises HclError."""
        return [
            body
            for item in self.find(key)
            for body in _objects(item, _under_labels(item.labels, item.value))
        ]

    def stanzas(self, key: str) -> list[Stanza]:
        """All labelled blocks of a key, in any of HCL's and JSON's forms. Raises HclError.

        ``k "l" {}``, ``k = { "l" = {} }``, ``{"k": {"l": {}}}``, ``{"k": [{"l": {}}]}``,
        ``{"k": {"l": [{}, {}]}}``.
        """
        return [
            Stanza(inner.key, body, item if item.line else inner)
            for item in self.find(key)
            for outer in _objects(item, _under_labels(item.labels, item.value))
            for inner in outer.items
            for body in _objects(inner, _under_labels(inner.labels, inner.value))
        ]

    def to_python(self) -> dict[str, Any]:
        """Plain dicts and lists; a key that is there twice becomes the list of its values."""
        result: dict[str, Any] = {}
        for key in self.keys():
            values = [_plain(_under_labels(i.labels, i.value)) for i in self.find(key)]
            result[key] = values[0] if len(values) == 1 else values
        return result


def _under_labels(labels: tuple[str, ...], value: Value) -> Value:
    """The value with its labels as keys around it."""
    for label in reversed(labels):
        value = Object((Item(label, (), value),))
    return value


def _objects(item: Item, value: Value) -> Iterator[Object]:
    if isinstance(value, Object):
        yield value
        return
    if isinstance(value, tuple) and all(isinstance(element, Object) for element in value):
        for element in value:
            yield from _objects(item, element)
        return
    raise item.error("must be a block")


def _plain(value: Value) -> Any:
    if isinstance(value, Object):
        return value.to_python()
    if isinstance(value, tuple):
        return [_plain(element) for element in value]
    return value
