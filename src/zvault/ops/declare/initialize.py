"""The keys of a new Vault: made, kept, and shown to open its store.

What lives here: the order of acts. What never does: which server, which store (``app``).
Invariants: no keys are made before the place for them is taken; an init that may have happened is
never reported as one that did not.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from zvault.base.errors import UsageError, ZvaultError
from zvault.base.secret import Secret
from zvault.ops.declare.errors import (
    AlreadyInitializedVaultError,
    KeysLostError,
    UnprovenKeysError,
)
from zvault.ops.declare.keys_file import KeysFile, content_of
from zvault.vaultapi.answers import Initialization, SealStatus
from zvault.vaultapi.client import VaultApi
from zvault.vaultapi.errors import VaultRefusedError

MAX_SHARES = 255
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_START_AGAIN = "nothing is in this Vault yet: stop it, remove its store, and start again"


@dataclass(frozen=True, slots=True)
class NewKeys:
    """How many shares are made, and how many open the Vault."""

    shares: int
    threshold: int


def initialize(
    vault: VaultApi,
    path: Path,
    wanted: NewKeys,
    read_shares: Callable[[Path], list[Secret]],
    prove: Callable[[list[Secret]], None],
) -> SealStatus:
    """Make the keys, keep them in ``path``, and prove that what was kept opens the store.

    ``read_shares`` reads the file as every later command will; ``prove`` opens the store itself.
    Raises UsageError for numbers that make no sense, KeysFilePlaceError and
    AlreadyInitializedVaultError (nothing was changed), KeysLostError, UnprovenKeysError (the file
    stays), or what the client raises before there are keys.
    """
    check_numbers(wanted)
    if vault.seal_status().initialized:
        raise _already(vault)
    with closing(KeysFile(path)) as place, _undisturbed():
        made = _make(vault, place, wanted)
        try:
            place.keep(content_of(made.shares, wanted.threshold, made.root_token))
        except OSError as cause:
            raise KeysLostError(
                f"{path} could not be written when the keys were made: {cause.strerror}",
                hint=_START_AGAIN,
            ) from None
    return _proven(vault, path, wanted, read_shares, prove)


def check_numbers(wanted: NewKeys) -> None:
    """Raise UsageError for numbers that make no sense."""
    fewest = 2 if wanted.shares > 1 else 1
    if not (1 <= wanted.shares <= MAX_SHARES and fewest <= wanted.threshold <= wanted.shares):
        raise UsageError(
            f"{wanted.shares} shares of which {wanted.threshold} open the Vault cannot be made",
            hint=f"--shares 1 to {MAX_SHARES}, --threshold 2 to that many (1 of 1 is possible)",
        )


def _already(vault: VaultApi) -> AlreadyInitializedVaultError:
    return AlreadyInitializedVaultError(
        f"{vault.address} has keys already; they were given out once, when it was initialised",
        hint="zvault unseal with those shares; nothing was changed",
    )


def _make(vault: VaultApi, place: KeysFile, wanted: NewKeys) -> Initialization:
    """The call. After a failure the server is asked whether it happened all the same."""
    try:
        return vault.initialize(wanted.shares, wanted.threshold)
    except ZvaultError as error:
        place.give_back()
        try:
            happened = vault.seal_status().initialized
        except ZvaultError as silence:
            raise KeysLostError(
                f"the answer to init did not come ({error.message}), and whether keys were made"
                f" cannot be asked: {silence.message}",
                hint=f"start the server; if it says initialised, {_START_AGAIN}",
            ) from None
        if not happened:
            raise
        if isinstance(error, VaultRefusedError):
            raise _already(vault) from None
        raise KeysLostError(
            f"the server made keys and their answer did not come: {error.message}",
            hint=_START_AGAIN,
        ) from None
    except BaseException:
        place.give_back()
        raise


def _proven(
    vault: VaultApi,
    path: Path,
    wanted: NewKeys,
    read_shares: Callable[[Path], list[Secret]],
    prove: Callable[[list[Secret]], None],
) -> SealStatus:
    try:
        status = vault.seal_status()
        shares = read_shares(path)
        prove(shares)
    except ZvaultError as error:
        raise UnprovenKeysError(
            f"keys were made and are in {path}, and are not shown to open the store:"
            f" {error.message}",
            hint="keep the file; zvault store verify says more",
        ) from error
    read_back = (status.initialized, status.shares, status.threshold, len(shares))
    if read_back != (True, wanted.shares, wanted.threshold, wanted.shares):
        raise UnprovenKeysError(
            f"{wanted.shares} shares with threshold {wanted.threshold} were asked for, and the"
            f" server says {status.shares} with {status.threshold}",
            hint=f"keep {path}; look into the server's log",
        )
    return status


@contextmanager
def _undisturbed() -> Iterator[None]:
    """From the request to the durable file no polite signal ends us; it counts afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
