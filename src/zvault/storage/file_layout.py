"""How Vault's file backend lays a store out: names and the envelope of an entry. Pure.

What lives here: key to relative file name and back, value to file content and back. What never
does: a file opened. Source: ``docs/formats/storage.md`` (key ``a/b/c`` is file ``a/b/_c`` with
the content ``{"Value":"<base64>"}`` and a newline).
"""

import binascii
import json

from zvault.storage.errors import InvalidKeyError

SCRATCH_NAME = ".zvault-tmp"
"""Our temporary files lie in this folder of the root, where no server lists."""

LOG_NAME = ".zvault-log"
"""A serving store's log lies here; a stopped server leaves none."""

OUR_NAMES = frozenset({SCRATCH_NAME, LOG_NAME})
"""Folders of the root that are no part of the store."""

NAME_LIMIT_BYTES = 255
_OUR_PREFIXES = tuple(name + "/" for name in sorted(OUR_NAMES))
_HEAD = b'{"Value":"'
_TAIL = b'"}\n'


def entry_path(key: str) -> str:
    """The file of ``key``, relative to the root."""
    folder, slash, name = key.rpartition("/")
    return f"{folder}{slash}_{name}"


def check_file_key(key: str) -> None:
    """Raise InvalidKeyError for a key that this layout cannot hold."""
    if len(key) * (1 if key.isascii() else 4) > NAME_LIMIT_BYTES - 1:
        *folders, name = key.split("/")
        if len(name.encode()) + 1 > NAME_LIMIT_BYTES or any(
            len(folder.encode()) > NAME_LIMIT_BYTES for folder in folders
        ):
            raise InvalidKeyError(key, f"a file name has at most {NAME_LIMIT_BYTES} bytes")
    if is_scratch(key):
        raise InvalidKeyError(key, f"the folder {key.partition('/')[0]} is ours")


def is_scratch(key_or_prefix: str) -> bool:
    """True below the folders of our temporary files and our log."""
    return key_or_prefix.startswith(_OUR_PREFIXES)


def child_name(file_name: str, is_directory: bool) -> str:
    """What a listing calls this directory entry: folders end in ``/``, entries lose their ``_``."""
    if is_directory:
        return file_name + "/"
    return file_name[1:] if file_name.startswith("_") else file_name


def encode_entry(value: bytes) -> bytes:
    """The content of an entry's file."""
    return _HEAD + binascii.b2a_base64(value, newline=False) + _TAIL


def decode_entry(content: bytes) -> bytes | None:
    """The value in an entry's file; None for an empty file, which counts as absent.

    Only the first JSON value counts, unknown fields are ignored, field names are compared without
    case, ``null`` or no Value is the empty value. Raises ValueError with the cause.
    """
    if content.startswith(_HEAD) and content.endswith(_TAIL):
        try:
            return binascii.a2b_base64(content[len(_HEAD) : -len(_TAIL)], strict_mode=True)
        except binascii.Error:
            pass  # Go skips line breaks inside base64 and takes a second value after the first
    if not content:
        return None
    return _decode_loosely(content)


def _decode_loosely(content: bytes) -> bytes:
    try:
        document, _ = json.JSONDecoder().raw_decode(content.decode().lstrip(" \t\r\n"))
    except (ValueError, RecursionError):
        raise ValueError("the file is no JSON (cut off or overwritten)") from None
    if not isinstance(document, dict):
        raise ValueError("the file's JSON is no object")
    value: object = None
    for name, field in document.items():
        if name.lower() == "value":
            value = field
    if value is None:
        return b""
    if not isinstance(value, str):
        raise ValueError("the field Value is no text")
    try:
        text = value.replace("\r", "").replace("\n", "").encode("ascii")
        return binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError("the field Value is no base64") from None
