"""Vault's formats against vectors that others made (``README.md`` says who)."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from zvault.barrier.record import open_record, seal_record
from zvault.barrier.seal import open_stored_keys, seal_stored_keys
from zvault.base.secret import Secret
from zvault.crypto.aead import new_aead
from zvault.crypto.shamir import combine
from zvault.records import compress, ssc
from zvault.records.keysutil import PathPolicy
from zvault.records.kv2_paths import PathCodec, from_base62, to_base62, version_key
from zvault.records.tokens import salt_id

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "formats.json").read_text())


def unhex(section: str, name: str) -> bytes:
    return bytes.fromhex(VECTORS[section][name])


def test_any_three_of_the_upstream_shares_give_the_secret() -> None:
    shares = [bytes.fromhex(share) for share in VECTORS["shamir"]["shares"]]
    for count in (3, 4, 5):
        for chosen in itertools.permutations(shares, count):
            assert combine(chosen) == unhex("shamir", "secret")


def test_two_of_the_upstream_shares_do_not_give_the_secret() -> None:
    shares = [bytes.fromhex(share) for share in VECTORS["shamir"]["shares"]]
    for pair in itertools.combinations(shares, 2):
        assert combine(pair) != unhex("shamir", "secret")


def test_the_stored_root_key_is_written_and_read_byte_for_byte() -> None:
    unseal_key = Secret(unhex("stored_keys", "unseal_key"))
    root_key = Secret(unhex("stored_keys", "root_key"))
    value = seal_stored_keys(unseal_key, root_key, unhex("stored_keys", "nonce"))
    assert value == unhex("stored_keys", "value")
    assert open_stored_keys(value, unseal_key) == root_key


def test_a_version_2_record_is_written_and_read_byte_for_byte() -> None:
    vector = VECTORS["record"]
    aead = new_aead(unhex("record", "key"))
    record = seal_record(aead, vector["term"], vector["path"], b"hello", unhex("record", "nonce"))
    assert record == unhex("record", "version_2")
    assert open_record({1: aead}, vector["path"], record) == b"hello"


def test_a_version_1_record_is_read_under_any_key() -> None:
    aead = new_aead(unhex("record", "key"))
    record = unhex("record", "version_1")
    assert open_record({1: aead}, "core/test", record) == b"hello"
    assert open_record({1: aead}, "elsewhere", record) == b"hello"


@pytest.mark.parametrize("form", ["sha1", "hmac"])
def test_ids_are_salted_as_upstream_does_it(form: str) -> None:
    vector = VECTORS["salts"]
    for plain, salted in vector[form].items():
        assert salt_id(vector["salt"], plain) == salted


def test_version_keys_hash_as_upstream_does_it() -> None:
    vector = VECTORS["salts"]["kv2_version"]
    key = version_key(VECTORS["salts"]["salt"], vector["path"], vector["version"])
    assert key == vector["key"]


def test_a_server_side_consistent_id_is_written_and_read() -> None:
    vector, header_key = VECTORS["salts"]["ssc"], VECTORS["salts"]["salt"].encode()
    assert ssc.encode(vector["inner"], header_key) == vector["external"]
    assert ssc.decode(vector["external"], header_key) == vector["inner"]


def test_kv2_names_encrypt_and_decrypt_as_upstream_does_it() -> None:
    vector = VECTORS["kv2_paths"]
    codec = PathCodec(
        PathPolicy({1: Secret(unhex("kv2_paths", "key"))}, 1, vector["storage_prefix"])
    )
    for plain, encrypted in vector["paths"].items():
        assert codec.metadata_key(plain) == encrypted
        parent = ""
        for name in encrypted.split("/")[1:]:
            parent += ("/" if parent else "") + codec.decrypt_component(name, parent)
        assert parent == plain


def test_base_62_is_upstreams() -> None:
    for plain, text in VECTORS["kv2_paths"]["base62"].items():
        assert to_base62(plain.encode()) == text
        assert from_base62(text) == plain.encode()


@pytest.mark.parametrize("kind", ["gzip", "snappy", "lzw"])
def test_compressed_entries_expand(kind: str) -> None:
    vector = VECTORS["compression"][kind]
    assert compress.expand(bytes.fromhex(vector["stored"])).decode() == vector["plain"]
