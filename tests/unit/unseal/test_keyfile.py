"""The key file's laws: four causes, four errors, and nothing derived from a weakened file."""

import hashlib
import json
import random
from dataclasses import replace

import pytest

from tests.support.keyfiles import PASSWORD, VAULT, make_key_file, make_shares
from zvault.base.secret import Secret
from zvault.ops.unseal import keyfile
from zvault.ops.unseal.errors import (
    KeyFileCorruptError,
    KeyFileSharesError,
    KeyFileTruncatedError,
    KeyFileVersionError,
    KeyFileWeakenedError,
    NotAKeyFileError,
    PasswordSourceError,
    SharesSourceError,
    WrongPasswordError,
)
from zvault.ops.unseal.keyfile import parse_key_file, seal_key_file
from zvault.ops.unseal.keyfile_header import MIN_ITERATIONS, public_fields, seal_line

GOOD = make_key_file()


def resealed(body: bytes, iterations: int) -> bytes:
    """What a clever attacker does: change the body and correct the checksum."""
    return body + seal_line(iterations, hashlib.sha256(body).hexdigest())


def body_of(content: bytes) -> bytes:
    return content[: content.rindex(b"{")]


def with_iterations(content: bytes, iterations: int) -> bytes:
    return content.replace(b'"iterations": 250000', b'"iterations": %d' % iterations, 1)


def test_the_right_password_gives_the_same_shares_back() -> None:
    assert parse_key_file(GOOD).open(PASSWORD) == make_shares(3)


def test_a_wrong_password_is_named_a_wrong_password() -> None:
    with pytest.raises(WrongPasswordError):
        parse_key_file(GOOD).open(Secret("not the password of this file"))


def test_a_file_that_holds_fewer_shares_than_an_unseal_needs_is_not_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(keyfile, "_check_enough", lambda shares, threshold: None)
        content = make_key_file(make_shares(2))
    with pytest.raises(KeyFileSharesError, match="fewer than the threshold"):
        parse_key_file(content).open(PASSWORD)


def test_a_file_that_holds_another_number_of_shares_than_it_says_is_not_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = keyfile.encode_header
    with monkeypatch.context() as patched:
        patched.setattr(keyfile, "encode_header", lambda h: real(replace(h, held=h.held + 1)))
        content = make_key_file()
    with pytest.raises(KeyFileSharesError, match="no list of shares"):
        parse_key_file(content).open(PASSWORD)


def test_every_truncation_is_named_a_truncation() -> None:
    for length in range(len(GOOD)):
        with pytest.raises(KeyFileTruncatedError):
            parse_key_file(GOOD[:length])


def test_no_flipped_bit_gets_past_and_none_is_called_a_truncation_or_a_wrong_password() -> None:
    found = set()
    for position in range(len(GOOD)):
        broken = bytearray(GOOD)
        broken[position] ^= 1 << (position % 8)
        with pytest.raises((KeyFileCorruptError, KeyFileWeakenedError, NotAKeyFileError)) as error:
            parse_key_file(bytes(broken))
        found.add(error.type)
    assert KeyFileCorruptError in found


def test_a_flipped_bit_of_the_content_is_named_corrupt() -> None:
    start = GOOD.index(b"\n", GOOD.index(b"\n") + 1) + 1
    for position in range(start, len(GOOD)):
        broken = bytearray(GOOD)
        broken[position] ^= 1
        with pytest.raises(KeyFileCorruptError):
            parse_key_file(bytes(broken))


@pytest.mark.parametrize("iterations", [1, 1000, 100_000, 249_999])
def test_lowered_iterations_are_refused_before_anything_is_derived(
    iterations: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyfile, "derive", lambda *_: pytest.fail("derived"))
    lowered = with_iterations(GOOD, iterations)
    for content in (lowered, resealed(body_of(lowered), iterations), resealed(body_of(lowered), 1)):
        with pytest.raises(KeyFileWeakenedError):
            parse_key_file(content)


def test_iterations_lowered_to_what_is_still_allowed_are_named_too() -> None:
    strong = make_key_file(iterations=300_000)
    lowered = strong.replace(b'"iterations": 300000', b'"iterations": 250000', 1)
    with pytest.raises(KeyFileWeakenedError):
        parse_key_file(lowered)
    with pytest.raises(WrongPasswordError):
        parse_key_file(resealed(body_of(lowered), 250_000)).open(PASSWORD)


def test_a_header_changed_by_somebody_who_corrects_the_checksum_does_not_open() -> None:
    changed = body_of(GOOD).replace(b'"name": "test"', b'"name": "prod"')
    with pytest.raises(KeyFileCorruptError):
        parse_key_file(resealed(changed, MIN_ITERATIONS)).open(PASSWORD)


def test_ciphertext_changed_by_somebody_who_corrects_the_checksum_does_not_open() -> None:
    body = bytearray(body_of(GOOD))
    position = len(body) - 20
    body[position] = ord("A") if body[position] != ord("A") else ord("B")
    with pytest.raises(KeyFileCorruptError):
        parse_key_file(resealed(bytes(body), MIN_ITERATIONS)).open(PASSWORD)


def test_a_newer_format_version_is_refused_with_that_reason() -> None:
    newer = body_of(GOOD).replace(b"zvault-key-file 1\n", b"zvault-key-file 2\n")
    with pytest.raises(KeyFileVersionError, match="version 2"):
        parse_key_file(resealed(newer, MIN_ITERATIONS))


def test_something_else_is_no_key_file() -> None:
    for content in (b"Salted__abcdefgh", b"{}", b"\0" * 100, b"zvault", b"hello\nworld\n"):
        with pytest.raises((NotAKeyFileError, KeyFileTruncatedError)):
            parse_key_file(content)


def test_too_few_iterations_are_refused_at_creation_too() -> None:
    with pytest.raises(KeyFileWeakenedError):
        make_key_file(iterations=249_999)


def test_fewer_shares_than_the_threshold_are_refused() -> None:
    with pytest.raises(KeyFileSharesError):
        make_key_file(make_shares(2))


def test_the_same_share_twice_is_not_two_shares() -> None:
    share = make_shares(1)[0]
    with pytest.raises(SharesSourceError):
        make_key_file([share, share, share])


def test_an_empty_password_is_refused() -> None:
    with pytest.raises(PasswordSourceError):
        make_key_file(password=Secret(b""))


def test_two_files_with_one_password_share_no_salt_nonce_or_ciphertext() -> None:
    a, b = parse_key_file(make_key_file(seed=3)), parse_key_file(make_key_file(seed=4))
    assert a.header.salt != b.header.salt
    assert a.header.nonce != b.header.nonce
    assert a.ciphertext != b.ciphertext
    assert a.header.password_check != b.header.password_check


def test_what_show_prints_is_the_header_and_holds_no_share() -> None:
    shown = json.dumps(public_fields(parse_key_file(GOOD).header))
    for share in make_shares(3):
        assert share.reveal().hex() not in shown
    assert '"threshold": 3' in shown


def test_the_real_random_source_is_a_parameter_and_asked_for_salt_and_nonce_once() -> None:
    asked: list[int] = []

    def random_bytes(count: int) -> bytes:
        asked.append(count)
        return random.Random(count).randbytes(count)

    seal_key_file(
        make_shares(3),
        PASSWORD,
        threshold=3,
        total=5,
        vault=VAULT,
        created="2026-11-21T00:00:00Z",
        random_bytes=random_bytes,
        iterations=MIN_ITERATIONS,
    )
    assert asked == [32, 12]
