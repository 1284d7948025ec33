"""Random names as Vault writes them.

What lives here: uuid text and base62 text made from random bytes that the caller provides.
"""

from collections.abc import Callable

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_FAIR = len(_BASE62) * (256 // len(_BASE62))
_DIGITS = bytes(ord(_BASE62[byte % len(_BASE62)]) for byte in range(256))
_UNFAIR = bytes(range(_FAIR, 256))

RandomBytes = Callable[[int], bytes]


def new_uuid(random_bytes: RandomBytes) -> str:
    """16 random bytes as 8-4-4-4-12 hex; no version bits, as Vault's own."""
    text = random_bytes(16).hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def base62(random_bytes: RandomBytes, length: int) -> str:
    """``length`` characters of ``0-9A-Za-z``, each equally likely."""
    found = b""
    while len(found) < length:
        found += random_bytes(length).translate(_DIGITS, _UNFAIR)
    return found[:length].decode()
