"""The storage protocol: a key is a ``/``-separated string, a value is opaque bytes.

What lives here: the contract every backend keeps and the engine and the copier rely on. What never
does: ciphertext opened, a path's meaning.
Source of the semantics: Vault's physical backends (``docs/formats/storage.md``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Put:
    """Write ``value`` at ``key``."""

    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove ``key``; absent is fine."""

    key: str


Operation = Put | Delete


class Storage(Protocol):
    """Key to opaque bytes.

    Every method may raise ``storage.errors.StorageError`` (a ZvaultError), which names backend,
    key and cause, and ``InvalidKeyError`` for a key the backend cannot hold.
    """

    @property
    def url(self) -> str:
        """The store's URL as a user would type it; never holds a credential."""
        ...

    async def get(self, key: str) -> bytes | None:
        """The value, or None when absent. Never suspends when a cache can answer."""
        ...

    async def apply(self, operations: Sequence[Operation]) -> None:
        """Do the operations in order; all are durable on return.

        Killed in the middle, a prefix of them has happened and each one whole. After a power cut
        any of them may have happened, each one whole: who needs "this last" makes two calls. Two
        concurrent calls may share one group commit.
        """
        ...

    async def list(self, prefix: str) -> list[str]:
        """Immediate children of ``prefix`` ("" or ending in ``/``), sorted bytewise.

        Folders end in ``/``; a name can be there twice, as ``foo`` and as ``foo/``.
        """
        ...

    async def close(self) -> None:
        """Finish what has begun and let go of locks and connections."""
        ...
