"""A secret in every spelling in which it could lie about.

What lives here: a secret to the byte strings that betray it: raw, hex (both cases), base64 and
URL-safe base64, the last two also as a part of something longer, where their letters shift. Pure.
"""

import base64
from collections.abc import Iterable
from dataclasses import dataclass

_SHORTEST = 8
"""Of a secret, in bytes: anything shorter would be found by chance."""


@dataclass(frozen=True)
class Needle:
    """One spelling of one secret. ``of`` is the secret's name, never its value."""

    of: str
    spelling: str
    pattern: bytes


def needles(name: str, secret: bytes) -> list[Needle]:
    """Every spelling. Raises ValueError for a secret too short to be looked for."""
    if len(secret) < _SHORTEST:
        raise ValueError(f"{name} has {len(secret)} bytes: too short to look for")
    spellings = {
        "raw": secret,
        "hex": secret.hex().encode(),
        "HEX": secret.hex().upper().encode(),
    }
    for shift in range(3):
        inner = _unshifted_base64(secret, shift)
        spellings[f"base64+{shift}"] = inner
        spellings[f"base64url+{shift}"] = inner.translate(bytes.maketrans(b"+/", b"-_"))
    found: dict[bytes, Needle] = {}
    for spelling, pattern in spellings.items():
        found.setdefault(pattern, Needle(name, spelling, pattern))
    return list(found.values())


def all_needles(secrets: Iterable[tuple[str, bytes]]) -> list[Needle]:
    """The spellings of several secrets."""
    return [needle for name, secret in secrets for needle in needles(name, secret)]


def _unshifted_base64(secret: bytes, shift: int) -> bytes:
    """The letters that depend on the secret alone when ``shift`` bytes stand before it."""
    letters = base64.b64encode(b"\0" * shift + secret)
    first = (0, 2, 3)[shift]
    last = (len(secret) + shift) * 8 // 6
    return letters[first:last]
