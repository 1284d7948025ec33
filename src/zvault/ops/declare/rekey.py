"""New shares for a Vault that runs: made, kept, given back, shown to open its store.

What lives here: the order of acts. What never does: which server, which store (``app``); what a
rekey is (``vaultapi/rekey.py``).
Invariants: the new shares are durable in a file of mode 0600, and were read back from it, before
the old ones stop working; a rekey that may have happened is never reported as one that did not;
the file stays unless it is certain that its shares never counted.
"""

import contextlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from zvault.base.errors import UsageError, VerificationError, ZvaultError
from zvault.base.secret import Secret
from zvault.ops.declare.errors import RekeyUndecidedError, UnprovenKeysError
from zvault.ops.declare.initialize import NewKeys, check_numbers
from zvault.ops.declare.keys_file import KeysFile, content_of
from zvault.vaultapi.answers import SealStatus
from zvault.vaultapi.client import VaultApi
from zvault.vaultapi.rekey import HandedOut, Rekeying

ReadShares = Callable[[Path], list[Secret]]
Prove = Callable[[list[Secret]], None]
"""Opens the store itself, without the server. Raises VerificationError for a wrong key."""


def present_numbers(vault: VaultApi) -> NewKeys:
    """How the Vault's key is shared out now."""
    status = vault.seal_status()
    return NewKeys(status.shares, status.threshold)


def rekey(
    vault: VaultApi,
    path: Path,
    old: list[Secret],
    wanted: NewKeys,
    read_shares: ReadShares,
    prove: Prove,
) -> SealStatus:
    """New shares into ``path`` and in force; read back and proven.

    Raises UsageError (numbers, too few old shares), KeysFilePlaceError, RekeyInProgressError or
    what the client raises: the old shares are in force. RekeyUndecidedError: the store says which;
    UnprovenKeysError: the new ones are, and something about them is not as asked for.
    """
    check_numbers(wanted)
    needed = vault.seal_status().threshold
    if len(old) < needed:
        raise UsageError(
            f"{len(old)} shares are fewer than the Vault's threshold of {needed}",
            hint="give the shares that unseal it now",
        )
    rekeying = Rekeying(vault)
    with closing(KeysFile(path)) as place:
        try:
            nonce = rekeying.begin(wanted.shares, wanted.threshold)
        except BaseException:
            place.give_back()
            raise
        try:
            handed_out = rekeying.submit(old[:needed], nonce)
            kept = _keep(place, handed_out, wanted, read_shares)
        except BaseException:
            with contextlib.suppress(ZvaultError):
                rekeying.cancel()
            place.give_back()
            raise
        try:
            rekeying.verify(kept[: wanted.threshold], handed_out.nonce)
        except ZvaultError as error:
            _decide(rekeying, place, (old, kept), prove, error)
    return _proven(vault, path, kept, wanted, prove)


def _keep(
    place: KeysFile, handed_out: HandedOut, wanted: NewKeys, read_shares: ReadShares
) -> list[Secret]:
    """The new shares as the file gives them back."""
    try:
        place.keep(content_of(handed_out.shares, wanted.threshold))
    except OSError as cause:
        raise VerificationError(
            f"{place.path} could not be written: {cause.strerror}; the old shares are in force",
            hint="is the disk full?",
        ) from None
    kept = read_shares(place.path)
    if kept != list(handed_out.shares) or len(kept) != wanted.shares:
        raise VerificationError(
            f"{place.path} does not hold the new shares; the old ones are in force",
            hint="look at the disk",
        )
    return kept


def _decide(
    rekeying: Rekeying,
    place: KeysFile,
    old_and_new: tuple[list[Secret], list[Secret]],
    prove: Prove,
    error: ZvaultError,
) -> None:
    """The verification failed, or its answer was lost: the store says which shares count."""
    old, new = old_and_new
    is_over = True
    try:
        rekeying.cancel()  # what it has not put in force by now, it never will
    except ZvaultError:
        is_over = False
    if _opens(prove, new):
        return
    if _opens(prove, old):
        if is_over:
            place.give_back()
            raise error
        found = "the old shares open the store now, and the server, which may yet change that, is"
        found += " silent"
    else:
        found = "neither the old nor the new shares are shown to open the store now"
    raise RekeyUndecidedError(
        f"the verification failed ({error.message}); {found}",
        hint=f"keep {place.path} and the old shares; start the server again, then zvault store"
        " verify tells which open it",
    ) from error


def _opens(prove: Prove, shares: list[Secret]) -> bool:
    try:
        prove(shares)
    except ZvaultError:
        return False
    return True


def _proven(
    vault: VaultApi, path: Path, kept: list[Secret], wanted: NewKeys, prove: Prove
) -> SealStatus:
    try:
        prove(kept)
        status = vault.seal_status()
    except ZvaultError as error:
        raise UnprovenKeysError(
            f"the new shares are in {path} and verified, and are not shown to open the store:"
            f" {error.message}",
            hint="keep the file and the old shares; zvault store verify says more",
        ) from error
    if (status.shares, status.threshold) != (wanted.shares, wanted.threshold):
        raise UnprovenKeysError(
            f"{wanted.shares} shares with threshold {wanted.threshold} were asked for, and the"
            f" server says {status.shares} with {status.threshold}",
            hint=f"keep {path}; look into the server's log",
        )
    return status
