"""Names of KV v2 secrets to encrypted storage paths and back; keys of version entries.

What lives here: convergent encryption of each path component, base-62, the version hash. Pure.
Invariant: the same name under the same parents always gives the same component.
Source and vectors: ``docs/formats/records.md``.
"""

import base64
import binascii
import hashlib
import hmac
import posixpath
from typing import TypeVar

from zvault.crypto.aead import NONCE_BYTES, Aead, InvalidTag, new_aead
from zvault.records.errors import RecordError
from zvault.records.keysutil import PathPolicy

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DIGIT_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}
_CHUNK_DIGITS = 10
_CHUNK = 62**_CHUNK_DIGITS
_CACHE_ENTRIES = 20_000
_MAX_COMPONENT_CHARACTERS = 4096
K = TypeVar("K")
V = TypeVar("V")


def to_base62(data: bytes) -> str:
    """Bytes, taken as one big-endian number, in digits ``0-9a-zA-Z``."""
    number = int.from_bytes(data, "big")
    chunks: list[str] = []
    while number:
        number, chunk = divmod(number, _CHUNK)
        digits = []
        for _ in range(_CHUNK_DIGITS):
            chunk, digit = divmod(chunk, 62)
            digits.append(_DIGITS[digit])
        chunks.append("".join(reversed(digits)))
    return "".join(reversed(chunks)).lstrip("0") or "0"


def from_base62(text: str) -> bytes:
    """The bytes of a number. Raises ValueError for other characters."""
    number = 0
    for character in text:
        value = _DIGIT_VALUES.get(character)
        if value is None:
            raise ValueError("not base 62")
        number = number * 62 + value
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def version_key(salt: str, path: str, version: int) -> str:
    """The key of a version's data below the mount's prefix. ``path``: exactly as requested."""
    digest = hashlib.sha256(f"{salt}{path}|{version}".encode()).hexdigest()
    return f"versions/{digest[:3]}/{digest[3:]}"


def clean_path(path: str) -> str:
    """Go's path.Clean without the leading slash; "" for the root."""
    cleaned = posixpath.normpath(path).lstrip("/") if path else ""
    return "" if cleaned == "." else cleaned


class PathCodec:
    """Encrypts and decrypts names of one KV v2 mount; keeps what it has derived."""

    def __init__(self, policy: PathPolicy) -> None:
        self._latest = policy.latest_version
        # OpenBao 2.7 on raft writes the prefix with a trailing slash; joining drops it.
        self._base = f"{policy.storage_prefix.rstrip('/')}/metadata".lstrip("/")
        # HKDF's extract step does not depend on the context: once per key.
        self._extracted = {
            version: hmac.digest(bytes(32), key.reveal(), "sha256")
            for version, key in policy.keys.items()
        }
        self._derived: dict[tuple[int, str], tuple[Aead, bytes]] = {}
        self._encrypted: dict[tuple[str, str], str] = {}

    def encrypt_path(self, path: str) -> str:
        """The components of a secret's or folder's path, encrypted, joined by ``/``."""
        context, encrypted = self._base, []
        for component in clean_path(path).split("/"):
            if component:
                encrypted.append(self._encrypt(context, component))
                context = f"{context}/{component}"
        return "/".join(encrypted)

    def metadata_key(self, path: str) -> str:
        """The key of a secret's metadata below the mount's prefix."""
        return "metadata/" + self.encrypt_path(path)

    def decrypt_component(self, name: str, parent: str = "") -> str:
        """The plain name of a listed component below the plain path ``parent``.

        A trailing ``/`` (folder) is kept. Raises RecordError.
        """
        folder = name.endswith("/")
        context = f"{self._base}/{cleaned}" if (cleaned := clean_path(parent)) else self._base
        plain = self._decrypt(context, name.removesuffix("/"))
        return plain + "/" if folder else plain

    def _keys(self, version: int, context: str) -> tuple[Aead, bytes]:
        """The encryption object and the nonce key of a context."""
        known = self._derived.get((version, context))
        if known is None:
            extracted, info = self._extracted[version], context.encode()
            first = hmac.digest(extracted, info + b"\x01", "sha256")
            second = hmac.digest(extracted, first + info + b"\x02", "sha256")
            known = (new_aead(first), second)
            _bounded(self._derived)[version, context] = known
        return known

    def _encrypt(self, context: str, component: str) -> str:
        known = self._encrypted.get((context, component))
        if known is None:
            aead, nonce_key = self._keys(self._latest, context)
            plain = component.encode("utf-8", "surrogateescape")
            nonce = hmac.digest(nonce_key, plain, "sha256")[:NONCE_BYTES]
            sealed = base64.b64encode(nonce + aead.encrypt(nonce, plain, None))
            known = to_base62(f"{self._latest}:".encode() + sealed)
            _bounded(self._encrypted)[context, component] = known
        return known

    def _decrypt(self, context: str, name: str) -> str:
        try:
            if len(name) > _MAX_COMPONENT_CHARACTERS:
                raise ValueError("too long")
            version, _, text = from_base62(name).partition(b":")
            sealed = base64.b64decode(text, validate=True)
            aead, _ = self._keys(int(version), context)
            plain = aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None)
            return plain.decode("utf-8", "surrogateescape")
        except (ValueError, KeyError, InvalidTag, binascii.Error):
            raise RecordError("a KV v2 name does not decrypt under its mount's policy") from None


def _bounded(cache: dict[K, V]) -> dict[K, V]:
    """Forget all once it is full: names come back by being used."""
    if len(cache) >= _CACHE_ENTRIES:
        cache.clear()
    return cache
