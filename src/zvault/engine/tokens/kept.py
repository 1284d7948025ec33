"""What was worked out before and is likely to be asked for again. Lives with the unsealed store.

What lives here: the bounds. What never does: what decides a result; whoever asks brings all of it
as the key, so a result is void when anything that it came of has changed.
"""

from typing import Generic, TypeVar

KEPT = 512
MAX_KEPT_BYTES = 8192
"""Of what is stored of one token; a larger one is worked out each time."""
T = TypeVar("T")


class Kept(Generic[T]):
    """A few results by all that decided them: kept from the second time on, for most never come
    again; forgotten all at once when there are too many."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], T | None] = {}

    def get(self, key: tuple[object, ...]) -> T | None:
        """What is kept; None for what is not."""
        return self._known.get(key)

    def is_due(self, key: tuple[object, ...]) -> bool:
        """It has come before, so that keeping it is worth the while."""
        if key in self._known:
            return True
        if len(self._known) >= KEPT:
            self._known.clear()
        self._known[key] = None
        return False

    def put(self, key: tuple[object, ...], value: T, size: int) -> None:
        """Keep it unless its ``size`` is beyond the limit."""
        if size <= MAX_KEPT_BYTES:
            self._known[key] = value

    def __len__(self) -> int:
        return len(self._known)
