"""The values that lanes write: unique, and known to who holds the run's key.

What lives here: lane and number to value and back to nothing. The ledger can therefore name a
value without holding it, and the leak scan can tell a value in a log from random text.
"""

import hashlib
import hmac
from typing import Any

LENGTH = 40


class Values:
    """Values of one run. ``key`` is random and lies in a 0600 file."""

    def __init__(self, key: bytes) -> None:
        self.key = key

    def text(self, lane: str, number: int, part: str = "") -> str:
        """40 hex characters that nobody else ever wrote."""
        message = f"{lane}\0{number}\0{part}".encode()
        return hmac.new(self.key, message, hashlib.sha256).hexdigest()[:LENGTH]

    def data(self, lane: str, number: int) -> dict[str, Any]:
        """What a KV write of that lane and number stores."""
        return {"service": lane, "sequence": number, "secret": self.text(lane, number)}

    def patch(self, lane: str, number: int) -> dict[str, Any]:
        """What a KV merge patch of that lane and number lays over the data."""
        return {"patched": number, "extra": {"secret": self.text(lane, number, "patch")}}
