"""What an API key looks like, and what is kept of it.

What lives here: making, reading and hashing keys; pure but for the random bits of a new one. What
never does: a database.
Invariants: ``zk_<id>_<secret>``: the id is public, the secret has 256 random bits and ends in a
checksum of the whole, so a mistyped key costs no query; only the keyed hash is ever stored. The
hash is quick on purpose: it guards random bits, not a password.
"""

import hashlib
import hmac
import re
import secrets
import zlib
from dataclasses import dataclass

from zakupai_common.secret import Secret

PREFIX = "zk"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID, _RANDOM, _CHECKSUM = 12, 43, 6  # 62 ** 43 is above 2 ** 256
_FORM = re.compile(
    rf"{PREFIX}_([0-9A-Za-z]{{{_ID}}})_([0-9A-Za-z]{{{_RANDOM}}})([0-9A-Za-z]{{{_CHECKSUM}}})"
)
LENGTH = len(PREFIX) + 1 + _ID + 1 + _RANDOM + _CHECKSUM


@dataclass(frozen=True)
class ApiKey:
    """One key in memory."""

    key_id: str
    secret: Secret[str]

    def text(self) -> Secret[str]:
        """What the user gets, once."""
        body = f"{PREFIX}_{self.key_id}_{self.secret.reveal()}"
        return Secret(body + _checksum(body))

    def keyed_hash(self, pepper: Secret[str]) -> bytes:
        """HMAC-SHA256 under the pepper, bound to the id."""
        told = f"{self.key_id}_{self.secret.reveal()}".encode()
        return hmac.new(pepper.reveal().encode(), told, hashlib.sha256).digest()


def new_key() -> ApiKey:
    """A key that nobody has."""
    return ApiKey(_random(_ID), Secret(_random(_RANDOM)))


def read_key(text: str) -> ApiKey | None:
    """The key in a text; None when it is no key or was mistyped."""
    found = _FORM.fullmatch(text)
    if not found:
        return None
    key_id, secret, checksum = found.groups()
    if not hmac.compare_digest(_checksum(text[:-_CHECKSUM]), checksum):
        return None
    return ApiKey(key_id, Secret(secret))


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(_CHECKSUM):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
