"""Which storage keys exist, and which of them stay behind when a store is copied.

What lives here: the laws of a key that every backend shares. What never does: a backend's own
limits (a file name's length), what a path means. Source: ``docs/formats/storage.md``, after
Vault's physical layer: put and delete refuse keys that are not valid UTF-8 or hold a rune that
Go's ``unicode.IsPrint`` denies; ``..`` anywhere is refused.
"""

from collections.abc import Sequence

from zvault.storage.api import Delete, Operation, Put
from zvault.storage.errors import InvalidKeyError

MIGRATION_KEY = "core/migration"
"""Its presence makes every server refuse to start on the store."""

KEYRING_KEY = "core/keyring"
LAST_KEYS = ("core/seal-config", KEYRING_KEY)
"""A copy writes them last, so that half a store never counts as an initialised Vault."""

TEMPORARY_SUFFIX = ".temp"
"""What a real server appends to the name of the file it is writing."""

_LEFT_BEHIND = frozenset({"core/lock", "core/initialize-lock", MIGRATION_KEY})
_LEADER = "core/leader/"


def is_skipped_by_copy(key: str) -> bool:
    """True for locks, leaders and the migration mark: they belong to a place, not a store."""
    return key in _LEFT_BEHIND or key.startswith(_LEADER)


def is_leftover_name(key: str) -> bool:
    """True when ``key`` may be the half-written file of a killed server, or a key so named."""
    return key.endswith(TEMPORARY_SUFFIX)


def is_clean(key: str) -> bool:
    """True when joining and cleaning the key as a path leaves it as it is."""
    if not key or key[0] == "/" or key[-1] == "/" or "//" in key:
        return False
    return "." not in key or not any(part == "." for part in key.split("/"))


def check_key(key: str) -> None:
    """Raise InvalidKeyError unless ``key`` may be written or deleted."""
    if ".." in key:
        raise InvalidKeyError(key, "it contains '..'")
    if not key.isprintable():
        raise InvalidKeyError(key, "it holds a character that is not printable")
    if not is_clean(key):
        raise InvalidKeyError(key, "it is empty or not a clean path")


def is_storable_for_reading(key: str) -> bool:
    """False when no store can hold ``key``, so that reading it is "absent".

    Raises InvalidKeyError for ``..``, as Vault does.
    """
    if ".." in key:
        raise InvalidKeyError(key, "it contains '..'")
    return is_clean(key) and "\0" not in key


def check_prefix(prefix: str) -> bool:
    """True when something can lie below ``prefix``.

    Raises InvalidKeyError for ``..`` and for a prefix that neither is empty nor ends in ``/``.
    """
    if ".." in prefix:
        raise InvalidKeyError(prefix, "it contains '..'")
    if not prefix:
        return True
    if not prefix.endswith("/"):
        raise InvalidKeyError(prefix, "a prefix ends in '/'")
    return is_clean(prefix[:-1]) and "\0" not in prefix


def check_operations(operations: Sequence[Operation]) -> None:
    """Raise InvalidKeyError for the first operation whose key no backend takes."""
    for operation in operations:
        if not isinstance(operation, Put | Delete):
            raise TypeError(f"neither Put nor Delete: {type(operation).__name__}")
        check_key(operation.key)
