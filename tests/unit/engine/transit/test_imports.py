"""What comes in from outside is unwrapped, and is of the kind it says."""

import base64
import os
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)

from tests.support.running import Running, fresh
from zvault.engine.errors import InternalEngineError, InvalidRequestError

I64 = "aGVsbG8="


def der(key: Any) -> bytes:
    return bytes(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))


def pem(key: Any) -> str:
    made = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return str(made.decode())


async def wrapper(server: Running) -> Callable[..., str]:
    await server.write("sys/mounts/transit", type="transit")
    shown = await server.read("transit/wrapping_key")
    assert shown is not None
    wrapping = load_pem_public_key(shown["public_key"].encode())
    assert isinstance(wrapping, rsa.RSAPublicKey)
    assert await server.read("transit/wrapping_key") == shown

    def wrapped(content: bytes, digest: HashAlgorithm | None = None) -> str:
        used = digest or SHA256()
        key = os.urandom(32)
        oaep = padding.OAEP(mgf=padding.MGF1(used), algorithm=used, label=None)
        both = wrapping.encrypt(key, oaep) + aes_key_wrap_with_padding(key, content)
        return base64.b64encode(both).decode()

    return wrapped


async def test_material_of_another_kind_is_refused() -> None:
    p256, p384 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
    edwards = ed25519.Ed25519PrivateKey.generate()
    async with fresh() as server:
        wrapped = await wrapper(server)
        for kind, content, words in (
            ("aes256-gcm96", os.urandom(16), "invalid key size 16 bytes"),
            ("aes128-gcm96", os.urandom(32), "invalid key size 32 bytes"),
            ("hmac", os.urandom(31), "invalid key size 31 bytes"),
            ("ecdsa-p256", der(p384), "expected P-256, got P-384"),
            ("ecdsa-p256", der(edwards), "expected ecdsa-p256"),
            ("rsa-2048", der(p256), "expected rsa-2048"),
            ("ed25519", os.urandom(32), "error parsing"),
        ):
            with pytest.raises(InternalEngineError, match=words):
                await server.write("transit/keys/a/import", type=kind, ciphertext=wrapped(content))
        assert await server.list("transit/keys/") == ["import/"]


async def test_what_does_not_unwrap_is_refused() -> None:
    async with fresh() as server:
        wrapped = await wrapper(server)
        good = wrapped(os.urandom(32))
        raw = bytearray(base64.b64decode(good))
        raw[-1] ^= 1
        for body, words in (
            ({}, "public_key import"),
            ({"ciphertext": "!!"}, "illegal base64"),
            ({"ciphertext": "aGk="}, "too short"),
            ({"ciphertext": base64.b64encode(bytes(raw)).decode()}, "does not open"),
            ({"ciphertext": wrapped(os.urandom(32), SHA512())}, "decryption error"),
            ({"ciphertext": good, "auto_rotate_period": "1h"}, "allow_rotation"),
        ):
            with pytest.raises(InternalEngineError, match=words):
                await server.write("transit/keys/a/import", **body)
        with pytest.raises(InvalidRequestError, match="unknown hash function"):
            await server.write("transit/keys/a/import", ciphertext=good, hash_function="MD5")
        await server.write("transit/keys/a/import", ciphertext=good)
        with pytest.raises(InternalEngineError, match="existing key"):
            await server.write("transit/keys/a/import", ciphertext=good)
        with pytest.raises(InternalEngineError, match="does not allow rotation"):
            await server.write("transit/keys/a/rotate")
        other = wrapped(os.urandom(32), SHA512())
        await server.write(
            "transit/keys/a/import_version", ciphertext=other, hash_function="SHA512"
        )
        shown = await server.read("transit/keys/a")
        assert shown is not None
        assert shown["latest_version"] == 2
        await server.write("transit/keys/own")
        with pytest.raises(InternalEngineError, match="only be used with an imported key"):
            await server.write("transit/keys/own/import_version", ciphertext=good)


@pytest.mark.parametrize("kind", ["rsa-2048", "ecdsa-p256", "ed25519"])
async def test_a_public_key_verifies_and_signs_only_once_its_own_private_half_is_there(
    kind: str,
) -> None:
    def made() -> Any:
        if kind == "rsa-2048":
            return rsa.generate_private_key(65537, 2048)
        if kind == "ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        return ec.generate_private_key(ec.SECP256R1())

    key, stranger = made(), made()
    async with fresh() as server:
        wrapped = await wrapper(server)
        await server.write("transit/keys/a/import", type=kind, public_key=pem(key))
        with pytest.raises(InternalEngineError, match="does not contain a private part"):
            await server.write("transit/sign/a", input=I64)
        with pytest.raises(InternalEngineError, match="does not fit"):
            await server.write(
                "transit/keys/a/import_version", ciphertext=wrapped(der(stranger)), version=1
            )
        await server.write("transit/keys/a/import_version", ciphertext=wrapped(der(key)), version=1)
        signed = await server.write("transit/sign/a", input=I64)
        assert signed is not None
        assert signed.data is not None
        answer = await server.write(
            "transit/verify/a", input=I64, signature=signed.data["signature"]
        )
        assert answer is not None
        assert answer.data == {"valid": True}
        with pytest.raises(InternalEngineError, match="cannot be updated"):
            await server.write(
                "transit/keys/a/import_version", ciphertext=wrapped(der(key)), version=1
            )
