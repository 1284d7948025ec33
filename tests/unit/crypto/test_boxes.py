"""The password box and the reader of old openssl files."""

import hashlib
from typing import Any

import pytest

from zvault.base.secret import Secret
from zvault.crypto.aead import new_aead
from zvault.crypto.errors import BoxError, KeyLengthError, OpensslFileError
from zvault.crypto.openssl_file import is_openssl_file, open_openssl_file
from zvault.crypto.sealed_box import derive, open_with_key, seal_with_key

PASSWORD = Secret("correct horse battery")
HEADER = b"header 1"
SALT, NONCE, ITERATIONS = b"s" * 16, b"n" * 12, 10
SEALED = seal_with_key(
    derive(PASSWORD, SALT, ITERATIONS), Secret("content"), header=HEADER, nonce=NONCE
)

# openssl enc -aes-256-cbc -pbkdf2 -iter 250000 -salt (OpenSSL 3.0.19), raw and with -a
RAW = bytes.fromhex(
    "53616c7465645f5ffee19bcc6f4d9f9df93c155a62f4fb264f39b59104e81ec6"
    "c073b4783f9f4191c2f0f9731af174f5"
)
ARMORED = b"U2FsdGVkX19GkP04D/MpY8JS8ze/V1iojrE9FmsvbO4uzHpRaajzXak+fZLsQf1m\n"
CONTENT = b"share-one\nshare-two\n"


def test_deriving_is_pbkdf2_hmac_sha256() -> None:
    expected = hashlib.pbkdf2_hmac("sha256", PASSWORD.reveal(), b"salt", 1000, 48)
    assert derive(PASSWORD, b"salt", 1000, 48).reveal() == expected


def opened(
    sealed: bytes = SEALED,
    *,
    password: Secret = PASSWORD,
    header: bytes = HEADER,
    salt: bytes = SALT,
    nonce: bytes = NONCE,
    iterations: int = ITERATIONS,
) -> bytes:
    key = derive(password, salt, iterations)
    return open_with_key(key, sealed, header=header, nonce=nonce).reveal()


def test_a_box_gives_its_content_to_password_and_header() -> None:
    assert opened() == b"content"


@pytest.mark.parametrize(
    "change",
    [
        {"password": Secret("correct horse batterz")},
        {"header": b"header 2"},
        {"salt": b"t" * 16},
        {"nonce": b"m" * 12},
        {"iterations": 11},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_box_does_not_open_with_anything_else(change: dict[str, Any]) -> None:
    with pytest.raises(BoxError):
        opened(**change)


def test_no_flipped_bit_of_a_box_goes_unseen() -> None:
    for position in range(len(SEALED)):
        broken = bytearray(SEALED)
        broken[position] ^= 1
        with pytest.raises(BoxError):
            opened(bytes(broken))


@pytest.mark.parametrize("content", [RAW, ARMORED], ids=["raw", "base64"])
def test_a_file_of_openssl_itself_opens(content: bytes) -> None:
    assert is_openssl_file(content)
    assert open_openssl_file(content, PASSWORD, 250_000).reveal() == CONTENT


def test_a_wrong_password_is_named() -> None:
    with pytest.raises(OpensslFileError, match="wrong password"):
        open_openssl_file(RAW, Secret("wrong"), 250_000)


def test_a_cut_openssl_file_and_another_file_are_told_apart() -> None:
    with pytest.raises(OpensslFileError, match="cut short"):
        open_openssl_file(RAW[:-1], PASSWORD, 1)
    with pytest.raises(OpensslFileError, match="cut short"):
        open_openssl_file(RAW[:12], PASSWORD, 1)
    with pytest.raises(OpensslFileError, match="Salted__"):
        open_openssl_file(b"something else", PASSWORD, 1)
    assert not is_openssl_file(b"something else")


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(KeyLengthError):
        new_aead(b"k" * 33)
