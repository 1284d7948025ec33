"""What was opened before in one store, so that it need not be opened again.

What lives here: each opened entry's mark and fact. What never does: a value, a read.
Invariants: as in ``storage/remembered.py``, which is the same for equality; and a fact counts only
while the context it was read in is the same and every data key it may have been opened with is
still in the keyring.
"""

from collections.abc import Collection

from zvault.barrier.keyring import Keyring
from zvault.base.clock import Clock, ClockWatch
from zvault.offline.examine import Fact
from zvault.offline.facts import Context
from zvault.storage.listing import Mark, ObjectInfo


class Known:
    """Of one store. Some 500 bytes an entry."""

    def __init__(self, clock: Clock) -> None:
        self._facts: dict[str, tuple[Mark, Fact]] = {}
        self._watch = ClockWatch(clock)
        self._context: Context | None = None
        self._keyring: Keyring | None = None

    @property
    def keys(self) -> Collection[str]:
        """Of the entries that were opened."""
        return self._facts.keys()

    def begin(self, context: Context, keyring: Keyring) -> None:
        """Another look at the store: forget what does not hold for it."""
        if self._watch.went_back() or context != self._context or self._lost_a_key(keyring):
            self._facts.clear()
        self._context, self._keyring = context, keyring

    def fact(self, info: ObjectInfo) -> Fact | None:
        """What the entry was when it was opened; None when it has moved since."""
        mark, fact = self._facts.get(info.key, (None, None))
        return fact if mark is not None and mark == info.mark else None

    def note(self, info: ObjectInfo, md5: str, fact: Fact) -> None:
        """``info`` was listed before the value was read, ``md5`` (hex) is of what was read."""
        if info.mark is None or info.etag_md5 not in (None, md5):
            self._facts.pop(info.key, None)
        else:
            self._facts[info.key] = (info.mark, fact)

    def keep_only(self, keys: Collection[str]) -> None:
        """Forget the entries that are gone."""
        for key in self._facts.keys() - keys:
            del self._facts[key]

    def _lost_a_key(self, keyring: Keyring) -> bool:
        if self._keyring is None:
            return True
        now = {key.term: key.value for key in keyring.keys}
        return any(now.get(key.term) != key.value for key in self._keyring.keys)
