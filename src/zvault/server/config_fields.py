"""One block of a configuration, read field by field.

What lives here: typed getters that know the line of what they refuse, and the record of what was
never asked for. What never does: which fields there are.
Invariant: an error names field and line, never the value, which may be a secret.
"""

import math
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

from zvault.base.errors import UsageError
from zvault.base.gotime import SECOND_NS, parse_duration
from zvault.hcl.values import Item, Object, Value

_TRUE = {"1", "t", "T", "TRUE", "true", "True"}
_FALSE = {"0", "f", "F", "FALSE", "false", "False"}


class ConfigError(UsageError):
    """The configuration cannot be used as it is."""

    code = "bad-config"


def refuse(item: Item, problem: str) -> ConfigError:
    """An error at the place of ``item``."""
    place = f"line {item.line}: " if item.line else ""
    return ConfigError(f"{place}{item.key} {problem}", hint="see docs/formats/server-config.md")


class Fields:
    """The fields of one block; a later one of the same name wins, as in Vault."""

    def __init__(self, body: Object) -> None:
        self._body = body
        self._asked: set[str] = set()

    def item(self, name: str) -> Item | None:
        """The item itself; None when absent or JSON null."""
        self._asked.add(name)
        item = self._body.last(name)
        return None if item is None or item.value is None else item

    def know(self, *names: str) -> None:
        """Names that mean nothing here and are no mistake."""
        self._asked.update(names)

    def unknown(self) -> list[Item]:
        """Every item nobody asked for."""
        return [item for item in self._body.items if item.key not in self._asked]

    def text(self, name: str, default: str = "") -> str:
        item = self.item(name)
        if item is None:
            return default
        value = item.value
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str | int | float):
            return str(value)
        raise refuse(item, "must be a string")

    def choice(self, name: str, default: str, choices: Sequence[str]) -> str:
        value = self.text(name, default).lower()
        item = self.item(name)
        if item is not None and value not in choices:
            raise refuse(item, f"must be one of {', '.join(choices)}")
        return value

    def boolean(self, name: str, *, default: bool = False) -> bool:
        item = self.item(name)
        if item is None:
            return default
        text = self.text(name)
        if text in _TRUE:
            return True
        if text in _FALSE:
            return False
        raise refuse(item, "must be true or false")

    def whole_number(self, name: str, default: int) -> int:
        item = self.item(name)
        if item is None:
            return default
        try:
            return int(self.text(name))
        except ValueError:
            raise refuse(item, "must be a whole number") from None

    def duration_ns(self, name: str, default_ns: int) -> int:
        """Go's duration text, or seconds. Never negative."""
        item = self.item(name)
        if item is None:
            return default_ns
        try:
            value = item.value
            if isinstance(value, float) and math.isfinite(value):
                duration = int(value * SECOND_NS)
            else:
                duration = parse_duration(self.text(name))
        except ValueError:
            raise refuse(item, 'must be a duration such as "768h"') from None
        if duration < 0:
            raise refuse(item, "must not be negative")
        return duration

    def seconds(self, name: str, default_seconds: float) -> float:
        """A duration in seconds."""
        return self.duration_ns(name, int(default_seconds * SECOND_NS)) / SECOND_NS

    def all_texts(self) -> dict[str, str]:
        """Every field as text, for whoever knows what they mean."""
        return {key: self.text(key) for key in self._body.keys()}  # noqa: SIM118 - not a dict

    def texts(self, name: str) -> list[str]:
        """A list of strings, or one string with commas."""
        item = self.item(name)
        if item is None:
            return []
        value: Value = item.value
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        if isinstance(value, tuple) and all(isinstance(element, str) for element in value):
            return [str(element) for element in value]
        raise refuse(item, "must be a list of strings")

    def networks(self, name: str) -> list[IPv4Network | IPv6Network]:
        """A list of addresses or CIDR ranges."""
        item = self.item(name)
        try:
            return [ip_network(text) for text in self.texts(name)]
        except ValueError:
            assert item is not None
            raise refuse(item, "must be a list of addresses or CIDR ranges") from None

    def blocks(self, name: str) -> list["Fields"]:
        """Every block of that name."""
        self._asked.add(name)
        return [Fields(body) for body in self._body.blocks(name)]
