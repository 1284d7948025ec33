"""Base64 as Go's ``encoding/base64`` reads it, with its words when it cannot.

What lives here: strict decoding of padded standard text and of unpadded URL-safe text.
Invariants: line feeds and carriage returns are skipped and nothing else is; an error names a byte
offset and never the text, which may be a secret.
Source: behaviour of Go's ``StdEncoding`` and ``RawURLEncoding``.
"""

import base64
import re

_PLAIN = re.compile(rb"[A-Za-z0-9+/]*={0,2}")
_URL = re.compile(rb"[A-Za-z0-9_-]*")
_LETTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
_LINE_ENDS = b"\r\n"
_PAD = ord("=")


class GoBase64Error(ValueError):
    """Text that Go would not decode."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"illegal base64 data at input byte {offset}")


def decode(text: str) -> bytes:
    """The bytes of padded standard base64. Raises GoBase64Error."""
    data = text.encode("utf-8", "surrogatepass")
    if b"\n" in data or b"\r" in data:
        _check(data)
        data = data.translate(None, _LINE_ENDS)
    elif len(data) % 4 or _PLAIN.fullmatch(data) is None:
        _check(data)
    return base64.b64decode(data)


def decode_raw_url(text: str) -> bytes:
    """The bytes of URL-safe base64 without padding. Raises GoBase64Error."""
    data = text.encode("utf-8", "surrogatepass").translate(None, _LINE_ENDS)
    if len(data) % 4 == 1 or _URL.fullmatch(data) is None:
        raise GoBase64Error(0)
    return base64.urlsafe_b64decode(data + b"=" * (-len(data) % 4))


def encode_raw_url(data: bytes) -> str:
    """URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _check(data: bytes) -> None:
    """Walk as Go does and raise GoBase64Error where it stops; silent when all is well."""
    letters, position = 0, 0
    while position < len(data):
        byte = data[position]
        if byte in _LINE_ENDS:
            position += 1
        elif byte == _PAD:
            _check_padding(data, position, letters)
            return
        elif byte not in _LETTERS:
            raise GoBase64Error(position)
        else:
            letters = (letters + 1) % 4
            position += 1
    if letters:
        raise GoBase64Error(len(data) - letters)


def _check_padding(data: bytes, position: int, letters: int) -> None:
    if letters < 2:
        raise GoBase64Error(position)
    position = _after_line_ends(data, position + 1)
    if letters == 2:
        if position == len(data):
            raise GoBase64Error(len(data))
        if data[position] != _PAD:
            raise GoBase64Error(position - 1)
        position = _after_line_ends(data, position + 1)
    if position < len(data):
        raise GoBase64Error(position)


def _after_line_ends(data: bytes, position: int) -> int:
    while position < len(data) and data[position] in _LINE_ENDS:
        position += 1
    return position
