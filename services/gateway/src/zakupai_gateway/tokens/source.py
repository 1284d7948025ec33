"""The signing keys as Vault has them now.

What lives here: the ring that belongs to the secret in memory. What never does: I/O.
Invariant: keys that cannot be read are never used and never replace good ones; the ring is the same
object as long as the secret is the same, so what was believed under it stays believed.
"""

import logging
from collections.abc import Callable
from typing import Any

from zakupai_common.secret import Secret
from zakupai_gateway.tokens.keyring import KeyRing, KeyRingError

_log = logging.getLogger("zakupai.keys")


class KeySource:
    """``secret`` reads the list of keys from memory; it may raise what the store raises."""

    def __init__(self, secret: Callable[[], Secret[list[Any]]]) -> None:
        """Raises KeyRingError."""
        self._secret = secret
        self._seen = secret()
        self._ring = KeyRing.read(self._seen.reveal())
        self.trouble = ""

    def __call__(self) -> KeyRing:
        """The keys that count. Raises StaleSecretError when Vault is away too long."""
        secret = self._secret()
        if secret is not self._seen:
            if secret != self._seen:
                self._read(secret)
            self._seen = secret
        return self._ring

    def _read(self, secret: Secret[list[Any]]) -> None:
        try:
            self._ring = KeyRing.read(secret.reveal())
            self.trouble = ""
        except KeyRingError as error:
            self.trouble = str(error)
            _log.error("the signing keys in Vault are not used: %s", error)
