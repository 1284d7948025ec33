"""Signed tokens: what is accepted, and above all what is not."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from zvault.crypto import jwk, jws
from zvault.crypto.errors import SignatureError, TokenFormError

RSA = rsa.generate_private_key(65537, 2048)
KEYS: dict[str, jwk.PrivateKey] = {
    "RS256": RSA,
    "RS384": RSA,
    "RS512": RSA,
    "PS256": RSA,
    "PS384": RSA,
    "PS512": RSA,
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "ES512": ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
PAYLOAD = b'{"sub":"ann"}'


def part(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.mark.parametrize("algorithm", jws.ALGORITHMS)
def test_what_a_key_signed_its_public_half_confirms(algorithm: str) -> None:
    key = KEYS[algorithm]
    token = jws.parse(jws.sign(key, algorithm, "k1", PAYLOAD), jws.ALGORITHMS)
    assert (token.algorithm, token.key_id, token.payload) == (algorithm, "k1", PAYLOAD)
    jws.verify(token, key.public_key())


@pytest.mark.parametrize("algorithm", jws.ALGORITHMS)
def test_any_change_of_header_payload_or_signature_is_refused(algorithm: str) -> None:
    key = KEYS[algorithm]
    head, body, signature = jws.sign(key, algorithm, "k1", PAYLOAD).split(".")
    raw = bytearray(base64.urlsafe_b64decode(signature + "=="))
    raw[5] ^= 1
    for changed in (
        f"{part({'alg': algorithm, 'kid': 'k2'})}.{body}.{signature}",
        f"{head}.{part({'sub': 'eve'})}.{signature}",
        f"{head}.{body}.{part(bytes(raw))}",
        f"{head}.{body}.{part(bytes(raw[:-1]))}",
        f"{head}.{body}.",
    ):
        with pytest.raises(SignatureError):
            jws.verify(jws.parse(changed, jws.ALGORITHMS), key.public_key())


@pytest.mark.parametrize("algorithm", jws.ALGORITHMS)
@pytest.mark.parametrize("other", ["RS256", "ES256", "ES384", "ES512", "EdDSA"])
def test_a_key_is_used_for_its_own_algorithms_only(algorithm: str, other: str) -> None:
    key = KEYS[other]
    if jws.is_for(key, algorithm):
        return
    token = jws.parse(jws.sign(KEYS[algorithm], algorithm, "", PAYLOAD), jws.ALGORITHMS)
    with pytest.raises(SignatureError):
        jws.verify(token, key.public_key())
    with pytest.raises(SignatureError):
        jws.sign(key, algorithm, "", PAYLOAD)


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "NONE", "nOnE", "HS256", "HS384", "HS512", "", None, 5, ["RS256"]]
)
def test_no_token_without_an_asymmetric_signature_is_even_taken_apart(algorithm: Any) -> None:
    for allowed in (jws.ALGORITHMS, (*jws.ALGORITHMS, "none", "HS256")):
        with pytest.raises(TokenFormError):
            jws.parse(f"{part({'alg': algorithm})}.{part(PAYLOAD)}.", allowed)


def test_the_public_key_is_no_shared_secret() -> None:
    """The classic confusion: HMAC with the public key's text as its key."""
    pem = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = f"{part({'alg': 'HS256'})}.{part(PAYLOAD)}"
    mac = hmac.HMAC(pem, hashes.SHA256())
    mac.update(signed.encode())
    with pytest.raises(TokenFormError):
        jws.parse(f"{signed}.{part(mac.finalize())}", jws.ALGORITHMS)


def test_an_algorithm_that_is_not_pinned_is_refused() -> None:
    with pytest.raises(TokenFormError):
        jws.parse(jws.sign(RSA, "RS512", "", PAYLOAD), ["RS256"])


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b",
        "a.b.c.d",
        "..",
        f"{part(b'[]')}.{part(PAYLOAD)}.AAAA",
        f"{part(b'{')}.{part(PAYLOAD)}.AAAA",
        f"{part({'alg': 'RS256', 'crit': ['exp']})}.{part(PAYLOAD)}.AAAA",
        f"{part({'alg': 'RS256', 'b64': False})}.{part(PAYLOAD)}.AAAA",
        f"{part({'alg': 'RS256'})}=.{part(PAYLOAD)}.AAAA",
        f"{part({'alg': 'RS256'})}.{part(PAYLOAD)}.A+/A",
        f"{part({'alg': 'RS256'})}.{part(PAYLOAD)}.A\nAA",
        f"{part({'alg': 'RS256'})}.{part(PAYLOAD)}.AAAAA",
        f"{part({'alg': 'RS256'})}.{'A' * 100_000}.AAAA",
        "\ud800.a.b",
        part(b"[" * 40_000) + ".a.b",
    ],
)
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(TokenFormError):
        jws.parse(token, jws.ALGORITHMS)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "ES384", "ES512", "EdDSA"])
def test_keys_survive_the_way_through_json(algorithm: str) -> None:
    key = KEYS[algorithm]
    members = {**jwk.public_members(key.public_key()), **jwk.private_members(key)}
    stored = json.loads(json.dumps(members))
    token = jws.sign(jwk.private_key(stored), algorithm, "", PAYLOAD)
    public = {n: v for n, v in stored.items() if n in jwk.public_members(key.public_key())}
    jws.verify(jws.parse(token, [algorithm]), jwk.public_key(public))


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"kty": "oct", "k": "AAAA"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "RSA", "e": "AQAB"},
        {"kty": "RSA", "n": 5, "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"},
        {"kty": "EC", "crv": "secp256k1", "x": "AQ", "y": "AQ"},
        {"kty": "OKP", "crv": "Ed25519", "x": "AQ"},
        {"kty": "OKP", "crv": "X25519", "x": "A" * 43},
    ],
)
def test_a_json_key_that_is_none_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(TokenFormError):
        jwk.public_key(broken)


def test_pem_text_gives_the_keys_tokens_are_checked_with_and_no_others() -> None:
    def pem(key: Any) -> str:
        text: bytes = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return text.decode()

    for key in KEYS.values():
        assert jwk.pem_public_key(pem(key.public_key())) == key.public_key()
    for text in (
        "",
        "nope",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        pem(rsa.generate_private_key(65537, 1024).public_key()),
        pem(x25519.X25519PrivateKey.generate().public_key()),
        pem(ec.generate_private_key(ec.SECP256K1()).public_key()),
    ):
        with pytest.raises(TokenFormError):
            jwk.pem_public_key(text)
