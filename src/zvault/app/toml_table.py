"""A strict reader of TOML tables: every problem is collected, none is guessed away.

What lives here: typed look-ups with defaults, and the list of what was wrong. What never does: a
site's meaning (``site.py``).
Invariant: a key that nobody asked for is a problem, so a typing error never becomes a default.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Table:
    """One table of the file; ``name`` is its dotted path, "" for the file itself."""

    name: str
    values: dict[str, Any]
    problems: list[str]
    asked: set[str] = field(default_factory=set)

    def table(self, key: str) -> "Table":
        """A table inside; an empty one when absent."""
        value = self._take(key, dict)
        return Table(self._path(key), value if value is not None else {}, self.problems)

    def text(self, key: str, default: str) -> str:
        """A string."""
        value = self._take(key, str)
        return default if value is None else str(value)

    def flag(self, key: str, default: bool) -> bool:
        """true or false."""
        value = self._take(key, bool)
        return default if value is None else bool(value)

    def number(self, key: str, default: float, *, at_least: float = 0) -> float:
        """An int or float not below ``at_least``."""
        self.asked.add(key)
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.problems.append(f"{self._path(key)} must be a number")
            return default
        if value < at_least:
            self.problems.append(f"{self._path(key)} must be at least {at_least:g}")
        return value

    def whole(self, key: str, *, at_least: int = 0) -> int:
        """A whole number not below ``at_least``; that when the file says something else."""
        self.asked.add(key)
        value = self.values.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            self.problems.append(f"{self._path(key)} must be a whole number from {at_least}")
            return at_least
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings; empty when absent."""
        value = self._take(key, list)
        if value is None:
            return ()
        if not all(isinstance(item, str) for item in value):
            self.problems.append(f"{self._path(key)} must be a list of texts")
            return ()
        return tuple(value)

    def path(self, key: str, default: str) -> Path:
        """A path as it is written."""
        return Path(self.text(key, default))

    def address(self, key: str, default: str) -> str:
        """``host:port``."""
        value = self.text(key, default)
        host, colon, port = value.rpartition(":")
        if not (host and colon and port.isdecimal() and 0 < int(port) < 65536):
            self.problems.append(f"{self._path(key)} must be host:port, not {value!r}")
        return value

    def has(self, key: str) -> bool:
        """Whether the file says something about it."""
        return key in self.values

    def done(self) -> None:
        """Name every key that was not asked for."""
        for key in sorted(set(self.values) - self.asked):
            self.problems.append(f"{self._path(key)} is not known")

    def _take(self, key: str, kind: type) -> Any:
        self.asked.add(key)
        value = self.values.get(key)
        if value is not None and not isinstance(value, kind):
            words = {dict: "table", str: "text", bool: "true or false", list: "list"}
            self.problems.append(f"{self._path(key)} must be a {words[kind]}")
            return None
        return value

    def _path(self, key: str) -> str:
        return f"{self.name}.{key}" if self.name else key
