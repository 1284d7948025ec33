"""Shares towards one named operation: a rekey, its verification, a new root token.

What lives here: the count, the nonce that keeps two operations apart, the proof that shares open
this very store; the refusals in Vault's words. What never does: what a proven quorum may do.
Source: ``docs/api/sys.md``.
Invariants: a share counts once and a second time is an error (unlike unseal, ``shares.py``); the
threshold empties the collection, whatever comes of the shares; shares are proven against the stored
root key, never against each other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from zvault.barrier.barrier import Barrier
from zvault.barrier.errors import WrongUnsealKeyError
from zvault.barrier.seal import SealConfig
from zvault.barrier.unseal import combine_shares, open_root_key
from zvault.base.secret import Secret, same_text
from zvault.crypto.errors import KeyLengthError, ShareError
from zvault.engine.errors import EngineError, InvalidRequestError

WRONG_KEY = (
    "invalid key: failed to decrypt keys from storage: error decrypting seal wrapped value\n"
    "error decrypting using seal shamir: cipher: message authentication failed"
)
"""What Vault says of a key that does not open the stored root key."""


@dataclass(slots=True)
class Quorum:
    """``operation`` and ``round_name`` are the words of the two refusals."""

    nonce: str
    threshold: int
    operation: str
    round_name: str = "generation"
    _shares: list[Secret] = field(default_factory=list, repr=False)

    @property
    def progress(self) -> int:
        """How many distinct shares there are."""
        return len(self._shares)

    def add(self, share: Secret, nonce: str) -> list[Secret] | None:
        """Take one share; all of them when the threshold is reached, else None.

        Raises InvalidRequestError for another operation's nonce and for a share given before.
        """
        if not same_text(nonce, self.nonce):
            raise InvalidRequestError(
                f"incorrect nonce supplied; nonce for this {self.operation} operation is"
                f' "{self.nonce}"'
            )
        if share in self._shares:
            raise InvalidRequestError(
                f"given key has already been provided during this {self.round_name} operation"
            )
        self._shares.append(share)
        if len(self._shares) < self.threshold:
            return None
        collected, self._shares = self._shares, []
        return collected


async def require_quorum(
    barrier: Barrier,
    shares: Sequence[Secret],
    config: SealConfig,
    refusal: Callable[[str], EngineError],
    wrong_key: str,
) -> None:
    """Return when the shares open the root key that this store runs under.

    Raises what ``refusal`` makes (``wrong_key`` precedes the reason when they open nothing),
    StorageError.
    """
    try:
        root_key = await open_root_key(barrier.storage, combine_shares(shares, config))
    except ShareError as error:
        raise refusal(f"failed to compute root key: {error.message}") from None
    except (WrongUnsealKeyError, KeyLengthError):
        raise refusal(wrong_key + WRONG_KEY) from None
    if root_key != barrier.keyring.root_key:
        raise refusal(f"{wrong_key}root key verification failed")
