"""New seal entries in the place of the old ones: all of them, or none.

What lives here: the undo record that makes several writes one, and what is done about one that a
killed server has left. What never does: what the entries hold (``seal.py``, ``keyring.py``), who
may ask for a rekey (``engine/seal/rekey.py``).
Vault writes the stored root key and the keyring one after the other; killed between the two, its
store opens with no key at all. So the old entries are first put aside, as they lie in storage:
ciphertext and the plain seal configuration, nothing that needs a key to put back.
Invariants: until the record is removed, which is the commit, the old shares open the store (after
``settle``, or read through ``entry_before_rekey``); from then on the new ones do. A record whose
entries somebody else has changed meanwhile is never put back.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from zvault.barrier.errors import UnreadableEntryError
from zvault.barrier.paths import REKEY_UNDO
from zvault.storage.api import Delete, Operation, Put, Storage

_VERSION = 1


@dataclass(frozen=True, slots=True)
class _Undo:
    """Per key: the bytes before (None: absent) and the digest of the bytes after."""

    before: dict[str, bytes | None]
    after: dict[str, str]


class SealReplacement:
    """One replacement: ``commit`` it, or ``put_back`` what it began, as often as it takes."""

    def __init__(self, storage: Storage, undo: _Undo, operations: Sequence[Operation]) -> None:
        self._storage = storage
        self._undo = undo
        self._operations = operations

    async def commit(self) -> None:
        """Do all of it. Raises StorageError: ``put_back`` is then due."""
        # Three calls: of one call any part may survive a power cut.
        await self._storage.apply([Put(REKEY_UNDO, _encode(self._undo))])
        await self._storage.apply(self._operations)
        await self._storage.apply([Delete(REKEY_UNDO)])

    async def put_back(self) -> None:
        """The old entries again. Raises StorageError: it is then still due.

        Also after the record was removed: a removal that failed may have happened, and may yet
        turn out not to be durable.
        """
        await self._storage.apply([Put(REKEY_UNDO, _encode(self._undo))])
        await self._storage.apply(_restoring(self._undo))
        await self._storage.apply([Delete(REKEY_UNDO)])


async def prepare_replacement(storage: Storage, operations: Sequence[Operation]) -> SealReplacement:
    """Look at what ``operations`` will replace; nothing is written yet. Raises StorageError."""
    before = {operation.key: await storage.get(operation.key) for operation in operations}
    after = {operation.key: _digest(_value(operation)) for operation in operations}
    return SealReplacement(storage, _Undo(before, after), operations)


async def settle(storage: Storage) -> bool:
    """Finish what a killed rekey has left; True when the old entries are in force again.

    Raises StorageError, UnreadableEntryError (a record of a later version).
    """
    undo = await _read(storage)
    if undo is None:
        return False
    is_ours = await _is_ours(storage, undo)
    if is_ours:
        await storage.apply(_restoring(undo))
    await storage.apply([Delete(REKEY_UNDO)])
    return is_ours


async def entry_before_rekey(storage: Storage, key: str) -> bytes | None:
    """The seal entry ``key`` as ``settle`` would leave it; for readers that change nothing.

    Raises StorageError, UnreadableEntryError.
    """
    undo = await _read(storage)
    if undo is None or key not in undo.before or not await _is_ours(storage, undo):
        return await storage.get(key)
    return undo.before[key]


async def _is_ours(storage: Storage, undo: _Undo) -> bool:
    """Each entry is as it was before or as the rekey wrote it."""
    for key, before in undo.before.items():
        now = await storage.get(key)
        if now != before and _digest(now) != undo.after[key]:
            return False
    return True


async def _read(storage: Storage) -> _Undo | None:
    record = await storage.get(REKEY_UNDO)
    if record is None:
        return None
    try:
        body = orjson.loads(record)
        if body["version"] != _VERSION:
            raise UnreadableEntryError(
                REKEY_UNDO,
                f"it is of version {body['version']}",
                hint="start the zvault that began this rekey, or a later one",
            )
        before = {
            str(key): None if value is None else base64.b64decode(value, validate=True)
            for key, value in body["before"].items()
        }
        after = {str(key): str(body["after"][key]) for key in before}
    except (ValueError, TypeError, KeyError, AttributeError, binascii.Error):
        raise UnreadableEntryError(REKEY_UNDO, "it is no record of a rekey") from None
    return _Undo(before, after)


def _encode(undo: _Undo) -> bytes:
    before = {
        key: None if value is None else base64.b64encode(value).decode()
        for key, value in undo.before.items()
    }
    return orjson.dumps({"version": _VERSION, "before": before, "after": undo.after})


def _value(operation: Operation) -> bytes | None:
    return operation.value if isinstance(operation, Put) else None


def _restoring(undo: _Undo) -> list[Operation]:
    return [Delete(key) if value is None else Put(key, value) for key, value in undo.before.items()]


def _digest(value: bytes | None) -> str:
    return "" if value is None else hashlib.sha256(value).hexdigest()
