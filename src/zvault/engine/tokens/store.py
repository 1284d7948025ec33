"""Token entries as stored: ids, accessors, parents.

What lives here: reading entries, turning external ids into inner ones, the writes that make or
remove a token. What never does: policies, TTL, who may do it (``service.py``), a cache
(``sessions.py``).
Invariants: a token is made by lease, accessor, parent index, id in this order and removed by id,
accessor, parent index, lease in this order: its id, by which it works, comes last and goes first,
and its lease, by which time takes it away, is there whenever anything of it is.
Source: ``docs/formats/records.md``
"""

import hashlib
from dataclasses import replace

from zvault.barrier.barrier import Barrier
from zvault.barrier.errors import UnreadableEntryError
from zvault.base.ids import RandomBytes, base62, new_uuid
from zvault.engine.leases.book import LeaseBook
from zvault.engine.tokens.batch import decode_batch, is_batch
from zvault.engine.tokens.struck import Names, Struck
from zvault.records import ssc
from zvault.records.errors import RecordError
from zvault.records.leases import ID_PREFIX as LEASE_PREFIX
from zvault.records.leases import LeaseEntry
from zvault.records.tokens import (
    ACCESSOR_PREFIX,
    ID_PREFIX,
    PARENT_PREFIX,
    SALT_KEY,
    AccessorEntry,
    Salter,
    TokenEntry,
    decode_accessor,
    decode_token,
    encode_accessor,
    encode_token,
    parent_key,
)
from zvault.storage.api import Delete, Operation, Put

ID_LENGTH = 24


async def load_salt(barrier: Barrier, random_bytes: RandomBytes) -> Salter:
    """The token store's salt at work, made on first use. Raises StorageError."""
    stored = await barrier.get(SALT_KEY)
    if stored is None:
        stored = new_uuid(random_bytes).encode()
        await barrier.apply([Put(SALT_KEY, stored)])
    return Salter(stored.decode())


def inner_prefix(family: str) -> str:
    """What service token ids begin with: ``hvs.`` or, as OpenBao issues them, ``s.``."""
    return "hvs." if family == "vault" else "s."


class TokenStore:
    """Entries below ``sys/token/``."""

    def __init__(
        self,
        barrier: Barrier,
        *,
        salted: Salter,
        header_key: bytes,
        cubbyhole_uuid: str,
        leases: LeaseBook,
        random_bytes: RandomBytes,
    ) -> None:
        self._barrier = barrier
        self.salted = salted
        """The stored form of an id."""
        self._header_key = header_key
        self._cubbyhole_uuid = cubbyhole_uuid
        self._leases = leases
        self.random_bytes = random_bytes
        self._issues_external = barrier.family == "vault"
        self._prefix = inner_prefix(barrier.family)

    def new_names(self) -> Names:
        """A fresh inner id, accessor and cubbyhole id."""
        text = base62(self.random_bytes, 3 * ID_LENGTH)
        own, accessor = text[:ID_LENGTH], text[ID_LENGTH : 2 * ID_LENGTH]
        return Names(self._prefix + own, accessor, text[2 * ID_LENGTH :])

    def external_id(self, inner_id: str, *, is_root: bool) -> str:
        """What the user is shown for an inner id; root and custom ids are shown as they are."""
        if self._issues_external and inner_id.startswith("hvs.") and not is_root:
            return ssc.encode(inner_id, self._header_key)
        return inner_id

    def inner_id(self, token: str) -> str | None:
        """The inner id of what a client sent; None for a forged or garbled external id."""
        if not ssc.is_external(token):
            return token
        try:
            return ssc.decode(token, self._header_key)
        except RecordError:
            return None

    async def get(self, inner_id: str) -> TokenEntry | None:
        """The entry of a token that can be used; None when absent or used up.

        Raises RecordError, UnreadableEntryError, StorageError.
        """
        entry = await self.read(inner_id)
        return None if entry is None or entry.num_uses < 0 else entry

    async def read(self, inner_id: str) -> TokenEntry | None:
        """The entry of a service token, used up or not; None when absent. Raises as ``get``."""
        if not inner_id or is_batch(inner_id):
            return None
        content = await self._barrier.get(ID_PREFIX + self.salted(inner_id))
        if content is None:
            return None
        entry = decode_token(content)
        if entry.id != inner_id or entry.namespace_id != "root":
            return None
        return self._with_cubbyhole(entry)

    def batch(self, token: str) -> TokenEntry | None:
        """The entry inside a batch token."""
        return decode_batch(self._barrier, token)

    def _with_cubbyhole(self, entry: TokenEntry) -> TokenEntry:
        """Old and custom ids keep their cubbyhole under a hash (``docs/formats/records.md``)."""
        if entry.cubbyhole_id or "." in entry.id:
            return entry
        text = self._cubbyhole_uuid + self.salted(entry.id)
        digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        return replace(entry, cubbyhole_id=digest)

    async def id_of_accessor(self, accessor: str) -> str | None:
        """The inner id behind an accessor. Raises RecordError, StorageError."""
        content = await self._barrier.get(ACCESSOR_PREFIX + self.salted(accessor))
        if content is None:
            return None
        entry = decode_accessor(content)
        if entry.accessor_id not in ("", accessor):
            return None
        return entry.token_id

    async def accessors(self) -> list[str]:
        """Accessors of all tokens that exist; unreadable entries are left out."""
        found = []
        for name in await self._barrier.list(ACCESSOR_PREFIX):
            try:
                content = await self._barrier.get(ACCESSOR_PREFIX + name)
                entry = None if content is None else decode_accessor(content)
            except (RecordError, UnreadableEntryError):
                continue
            if entry is not None and entry.accessor_id:
                found.append(entry.accessor_id)
        return found

    async def stale_accessors(self) -> list[tuple[Delete, str]]:
        """Accessor entries whose token is gone, each with the id it leads to."""
        stale: list[tuple[Delete, str]] = []
        tokens = set(await self._barrier.list(ID_PREFIX))
        for name in await self._barrier.list(ACCESSOR_PREFIX):
            key = ACCESSOR_PREFIX + name
            try:
                content = await self._barrier.get(key)
                entry = None if content is None else decode_accessor(content)
            except (RecordError, UnreadableEntryError):
                continue
            if entry is not None and self.salted(entry.token_id) not in tokens:
                stale.append((Delete(key), entry.token_id))
        return stale

    async def orphaned_indexes(self) -> list[Delete]:
        """Index entries below parents that are gone."""
        stale: list[Delete] = []
        for parent in await self._barrier.list(PARENT_PREFIX):
            children = await self._barrier.list(PARENT_PREFIX + parent)
            if await self._barrier.get(ID_PREFIX + parent.rstrip("/")) is None:
                stale += [Delete(PARENT_PREFIX + parent + child) for child in children]
        return stale

    async def indexes_to(self, inner_id: str) -> list[Delete]:
        """Index entries that lead to a token whose parent is not known; looks at every parent."""
        salted = self.salted(inner_id)
        keys = [
            f"{PARENT_PREFIX}{parent}{salted}" for parent in await self._barrier.list(PARENT_PREFIX)
        ]
        return [Delete(key) for key in keys if await self._barrier.get(key) is not None]

    async def children(self, inner_id: str) -> list[str]:
        """Inner ids of the tokens this one has made. Raises RecordError, StorageError."""
        found = []
        for name in await self._barrier.list(f"{PARENT_PREFIX}{self.salted(inner_id)}/"):
            content = await self._barrier.get(ID_PREFIX + name)
            if content is not None:
                found.append(decode_token(content).id)
        return found

    async def child_index(self, inner_id: str) -> list[str]:
        """Storage keys of the index from this token to its children."""
        prefix = f"{PARENT_PREFIX}{self.salted(inner_id)}/"
        return [prefix + name for name in await self._barrier.list(prefix)]

    def put(self, entry: TokenEntry) -> Put:
        """The write of the entry itself."""
        stored = entry if "." in entry.id else replace(entry, cubbyhole_id="")
        return Put(ID_PREFIX + self.salted(entry.id), encode_token(stored))

    def creation(self, entry: TokenEntry, lease: LeaseEntry | None) -> list[Operation]:
        """All writes that make a token, in their order."""
        index = encode_accessor(AccessorEntry(entry.id, entry.accessor))
        first = None if lease is None else self._leases.put(lease)
        return self._in_order(first, entry.accessor, index, entry.parent, self.put(entry))

    def creation_of(self, struck: Struck, names: Names, parent: str) -> list[Operation]:
        """The same of a token whose entries are encoded already."""
        token = Put(ID_PREFIX + self.salted(names.id), struck.token)
        lease = Put(LEASE_PREFIX + struck.lease_id, struck.lease)
        return self._in_order(lease, names.accessor, struck.accessor, parent, token)

    def _in_order(
        self, lease: Put | None, accessor: str, index: bytes, parent: str, token: Put
    ) -> list[Operation]:
        result: list[Operation] = [] if lease is None else [lease]
        result.append(Put(ACCESSOR_PREFIX + self.salted(accessor), index))
        if parent:
            salted_id = token.key.removeprefix(ID_PREFIX)
            result.append(Put(parent_key(self.salted(parent), salted_id), b""))
        result.append(token)
        return result

    def removal(self, entry: TokenEntry) -> list[Operation]:
        """All writes that remove a token and its lease, in their order."""
        result: list[Operation] = [Delete(ID_PREFIX + self.salted(entry.id))]
        if entry.accessor:
            result.append(Delete(ACCESSOR_PREFIX + self.salted(entry.accessor)))
        if entry.parent:
            result.append(Delete(parent_key(self.salted(entry.parent), self.salted(entry.id))))
        result.append(self._leases.delete(self._leases.id_of_token(entry.path, entry.id)))
        return result
