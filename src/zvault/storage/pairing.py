"""Two stores side by side, key by key, and whether a pair is equal.

What lives here: the merge of two walks and the cheapest honest test of equality. What never does:
a write. Equal means: the bytes were compared, or the provider's MD5 of what it holds equals the
MD5 of what the other side holds. A tag that differs decides nothing (it may not be an MD5): then
bytes are compared.
"""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import Enum

from zvault.storage.api import Storage
from zvault.storage.errors import CorruptEntryError
from zvault.storage.keys import is_leftover_name
from zvault.storage.listing import ObjectInfo
from zvault.storage.walk import inventory


@dataclass(frozen=True, slots=True)
class Pair:
    """One key with what each side's listing says; None where it does not list the key."""

    key: str
    a: ObjectInfo | None
    b: ObjectInfo | None


class Verdict(Enum):
    """What holding the two sides of a pair together shows."""

    EQUAL = "equal"
    DIFFERENT = "different"
    ONLY_A = "only in a"
    ONLY_B = "only in b"
    NEITHER = "listed, but no entry on either side"


@dataclass(frozen=True, slots=True)
class Judged:
    """A pair's verdict. ``value_a`` is the value of side a when it was read.

    ``size`` in bytes of an equal entry; ``read_back`` when equality came from reading side b (or
    both) and not from a listed MD5; ``foreign_a``/``foreign_b`` when that side lists the name and
    has no entry behind it.
    """

    key: str
    verdict: Verdict
    size: int = 0
    value_a: bytes | None = None
    read_back: bool = False
    foreign_a: bool = False
    foreign_b: bool = False


def proof_of(entries: int, read_back: int, known: int = 0) -> str:
    """How the equality of ``entries`` was seen, as the reports say it.

    ``read-back`` and ``md5-listing``; ``unmoved`` for what was seen equal before and whose marks
    have not moved since; several joined by ``+``.
    """
    kinds = {
        "md5-listing": entries > read_back + known,
        "read-back": read_back > 0 or not entries,
        "unmoved": known > 0,
    }
    return "+".join(kind for kind, is_used in kinds.items() if is_used)


async def merge(a: Storage, b: Storage) -> AsyncIterator[Pair]:
    """Every key of either store once, in the walk's order."""
    left, right = inventory(a), inventory(b)
    info_a, info_b = await anext(left, None), await anext(right, None)
    while info_a is not None or info_b is not None:
        if info_b is None or (info_a is not None and info_a.key < info_b.key):
            assert info_a is not None
            yield Pair(info_a.key, info_a, None)
            info_a = await anext(left, None)
        elif info_a is None or info_b.key < info_a.key:
            yield Pair(info_b.key, None, info_b)
            info_b = await anext(right, None)
        else:
            yield Pair(info_a.key, info_a, info_b)
            info_a, info_b = await anext(left, None), await anext(right, None)


async def one_sided(a: Storage) -> AsyncIterator[Pair]:
    """Every key of ``a``, for a side b that is known to be empty."""
    async for info in inventory(a):
        yield Pair(info.key, info, None)


async def judge(a: Storage, b: Storage, pair: Pair) -> Judged:
    """Hold the two sides of one pair together. Raises CorruptEntryError, StorageError."""
    if pair.a is not None and pair.b is not None:
        quick = await _by_md5(a, b, pair.key, pair.a, pair.b)
        if quick is not None:
            return quick
    value_a = await read_entry(a, pair.key) if pair.a is not None else None
    value_b = await read_entry(b, pair.key) if pair.b is not None else None
    if value_a is None and value_b is None:
        verdict = Verdict.NEITHER
    elif value_b is None:
        verdict = Verdict.ONLY_A
    elif value_a is None:
        verdict = Verdict.ONLY_B
    else:
        verdict = Verdict.EQUAL if value_a == value_b else Verdict.DIFFERENT
    return Judged(
        pair.key,
        verdict,
        size=len(value_a or b""),
        value_a=value_a,
        read_back=value_b is not None,
        foreign_a=pair.a is not None and value_a is None,
        foreign_b=pair.b is not None and value_b is None,
    )


async def read_entry(storage: Storage, key: str) -> bytes | None:
    """The value; None when there is no entry, a killed server's leftover included.

    Raises CorruptEntryError for any other entry that is not what a Vault writes.
    """
    try:
        return await storage.get(key)
    except CorruptEntryError:
        if is_leftover_name(key):
            return None
        raise


async def _by_md5(
    a: Storage, b: Storage, key: str, info_a: ObjectInfo, info_b: ObjectInfo
) -> Judged | None:
    """Equal by listed MD5, or None when that cannot be said."""
    if info_a.etag_md5 is not None and info_b.etag_md5 is not None:
        if info_a.etag_md5 == info_b.etag_md5 and info_a.size == info_b.size:
            return Judged(key, Verdict.EQUAL, size=info_a.size or 0)
        return None
    listed, other, is_a = (info_a, b, False) if info_a.etag_md5 is not None else (info_b, a, True)
    if listed.etag_md5 is None:
        return None
    value = await read_entry(other, key)
    if value is None or hashlib.md5(value, usedforsecurity=False).hexdigest() != listed.etag_md5:
        return None
    return Judged(key, Verdict.EQUAL, size=len(value), value_a=value if is_a else None)
