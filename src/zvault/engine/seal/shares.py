"""Shares as they come in, one by one.

What lives here: a share's text and length, and the pure part of unsealing by hand: what one more
share means. What never does: storage, keys opened. Source: ``docs/api/sys.md``.
Invariant: a share given twice counts once; reaching the threshold empties the collection,
whatever comes of the shares.
"""

import base64

from zvault.barrier.seal import MAX_SHARES
from zvault.base.secret import Secret
from zvault.engine.errors import InvalidRequestError

MIN_SHARE_BYTES = 16
MAX_SHARE_BYTES = 33


def read_share(text: str) -> bytes:
    """A share in hex or, when that gives no share's length, in base64. Raises InvalidRequestError.

    The error does not repeat the text: it may be a share with a slip in it.
    """
    try:
        share = bytes.fromhex(text)
    except ValueError:
        share = b""
    if MIN_SHARE_BYTES <= len(share) <= MAX_SHARE_BYTES:
        return share
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise InvalidRequestError("'key' must be a valid hex or base64 string") from None


def check_share_length(share: bytes) -> None:
    """Raise InvalidRequestError for a share of an impossible length."""
    if len(share) < MIN_SHARE_BYTES:
        raise InvalidRequestError(f"key is shorter than minimum {MIN_SHARE_BYTES} bytes")
    if len(share) > MAX_SHARE_BYTES:
        raise InvalidRequestError(f"key is longer than maximum {MAX_SHARE_BYTES} bytes")


def share_problem(shares: int, threshold: int) -> str:
    """What is impossible about so many shares, in Vault's words; "" when nothing is."""
    if shares < 1:
        return "shares must be at least one"
    if threshold < 1:
        return "threshold must be at least one"
    if threshold > shares:
        return "threshold cannot be larger than shares"
    if shares > MAX_SHARES:
        return "shares must be less than 256"
    if threshold == 1 and shares > 1:
        return "threshold must be greater than one for multiple shares"
    return ""


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
        try:
            check_share_length(share)
        except InvalidRequestError as error:
            raise InvalidRequestError(f"invalid key: {error.message}") from None
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
