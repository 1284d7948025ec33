"""How a secret appears in an audit record: as an HMAC under the device's salt.

What lives here: the hasher and the walk over request and response data. What never does: IO, a
record's shape.
Invariants: every string value below ``data`` is hashed, empty ones too, unless its key is one the
mount exempts; numbers that came out of JSON are hashed as text, numbers the engine put there are
plain; map keys, booleans and null stay.
Source: ``docs/formats/audit.md``.
"""

import hashlib
import itertools
from collections.abc import Callable, Collection, Mapping
from typing import Any

from zvault.engine.errors import InvalidRequestError
from zvault.engine.userdata import EncodedData, Timestamp, UserData
from zvault.records import gojson

PREFIX = "hmac-sha256:"
REMEMBERED = 8192
_BLOCK = 64
_NOBODY: frozenset[str] = frozenset()
_numbers = itertools.count(1)


class Hasher:
    """HMAC-SHA256 with the salt's text as key, as ``hmac-sha256:<hex>``."""

    def __init__(self, salt: str) -> None:
        key = salt.encode()
        if len(key) > _BLOCK:
            key = hashlib.sha256(key).digest()
        key = key.ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in key))
        self._remembered: dict[str, str] = {}
        self.number = next(_numbers)
        """Names this hasher in memos of hashed data; never used twice in a process."""

    def text(self, value: str) -> str:
        """The hash of one value."""
        inner = self._inner.copy()
        inner.update(value.encode("utf-8", "surrogatepass"))
        outer = self._outer.copy()
        outer.update(inner.digest())
        return PREFIX + outer.hexdigest()

    def remembered(self, value: str) -> str:
        """Like ``text`` for values that come again and again (tokens, accessors)."""
        found = self._remembered.get(value)
        if found is None:
            if len(self._remembered) >= REMEMBERED:
                self._remembered.pop(next(iter(self._remembered)))
            found = self._remembered[value] = self.text(value)
        return found

    def tree(self, value: Any, *, numbers: bool, plain_keys: Collection[str] = _NOBODY) -> Any:
        """``value`` with everything hashed that must be.

        ``numbers`` says that numbers here came out of JSON. Values below a key in ``plain_keys``
        are left as they are. Raises InvalidRequestError for data nested deeper than can be walked.
        """
        try:
            return walk(value, self.text, numbers, plain_keys)
        except RecursionError:
            raise InvalidRequestError("the data is nested too deeply") from None


class RawHasher(Hasher):
    """What ``log_raw=true`` asks for: everything readable."""

    def __init__(self) -> None:
        super().__init__("")

    def text(self, value: str) -> str:
        return value

    def remembered(self, value: str) -> str:
        return value

    def tree(self, value: Any, *, numbers: bool, plain_keys: Collection[str] = _NOBODY) -> Any:
        return value


def walk(
    value: Any, hash_text: Callable[[str], str], numbers: bool, plain_keys: Collection[str]
) -> Any:
    """A copy of ``value`` with strings (and numbers, if so asked) hashed."""
    kind = type(value)
    if kind is str:
        return hash_text(value)
    if value is None or kind is bool or kind is Timestamp:
        return value
    if isinstance(value, Mapping):
        numbers = numbers or isinstance(value, UserData)
        numbers = numbers or (isinstance(value, EncodedData) and value.is_user_data)
        return {
            key: item if key in plain_keys else walk(item, hash_text, numbers, plain_keys)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [walk(item, hash_text, numbers, plain_keys) for item in value]
    if isinstance(value, int | float):
        return hash_text(gojson.dumps(value).decode()) if numbers else value
    return hash_text(str(value))
