"""Derivation and XChaCha20 give the numbers of their standards."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zvault.crypto.chacha import InvalidTag, XChaCha20Poly1305, hchacha20
from zvault.crypto.kdf import counter_mode_sha256, hkdf_sha256


def test_hkdf_is_that_of_rfc_5869_without_salt() -> None:
    """Appendix A.3."""
    found = hkdf_sha256(b"\x0b" * 22, b"", 42)
    assert found.hex() == (
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    )


@given(st.binary(min_size=1, max_size=64), st.binary(max_size=40), st.integers(1, 255))
def test_longer_keys_begin_with_the_shorter_ones(key: bytes, info: bytes, length: int) -> None:
    assert hkdf_sha256(key, info, 255)[:length] == hkdf_sha256(key, info, length)


@pytest.mark.parametrize("length", [0, -1, 255 * 32 + 1])
def test_hkdf_gives_no_more_than_it_has(length: int) -> None:
    with pytest.raises(ValueError, match="HKDF"):
        hkdf_sha256(b"k", b"", length)


def test_counter_mode_is_a_chain_of_blocks() -> None:
    """Two blocks: what the formula of SP 800-108 5.1 gives, counter from 0."""
    import hmac

    length = (512).to_bytes(4, "big")
    first = hmac.digest(b"key", bytes(4) + b"ctx" + length, "sha256")
    second = hmac.digest(b"key", b"\0\0\0\1" + b"ctx" + length, "sha256")
    assert counter_mode_sha256(b"key", b"ctx", 512) == first + second


def test_hchacha20_is_that_of_the_draft() -> None:
    """draft-irtf-cfrg-xchacha-03, section 2.2.1."""
    nonce = bytes.fromhex("000000090000004a0000000031415927")
    assert hchacha20(bytes(range(32)), nonce).hex() == (
        "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc"
    )


def test_xchacha_opens_what_it_sealed_and_nothing_else() -> None:
    aead = XChaCha20Poly1305(bytes(32))
    sealed = aead.encrypt(bytes(24), b"text", b"ad")
    assert aead.decrypt(bytes(24), sealed, b"ad") == b"text"
    for nonce, data, associated in (
        (bytes(23) + b"\1", sealed, b"ad"),
        (bytes(24), sealed[:-1] + bytes([sealed[-1] ^ 1]), b"ad"),
        (bytes(24), sealed, b"other"),
    ):
        with pytest.raises(InvalidTag):
            aead.decrypt(nonce, data, associated)
    with pytest.raises(ValueError, match="24 bytes"):
        aead.encrypt(bytes(12), b"", None)
