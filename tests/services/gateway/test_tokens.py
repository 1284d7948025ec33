"""Which access tokens are believed."""

import base64
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from zakupai_common.secret import Secret
from zakupai_gateway.tokens.access import AccessTokens, Issuance, TokenRefusedError
from zakupai_gateway.tokens.keyring import KeyRing, KeyRingError, SigningKey, first_ring
from zakupai_gateway.tokens.source import KeySource

NOW = 1_800_000_000
ISSUANCE = Issuance("zakupai-gateway", "zakupai", 600)
RING = first_ring("k1", NOW - 1000)
KEY = RING.keys[0]
CONTENT = {
    "iss": "zakupai-gateway",
    "aud": "zakupai",
    "sub": "user-1",
    "iat": NOW,
    "exp": NOW + 600,
    "jti": "j",
    "sid": "s",
    "plan": "free",
    "scope": "a b",
}
HEADER = {"kid": "k1", "typ": "at+jwt"}


def tokens(ring: KeyRing = RING, now: float = NOW) -> AccessTokens:
    return AccessTokens(ISSUANCE, lambda: ring, lambda: now)


def signed(content: dict[str, Any] = CONTENT, header: dict[str, Any] = HEADER) -> str:
    return jwt.encode(content, KEY.private, "ES256", header)


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def refusal(token: str, **more: Any) -> str:
    with pytest.raises(TokenRefusedError) as refused:
        tokens(**more).verify(token)
    return refused.value.reason


def test_what_was_issued_is_believed_until_it_ends() -> None:
    token = tokens().issue("user-1", "free", ("b", "a"), "s")
    claims = tokens().verify(token)
    assert (claims.user, claims.plan, claims.scopes, claims.session) == (
        "user-1",
        "free",
        ("a", "b"),
        "s",
    )
    assert claims.expires_at == NOW + 600
    tokens(now=NOW + 599.9).verify(token)
    assert refusal(token, now=NOW + 600) == "expired"


def test_a_believed_token_is_not_believed_longer_because_it_is_remembered() -> None:
    now = float(NOW)
    verifier = AccessTokens(ISSUANCE, lambda: RING, lambda: now)
    token = verifier.issue("u", "free", (), "s")
    verifier.verify(token)
    now += 601
    with pytest.raises(TokenRefusedError, match="expired"):
        verifier.verify(token)


def test_memory_of_believed_tokens_is_bounded_and_forgetting_refuses_nobody() -> None:
    keeper = AccessTokens(ISSUANCE, lambda: RING, lambda: NOW, remembered=3)
    issued = [keeper.issue(f"user-{number}", "free", (), "s") for number in range(8)]
    for _ in range(2):
        for number, token in enumerate(issued):
            assert keeper.verify(token).user == f"user-{number}"
            assert len(keeper._believed) <= 3


def test_a_believed_token_is_not_believed_any_more_when_its_key_is_gone() -> None:
    ring = RING
    verifier = AccessTokens(ISSUANCE, lambda: ring, lambda: NOW)
    token = verifier.issue("u", "free", (), "s")
    verifier.verify(token)
    ring = first_ring("k2", 0)
    with pytest.raises(TokenRefusedError, match="unknown-key"):
        verifier.verify(token)


def test_a_token_without_signature_is_never_believed() -> None:
    for algorithm in ("none", "None", "NONE", "nOnE"):
        head = part({**HEADER, "alg": algorithm})
        assert refusal(f"{head}.{part(CONTENT)}.") == "not-ours"
    assert refusal(signed().rpartition(".")[0] + ".") == "bad-signature"


def test_a_token_signed_with_the_public_key_as_a_password_is_not_believed() -> None:
    import hashlib
    import hmac

    pem = KEY.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for algorithm in ("HS256", "ES256"):
        text = f"{part({**HEADER, 'alg': algorithm})}.{part(CONTENT)}"
        mac = hmac.new(pem, text.encode(), hashlib.sha256).digest()
        forged = f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
        assert refusal(forged) in ("not-ours", "bad-signature")


def test_a_token_of_another_key_is_not_believed_under_our_kid() -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    assert refusal(jwt.encode(CONTENT, other, "ES256", HEADER)) == "bad-signature"
    elsewhere = jwt.encode(CONTENT, other, "ES256", {**HEADER, "kid": "k9"})
    assert refusal(elsewhere) == "unknown-key"
    large = rsa.generate_private_key(65537, 2048)
    assert refusal(jwt.encode(CONTENT, large, "RS256", HEADER)) == "not-ours"


def test_a_key_that_a_token_brings_along_is_not_used() -> None:
    other = first_ring("k1", 0).keys[0]
    header = {**HEADER, "jwk": other.published(), "jku": "https://example.com/jwks.json"}
    assert refusal(jwt.encode(CONTENT, other.private, "ES256", header)) == "bad-signature"


@pytest.mark.parametrize("name", ["exp", "aud", "iss", "sub", "jti", "iat", "sid"])
def test_a_token_that_lacks_a_claim_is_not_believed(name: str) -> None:
    content = {known: value for known, value in CONTENT.items() if known != name}
    assert refusal(signed(content)) in ("claim-missing", "wrong-audience", "wrong-issuer")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"aud": "other"}, "wrong-audience"),
        ({"iss": "other"}, "wrong-issuer"),
        ({"exp": NOW}, "expired"),
        ({"exp": "tomorrow"}, "malformed"),
        ({"exp": 1e400}, "malformed"),
        ({"sub": 7}, "not-ours"),
        ({"plan": None}, "malformed"),
        ({"scope": ["a"]}, "malformed"),
        ({"nbf": int(time.time()) + 10_000}, "not-ours"),
    ],
)
def test_a_signed_token_with_a_wrong_claim_is_not_believed(
    changed: dict[str, Any], reason: str
) -> None:
    assert refusal(signed({**CONTENT, **changed})) == reason


def test_another_kind_of_jwt_is_no_access_token() -> None:
    for header in ({"kid": "k1"}, {**HEADER, "typ": "JWT"}, {**HEADER, "typ": "at+JWT"}):
        assert refusal(signed(header=header)) == "not-ours"
    assert refusal(signed(header={"typ": "at+jwt"})) == "unknown-key"


@given(st.text(max_size=200) | st.binary(max_size=100).map(lambda raw: raw.decode("latin-1")))
def test_noise_is_refused_and_never_breaks_anything(text: str) -> None:
    assert refusal(text) in ("malformed", "not-ours")


@given(st.data())
def test_a_token_that_was_changed_anywhere_is_not_believed(data: st.DataObject) -> None:
    token = signed()
    place = data.draw(st.integers(0, len(token) - 2))  # the last letter has unused bits
    letter = data.draw(st.sampled_from("AZaz09-_."))
    changed = token[:place] + letter + token[place + 1 :]
    if changed != token:
        with pytest.raises(TokenRefusedError):
            tokens().verify(changed)


def test_a_longer_token_than_any_of_ours_is_not_even_read() -> None:
    assert refusal("a" * 5000) == "malformed"


# -- the exchange of keys ---------------------------------------------------------------------


def test_an_exchange_of_keys_logs_nobody_out() -> None:
    """A gateway may have read the new ring or not yet, until the new key signs."""
    ring, now, issued = first_ring("k0", NOW), NOW, []
    for number in range(1, 6):
        old, began = ring, now
        ring = old.rotated(f"k{number}", now, known_after_seconds=900, token_seconds=600)
        while now < began + 2000:
            late = now < began + 900
            for signer in (old, ring) if late else (ring,):
                issued.append((now, tokens(signer, now).issue("u", "free", (), "s")))
            issued = [(at, token) for at, token in issued if at + 600 > now]
            for _, token in issued:
                for reader in (old, ring) if late else (ring,):
                    tokens(reader, now).verify(token)
            now += 150
        assert len(ring.keys) <= 3
    assert "k0" not in {key.kid for key in ring.keys}


def test_a_key_signs_only_from_its_time_on() -> None:
    ring = RING.rotated("k2", NOW, known_after_seconds=900, token_seconds=600)
    assert ring.signing(NOW + 899).kid == "k1"
    assert ring.signing(NOW + 900).kid == "k2"
    with pytest.raises(KeyRingError, match="later"):
        first_ring("k", NOW).signing(NOW - 1)


def test_keys_come_back_from_vault_as_they_went() -> None:
    ring = KeyRing.read([key.stored() for key in RING.keys])
    assert ring.jwks() == RING.jwks()
    assert tokens(ring).verify(tokens().issue("u", "free", (), "s")).user == "u"
    assert "d" not in ring.jwks()["keys"][0]


GOOD = KEY.stored()


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ([], "no signing key"),
        ([GOOD, GOOD], "one kid"),
        (["x"], "no object"),
        ([{**GOOD, "kid": "a b"}], "no kid"),
        ([{**GOOD, "kid": None}], "no kid"),
        ([{**GOOD, "sign_from": "now"}], "sign_from"),
        ([{**GOOD, "sign_from": True}], "sign_from"),
        ([{**GOOD, "private_key": "hello-secret"}], "no PEM"),
        ([{"kid": "k", "sign_from": 0}], "no PEM"),
    ],
)
def test_what_is_no_ring_is_refused_without_quoting_it(stored: list[Any], said: str) -> None:
    with pytest.raises(KeyRingError, match=said) as refused:
        KeyRing.read(stored)
    assert "hello-secret" not in str(refused.value)


def test_a_key_on_another_curve_is_refused() -> None:
    private = ec.generate_private_key(ec.SECP384R1())
    stored = SigningKey("k", 0, private, private.public_key()).stored()
    with pytest.raises(KeyRingError, match="P-256"):
        KeyRing.read([stored])


def test_keys_that_cannot_be_read_never_replace_good_ones() -> None:
    secret = Secret([GOOD])
    source = KeySource(lambda: secret)
    ring = source()
    secret = Secret([GOOD])
    assert source() is ring  # read again, the same
    secret = Secret(["nonsense"])
    assert source() is ring
    assert "no object" in source.trouble
    secret = Secret([GOOD, first_ring("k2", 0).keys[0].stored()])
    assert {key.kid for key in source().keys} == {"k1", "k2"}
    assert source.trouble == ""
