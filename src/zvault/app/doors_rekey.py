"""A rekey behind the migration's doors, and for ``zvault rekey``.

What lives here: which server, which store, whose token. What never does: the order of acts
(``ops/declare/rekey.py``).
Invariant: shares go to pinned TLS or to our own process on loopback only.
"""

import asyncio
import contextlib
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from zvault.base.atomic_file import fsync_directory
from zvault.base.secret import Secret
from zvault.offline.proof import prove_unseal_key
from zvault.ops.declare.initialize import NewKeys
from zvault.ops.declare.rekey import present_numbers, rekey
from zvault.ops.migration.model import Target
from zvault.ops.migration.stores import Opener
from zvault.ops.unseal.errors import SharesSourceError
from zvault.ops.unseal.peer import PeerRules
from zvault.ops.unseal.shares import read_shares_file
from zvault.vaultapi.answers import SealStatus
from zvault.vaultapi.client import VaultApi
from zvault.vaultapi.rekey import Rekeying

_CALL_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class NewSharesDoor:
    """The NewShares port. ``token``: the operator's, which OpenBao since 2.6 wants for a rekey."""

    opener: Opener
    owner_uid: int
    find_pid: Callable[[], int | None]
    token: Callable[[], Secret] | None = None

    async def exists(self, path: Path) -> bool:
        """See NewShares."""
        return path.exists()

    async def in_file(self, path: Path) -> Sequence[Secret]:
        """See NewShares. A file that was taken and never filled holds blanks."""
        if not path.exists():
            return []
        try:
            return read_shares_file(path)
        except SharesSourceError:
            return []

    async def make(self, target: Target, store_url: str, old: Sequence[Secret], path: Path) -> None:
        """See NewShares."""
        await asyncio.to_thread(self.rekey, target, store_url, list(old), path, None)

    def rekey(
        self, target: Target, store_url: str, old: list[Secret], path: Path, wanted: NewKeys | None
    ) -> SealStatus:
        """The rekey itself, in a thread of its own. ``wanted`` None: as many shares as now."""

        def prove(shares: Sequence[Secret]) -> None:
            asyncio.run(self._prove(store_url, shares))

        with self._calling(target) as vault:
            numbers = wanted or present_numbers(vault)
            return rekey(vault, path, old, numbers, read_shares_file, prove)

    async def cancel(self, target: Target) -> None:
        """See NewShares."""
        await asyncio.to_thread(self.cancel_now, target)

    def cancel_now(self, target: Target) -> None:
        """End a rekey that was begun and not verified, whoever began it."""
        with self._calling(target) as vault:
            Rekeying(vault).cancel()

    async def set_aside(self, path: Path) -> None:
        """See NewShares."""
        for number in itertools.count(1):
            other = path.with_name(f"{path.name}.not-in-force-{number}")
            with contextlib.suppress(FileExistsError):
                os.link(path, other)  # unlike a rename it replaces nothing
                break
        path.unlink()
        fsync_directory(path.parent)

    async def _prove(self, store_url: str, shares: Sequence[Secret]) -> None:
        storage = await self.opener(store_url, read_only=True)
        try:
            await prove_unseal_key(storage, shares)
        finally:
            await storage.close()

    @contextlib.contextmanager
    def _calling(self, target: Target) -> Iterator[VaultApi]:
        rules = PeerRules(target.address, self.owner_uid, self.find_pid, target.ca_file)
        with contextlib.closing(rules.connect(_CALL_SECONDS)) as vault:
            yield vault if self.token is None else vault.with_token(self.token())
