"""Keys made of keys.

What lives here: HKDF with SHA-256 and the counter mode of NIST SP 800-108 with HMAC-SHA256, as
Vault's derived keys use them. Pure.
Source: RFC 5869; NIST SP 800-108 section 5.1.
"""

import hmac

_HASH_BYTES = 32


def hkdf_sha256(key: bytes, info: bytes, length: int) -> bytes:
    """``length`` bytes (at most 8160) of HKDF without salt."""
    if not 0 < length <= 255 * _HASH_BYTES:
        raise ValueError("HKDF cannot give that many bytes")
    pseudo_random_key = hmac.digest(bytes(_HASH_BYTES), key, "sha256")
    found, block = b"", b""
    for number in range(1, -(-length // _HASH_BYTES) + 1):
        block = hmac.digest(pseudo_random_key, block + info + bytes([number]), "sha256")
        found += block
    return found[:length]


def counter_mode_sha256(key: bytes, context: bytes, bits: int) -> bytes:
    """``bits`` (a multiple of 8) of counter mode; the counter starts at 0, as Vault's does."""
    found = b""
    length = bits.to_bytes(4, "big")
    counter = 0
    while len(found) * 8 < bits:
        block = counter.to_bytes(4, "big") + context + length
        found += hmac.digest(key, block, "sha256")
        counter += 1
    return found[: bits // 8]
