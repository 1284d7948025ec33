"""Unseal shares as they come in, one by one.

What lives here: the pure part of unsealing by hand: what one more share means. What never does:
storage, keys opened. Source: ``docs/api/sys.md``.
Invariant: a share given twice counts once; reaching the threshold empties the collection,
whatever comes of the shares.
"""

from zvault.base.secret import Secret
from zvault.engine.errors import InvalidRequestError

MIN_SHARE_BYTES = 16
MAX_SHARE_BYTES = 33


class ShareCollection:
    """Distinct shares towards one threshold."""

    def __init__(self) -> None:
        self._shares: list[Secret] = []
        self._nonce = ""

    @property
    def progress(self) -> int:
        """How many distinct shares there are."""
        return len(self._shares)

    @property
    def nonce(self) -> str:
        """Names this attempt; "" when none has begun."""
        return self._nonce

    def reset(self) -> None:
        """Forget everything."""
        self._shares = []
        self._nonce = ""

    def add(self, share: bytes, threshold: int, new_nonce: str) -> list[Secret] | None:
        """Take one share; all of them when the threshold is reached, else None.

        Raises InvalidRequestError for a share of an impossible length.
        """
        if len(share) < MIN_SHARE_BYTES:
            raise InvalidRequestError(
                f"invalid key: key is shorter than minimum {MIN_SHARE_BYTES} bytes"
            )
        if len(share) > MAX_SHARE_BYTES:
            raise InvalidRequestError(
                f"invalid key: key is longer than maximum {MAX_SHARE_BYTES} bytes"
            )
        given = Secret(share)
        if given in self._shares:
            return None
        if not self._shares:
            self._nonce = new_nonce
        self._shares.append(given)
        if len(self._shares) < threshold:
            return None
        collected = self._shares
        self.reset()
        return collected
