"""Signatures over digests of any length, in DER and as halves."""

import os

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from zvault.crypto import ecdsa
from zvault.crypto.errors import SignatureFormatError

CURVES = list(ecdsa.CURVES.values())


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_the_order_is_that_of_the_curve(curve: ecdsa.Curve) -> None:
    """The point of order - 1 is the base point turned over: same x. The order itself is no key."""
    one = ecdsa.point(ecdsa.private_key(curve, 1).public_key())
    last = ecdsa.point(ecdsa.private_key(curve, curve.order - 1).public_key())
    assert one[0] == last[0]
    assert one[1] != last[1]
    with pytest.raises(ValueError, match="key"):
        ecdsa.private_key(curve, curve.order)
    assert ecdsa.new_number(curve, bytes(curve.number_bytes + 8)) == 1
    with pytest.raises(ValueError, match="too few"):
        ecdsa.new_number(curve, bytes(curve.number_bytes + 7))


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
@pytest.mark.parametrize("length", [1, 20, 28, 32, 48, 64])
def test_digests_of_any_length_are_signed_and_told_apart(curve: ecdsa.Curve, length: int) -> None:
    key = ecdsa.private_key(curve, ecdsa.new_number(curve, os.urandom(80)))
    digest = os.urandom(length)
    signature = ecdsa.sign(curve, key, digest)
    assert ecdsa.verify(curve, key.public_key(), digest, signature)
    assert not ecdsa.verify(curve, key.public_key(), bytes(length), signature)
    halves = ecdsa.halves(curve, signature)
    assert len(halves) == 2 * curve.number_bytes
    assert ecdsa.verify(curve, key.public_key(), digest, ecdsa.der_of_halves(halves))


def test_a_digest_longer_than_the_order_is_cut_as_openssl_cuts_it() -> None:
    curve = ecdsa.CURVES["P-256"]
    key = ecdsa.private_key(curve, 12345)
    digest = hashes.Hash(hashes.SHA512())
    digest.update(b"message")
    signature = ecdsa.sign(curve, key, digest.finalize())
    key.public_key().verify(signature, b"message", ec.ECDSA(hashes.SHA512()))


def test_what_is_no_signature_is_refused_by_its_form() -> None:
    good = ecdsa.sign(CURVES[0], ecdsa.private_key(CURVES[0], 7), bytes(32))
    assert ecdsa.checked_der(good) == good
    for wrong, words in (
        (b"", "is invalid"),
        (b"\0", "is invalid"),
        (b"\x30\x81", "is invalid"),
        (good[:-1], "is invalid"),
        (good + b"\0", "extra data"),
    ):
        with pytest.raises(SignatureFormatError, match=words):
            ecdsa.checked_der(wrong)
