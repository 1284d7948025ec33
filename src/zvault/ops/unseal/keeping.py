"""Making, proving, renewing and destroying key files.

What lives here: the order of acts around a key file. What never does: the format
(``keyfile.py``), terminals.
Invariants: a key file gets its name only after it was read back, opened with the password and its
shares opened the store's root key and keyring; the old file stays until then.
"""

import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from zvault.base.atomic_file import fsync_directory, make_folders, write_atomic
from zvault.base.clock import Clock
from zvault.base.errors import PreconditionError, VerificationError
from zvault.base.gotime import SECOND_NS, format_time
from zvault.base.private_file import read_private
from zvault.base.secret import Secret
from zvault.ops.unseal.errors import ForeignKeyFileError
from zvault.ops.unseal.identity import read_cluster, read_seal_facts
from zvault.ops.unseal.keyfile import DEFAULT_ITERATIONS, KeyFile, parse_key_file, seal_key_file
from zvault.ops.unseal.keyfile_header import KeyFileHeader, VaultIdentity
from zvault.storage.api import Storage

Prove = Callable[[Storage, Sequence[Secret]], Awaitable[None]]
"""Opens ``core/hsm/barrier-unseal-keys`` and ``core/keyring`` of a store with shares, or raises."""


@dataclass(frozen=True, slots=True)
class Maker:
    """What making a key file needs from outside."""

    prove: Prove
    clock: Clock
    random_bytes: Callable[[int], bytes] = os.urandom
    iterations: int = DEFAULT_ITERATIONS

    async def create(
        self, path: Path, storage: Storage, shares: Sequence[Secret], password: Secret, name: str
    ) -> KeyFileHeader:
        """A new key file for the Vault in ``storage``; refuses to replace one.

        Raises PreconditionError when ``path`` exists, what the proof raises, KeyFileError, OSError.
        """
        if path.exists():
            raise PreconditionError(
                f"{path} exists", hint="renew it with `zvault keyfile rotate`, or destroy it first"
            )
        return await self._write(path, storage, shares, password, name)

    async def rotate(
        self,
        path: Path,
        storage: Storage,
        old_password: Secret,
        new_password: Secret,
        shares: Sequence[Secret] | None = None,
    ) -> KeyFileHeader:
        """The same file under a new password, with new ``shares`` or those it holds.

        The old file is replaced in one step after the new one is proven. Raises as ``create``.
        """
        old = load_key_file(path)
        kept = list(shares) if shares is not None else old.open(old_password)
        return await self._write(path, storage, kept, new_password, old.header.vault.name)

    async def _write(
        self, path: Path, storage: Storage, shares: Sequence[Secret], password: Secret, name: str
    ) -> KeyFileHeader:
        facts = await read_seal_facts(storage)
        await self.prove(storage, shares)
        cluster_name, cluster_id = await read_cluster(storage, shares)
        content = seal_key_file(
            shares,
            password,
            threshold=facts.threshold,
            total=facts.total,
            vault=VaultIdentity(
                facts.fingerprint,
                name=name,
                cluster_name=cluster_name,
                cluster_id=cluster_id,
                store=storage.url,
            ),
            created=format_time(self.clock.now_ns() // SECOND_NS * SECOND_NS),
            random_bytes=self.random_bytes,
            iterations=self.iterations,
        )
        candidate = path.with_name(f".{path.name}.new")
        with _naming(path):
            make_folders(path.parent)
            write_atomic(candidate, content)
        try:
            await prove_key_file(load_key_file(candidate), password, storage, self.prove)
            with _naming(path):
                candidate.replace(path)
                fsync_directory(path.parent)
        except BaseException:
            candidate.unlink(missing_ok=True)
            raise
        return load_key_file(path).header


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Say which file the system would not let us change, and why."""
    try:
        yield
    except OSError as cause:
        raise PreconditionError(
            f"{path} cannot be changed: {cause.strerror}", hint="check the folder and the disk"
        ) from None


def load_key_file(path: Path) -> KeyFile:
    """Read and judge a key file; mode at most 0600. Raises PreconditionError, KeyFileError."""
    return parse_key_file(read_private(path, "key file").reveal())


async def prove_key_file(
    key_file: KeyFile, password: Secret, storage: Storage, prove: Prove
) -> list[Secret]:
    """Open it and open the store with what is inside; the shares.

    Raises KeyFileError, ForeignKeyFileError when it is another Vault's, what the proof raises.
    """
    shares = key_file.open(password)
    try:
        await prove(storage, shares)
    except VerificationError as cause:
        facts = await read_seal_facts(storage)
        if facts.fingerprint != key_file.header.vault.fingerprint:
            raise ForeignKeyFileError(
                f"the key file was made for another Vault, or before a rekey of {storage.url}:"
                f" {cause.message}",
                hint="make a new one from this Vault's shares: zvault keyfile create",
            ) from None
        raise
    return shares


def destroy_key_file(path: Path, typed_name: str) -> None:
    """Overwrite and remove a key file; ``typed_name`` must be the file's own name.

    Overwriting does what a program can; snapshots, journals and flash cells may keep old blocks,
    so a file that somebody may have copied calls for a rekey. Raises PreconditionError.
    """
    if typed_name != path.name:
        raise PreconditionError(
            f"the name given is not {path.name!r}", hint=f"say --yes {path.name} to destroy it"
        )
    with _naming(path):
        _overwrite_and_remove(path)
        for leftover in path.parent.glob(f".{path.name}.*"):
            _overwrite_and_remove(leftover)  # of a run that was killed while making one
        fsync_directory(path.parent)
    if path.exists():
        raise VerificationError(f"{path} is still there", hint="does something restore it?")


def _overwrite_and_remove(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "r+b") as file:
        file.write(os.urandom(os.fstat(file.fileno()).st_size))
        file.flush()
        os.fsync(file.fileno())
        path.unlink()
