"""One round of shares to one Vault, read back.

What lives here: submitting up to the threshold and judging what came of it. What never does:
where shares come from, how often it is tried.
Invariant: success is only ever a seal-status, asked for afterwards, that says ``sealed: false``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from zvault.base.errors import ZvaultError
from zvault.base.secret import Secret
from zvault.ops.unseal.errors import KeyFileSharesError, NotUnsealedError
from zvault.vaultapi.answers import SealStatus
from zvault.vaultapi.errors import (
    UnsealKeyRefusedError,
    VaultRefusedError,
    VaultUninitializedError,
)


class Unsealable(Protocol):
    """The part of a Vault client that unsealing needs."""

    def seal_status(self) -> SealStatus: ...
    def submit_share(self, share: Secret) -> SealStatus: ...
    def reset_unseal(self) -> SealStatus: ...


@dataclass(frozen=True, slots=True)
class Unsealed:
    """Read back: it says ``sealed: false``. ``submitted`` shares were given (0: it was already)."""

    submitted: int
    status: SealStatus


class InterferedError(NotUnsealedError):
    """Somebody else was submitting at the same time."""

    code = "unseal-interfered"


def submit_round(vault: Unsealable, shares: Sequence[Secret]) -> Unsealed:
    """Give shares up to the threshold and read back that it is unsealed.

    Progress of others is dropped first. Raises UnsealKeyRefusedError when the shares make a key
    that does not open it, KeyFileSharesError for fewer shares than the threshold, InterferedError,
    VaultUninitializedError, NotUnsealedError, and what the client raises.
    """
    status = vault.seal_status()
    if not status.initialized:
        raise VaultUninitializedError("the Vault has no keys yet", hint="initialise it first")
    if not status.sealed:
        return Unsealed(0, status)
    if len(shares) < status.threshold:
        raise KeyFileSharesError(
            f"{len(shares)} shares are fewer than the Vault's threshold of {status.threshold}",
            hint="were the shares changed by a rekey? give the new ones",
        )
    if status.progress:
        vault.reset_unseal()
    _submit(vault, shares[: status.threshold])
    after = vault.seal_status()
    if after.sealed:
        raise NotUnsealedError(
            f"{status.threshold} shares were taken and the Vault still says sealed",
            hint="look into the server's log",
        )
    return Unsealed(status.threshold, after)


def _submit(vault: Unsealable, shares: Sequence[Secret]) -> None:
    for number, share in enumerate(shares, start=1):
        last = number == len(shares)
        try:
            status = vault.submit_share(share)
        except VaultRefusedError as refusal:
            raise _refused(refusal) from None
        if not status.sealed:
            return
        if not last and status.progress != number:
            raise InterferedError(
                f"after share {number} the progress is {status.progress}: others unseal it too",
                hint="agree on who unseals, then try again",
            )


def _refused(refusal: ZvaultError) -> UnsealKeyRefusedError:
    return UnsealKeyRefusedError(
        refusal.message, hint="these shares are not this Vault's, or were changed by a rekey"
    )
