"""The barrier record: term, format version, nonce, AES-GCM with the storage key as associated data.

What lives here: the bytes of one record and nothing else. Pure. What never does: which term is
active, where randomness comes from.
Invariant: a record opens only under the key string it was sealed for (version 2, the only one
written); version 1 (no associated data) is read. Real servers have keys that end in a slash
(``oidc_tokens/config/``), which their storage drops from the name: such a record opens under the
name without the slash.
Layout: term u32be, version u8, nonce 12, ciphertext, tag 16 (``docs/formats/barrier.md``).
"""

from collections.abc import Mapping

from zvault.barrier.errors import UnreadableEntryError
from zvault.crypto.aead import NONCE_BYTES, TAG_BYTES, Aead, InvalidTag

VERSION_1 = 1
VERSION_2 = 2
_NONCE_START = 5
_BODY_START = _NONCE_START + NONCE_BYTES
OVERHEAD = _BODY_START + TAG_BYTES
_VERSION_2_BYTE = b"\x02"


def associated_data(key: str) -> bytes:
    """The key's bytes; file names that are not UTF-8 give back the bytes they had."""
    return key.encode("utf-8", "surrogateescape")


def seal_record(aead: Aead, term: int, key: str, plaintext: bytes, nonce: bytes) -> bytes:
    """A version 2 record. ``nonce``: 12 bytes that were never used with this key before."""
    body = aead.encrypt(nonce, plaintext, associated_data(key))
    return term.to_bytes(4, "big") + _VERSION_2_BYTE + nonce + body


def record_term(record: bytes) -> int:
    """The term a record says it is under; unauthenticated."""
    return int.from_bytes(record[:4], "big")


def open_record(aeads: Mapping[int, Aead], key: str, record: bytes) -> bytes:
    """The plaintext. Raises UnreadableEntryError with the reason."""
    try:
        aead = aeads[int.from_bytes(record[:4], "big")]
        version = record[4]
        if version != VERSION_2:
            return _open_other_version(aead, version, key, record)
        return aead.decrypt(
            record[_NONCE_START:_BODY_START], record[_BODY_START:], associated_data(key)
        )
    except InvalidTag:
        return _open_slashed(aeads, key, record)
    except (LookupError, ValueError):
        raise UnreadableEntryError(key, _reason(aeads, record)) from None


def _open_slashed(aeads: Mapping[int, Aead], key: str, record: bytes) -> bytes:
    """A record of the key that has a slash more, looked for only after ``key`` did not do."""
    try:
        return aeads[record_term(record)].decrypt(
            record[_NONCE_START:_BODY_START], record[_BODY_START:], associated_data(key + "/")
        )
    except InvalidTag:
        raise UnreadableEntryError(key, _reason(aeads, record)) from None


def _open_other_version(aead: Aead, version: int, key: str, record: bytes) -> bytes:
    if version != VERSION_1:
        raise LookupError(version)
    return aead.decrypt(record[_NONCE_START:_BODY_START], record[_BODY_START:], None)


def _reason(aeads: Mapping[int, Aead], record: bytes) -> str:
    """Why a record did not open, looked at only after it has not."""
    if len(record) < OVERHEAD:
        return f"the record is cut short ({len(record)} bytes; the least is {OVERHEAD})"
    if record_term(record) not in aeads:
        return f"no decryption key available for term {record_term(record)}"
    if record[4] not in (VERSION_1, VERSION_2):
        return f"unknown record version {record[4]}"
    return "message authentication failed (changed bytes, or an entry moved from another key)"
