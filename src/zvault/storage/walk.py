"""Every key of a store in one fixed total order: bytewise by the full key.

What lives here: the walk that copy, compare, digest, backup and verify share. What never does:
values. The order does not depend on the backend, so two stores can be merged key by key, and a
walk resumes after any key. It names what a listing shows, stray files and leftovers included;
whether an entry is behind the name, ``get`` says.
"""

from collections.abc import AsyncIterator, Collection
from dataclasses import replace

from zvault.storage.api import Storage
from zvault.storage.listing import FlatListing, ObjectInfo, Stamped, Surveyed


async def walk(
    storage: Storage, *, prefix: str = "", after: str | None = None
) -> AsyncIterator[str]:
    """All keys below ``prefix`` ("" or ending in ``/``) that are greater than ``after``."""
    async for info in inventory(storage, prefix=prefix, after=after):
        yield info.key


def inventory(
    storage: Storage, *, prefix: str = "", after: str | None = None
) -> AsyncIterator[ObjectInfo]:
    """Like ``walk``, with sizes and MD5 tags where the backend lists them."""
    if isinstance(storage, FlatListing):
        return storage.list_objects(prefix, after=after)
    return _descend(storage, prefix, after)


async def survey(storage: Storage, known: Collection[str] = ()) -> dict[str, ObjectInfo]:
    """Every key that ``walk`` names, with its mark where the store has one; in no promised order.

    ``known`` as in ``Surveyed``. Memory: every key.
    """
    if isinstance(storage, Surveyed):
        return await storage.survey(known)
    found = {info.key: info async for info in inventory(storage)}
    if isinstance(storage, Stamped):
        return {key: replace(info, stamp=storage.stamp(key)) for key, info in found.items()}
    return found


async def _descend(storage: Storage, prefix: str, after: str | None) -> AsyncIterator[ObjectInfo]:
    """Folder by folder, without recursion: a key can be thousands of folders deep."""
    stack = [(prefix, iter(await storage.list(prefix)))]
    while stack:
        folder, children = stack[-1]
        child = next(children, None)
        if child is None:
            stack.pop()
            continue
        path = folder + child
        if child.endswith("/"):
            if after is None or path > after or after.startswith(path):
                stack.append((path, iter(await storage.list(path))))
        elif after is None or path > after:
            yield ObjectInfo(path)
