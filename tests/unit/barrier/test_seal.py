"""Seal configuration, the stored root key, envelopes of Enterprise."""

import json
from typing import Any

import pytest

from zvault.barrier.errors import (
    SealConfigError,
    UnreadableEntryError,
    UnsupportedSealError,
    WrongUnsealKeyError,
)
from zvault.barrier.seal import (
    SealConfig,
    decode_seal_config,
    open_stored_keys,
    seal_stored_keys,
    unwrap_value,
)
from zvault.base.protobuf import build_messages
from zvault.base.secret import Secret
from zvault.crypto.aead import new_aead

FRESH = {
    "type": "shamir",
    "secret_shares": 5,
    "secret_threshold": 3,
    "pgp_keys": None,
    "nonce": "",
    "backup": False,
    "stored_shares": 1,
    "name": "",
}
UNSEAL_KEY = Secret(b"u" * 32)
ROOT_KEY = Secret(b"r" * 32)
STORED = seal_stored_keys(UNSEAL_KEY, ROOT_KEY, b"n" * 12)
MESSAGES = build_messages(
    "test.seal",
    {
        "KeyInfo": ["3 key_id string"],
        "BlobInfo": ["1 ciphertext bytes", "4 wrapped bool", "5 key_info KeyInfo"],
        "MultiWrapValue": ["1 generation uint64", "2 slots repeated BlobInfo"],
    },
)


def config(**changes: Any) -> bytes:
    return json.dumps(FRESH | changes).encode()


def framed(*blobs: bytes) -> bytes:
    slots = [MESSAGES["BlobInfo"].FromString(blob) for blob in blobs]
    body = MESSAGES["MultiWrapValue"](generation=1, slots=slots).SerializeToString()
    return b"multiwrapvalue:1" + len(body).to_bytes(4, "big") + bytes(body)


def test_a_fresh_configuration_is_read_and_written_as_it_was() -> None:
    assert (
        decode_seal_config(config()).encode() == json.dumps(FRESH, separators=(",", ":")).encode()
    )


def test_openbaos_missing_field_stays_missing_and_unknown_ones_stay() -> None:
    body = {key: value for key, value in FRESH.items() if key != "stored_shares"} | {"new": [1]}
    seal = decode_seal_config(json.dumps(body).encode())
    assert seal.stored_shares is None
    assert json.loads(seal.encode()) == body


def test_an_empty_type_is_shamir() -> None:
    assert decode_seal_config(config(type="")).type == "shamir"


@pytest.mark.parametrize(
    "changes",
    [
        {"secret_shares": 0},
        {"secret_shares": 256, "secret_threshold": 3},
        {"secret_threshold": 6},
        {"secret_threshold": 0},
        {"secret_threshold": 1},
        {"stored_shares": 2},
        {"stored_shares": -1},
        {"pgp_keys": ["one"]},
        {"secret_shares": "many"},
        {"secret_shares": None},
    ],
)
def test_an_impossible_configuration_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(SealConfigError):
        decode_seal_config(config(**changes))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b"null", b"\xff"])
def test_text_that_is_no_configuration_is_refused(data: bytes) -> None:
    with pytest.raises(SealConfigError):
        decode_seal_config(data)


def test_a_kms_seal_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedSealError, match="awskms"):
        decode_seal_config(config(type="awskms"))


def test_the_stored_key_opens_with_the_unseal_key_only() -> None:
    assert open_stored_keys(STORED, UNSEAL_KEY) == ROOT_KEY
    with pytest.raises(WrongUnsealKeyError):
        open_stored_keys(STORED, Secret(b"v" * 32))


def test_a_reader_accepts_a_missing_key_info_and_unknown_fields() -> None:
    assert open_stored_keys(STORED.removesuffix(b"\x2a\x00"), UNSEAL_KEY) == ROOT_KEY
    assert open_stored_keys(STORED + b"\x5a\x01x", UNSEAL_KEY) == ROOT_KEY


@pytest.mark.parametrize("position", range(len(STORED) - 2))
def test_no_flipped_bit_of_the_stored_key_goes_unseen(position: int) -> None:
    broken = bytearray(STORED)
    broken[position] ^= 1
    with pytest.raises((WrongUnsealKeyError, UnreadableEntryError, UnsupportedSealError)):
        open_stored_keys(bytes(broken), UNSEAL_KEY)


@pytest.mark.parametrize("length", range(len(STORED) - 2))
def test_a_cut_stored_key_is_named(length: int) -> None:
    with pytest.raises((WrongUnsealKeyError, UnreadableEntryError)):
        open_stored_keys(STORED[:length], UNSEAL_KEY)


@pytest.mark.parametrize("content", [b"[]", b'["a","b"]', b"{}", b"null", b'["!"]', b"[1]"])
def test_anything_but_one_stored_key_is_named(content: bytes) -> None:
    nonce = b"n" * 12
    ciphertext = nonce + new_aead(UNSEAL_KEY.reveal()).encrypt(nonce, content.ljust(6), None)
    value = MESSAGES["BlobInfo"](ciphertext=ciphertext).SerializeToString()
    with pytest.raises(UnreadableEntryError, match="one stored key"):
        open_stored_keys(value, UNSEAL_KEY)


def test_a_frame_of_one_seal_opens_and_of_two_is_refused() -> None:
    assert open_stored_keys(framed(STORED), UNSEAL_KEY) == ROOT_KEY
    with pytest.raises(UnsupportedSealError, match="2 seals"):
        open_stored_keys(framed(STORED, STORED), UNSEAL_KEY)
    with pytest.raises(UnreadableEntryError):
        open_stored_keys(framed(STORED) + b"x", UNSEAL_KEY)


def test_a_seal_wrapped_value_that_is_not_encrypted_is_unwrapped() -> None:
    blob = MESSAGES["BlobInfo"](ciphertext=b"\0\0\0\x01 the record").SerializeToString()
    assert unwrap_value("k", blob + b"s") == b"\0\0\0\x01 the record"


def test_a_seal_wrapped_value_that_is_encrypted_is_refused() -> None:
    blob = MESSAGES["BlobInfo"](ciphertext=b"x", wrapped=True).SerializeToString()
    with pytest.raises(UnsupportedSealError, match="Enterprise"):
        unwrap_value("k", blob + b"s")


@pytest.mark.parametrize("value", [b"", b"s", b"plain text with s", b"\0\0\0\1..s", b"{}s"])
def test_a_value_that_is_no_envelope_stays_as_it_is(value: bytes) -> None:
    assert unwrap_value("k", value) == value


def test_a_configuration_can_be_made() -> None:
    assert decode_seal_config(SealConfig(1, 1).encode()).stored_shares == 1
