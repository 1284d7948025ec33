"""RSA: keys from and to numbers, OAEP, PSS and PKCS #1 v1.5.

What lives here: the four operations over a digest or a short message. What never does: hashing of
messages, base64. Key generation and padding draw from OpenSSL's own generator.
Invariant: ``UNSAFE_SKIP_CHECK`` is used for keys that this store has already held, never for one
that a caller hands in.
"""

import hmac
from dataclasses import dataclass
from enum import Enum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import NoDigestInfo, Prehashed

PrivateKey = rsa.RSAPrivateKey
PublicKey = rsa.RSAPublicKey
PUBLIC_EXPONENT = 65537


class Scheme(Enum):
    """How a signature is padded."""

    PSS = "pss"
    PKCS1V15 = "pkcs1v15"


class Salt(Enum):
    """Salt lengths of PSS that are no number."""

    AUTO = "auto"
    """As long as fits when signing, found out when verifying."""
    HASH = "hash"


@dataclass(frozen=True, slots=True)
class Numbers:
    """A private key with two primes."""

    n: int
    e: int
    d: int
    p: int
    q: int

    def __repr__(self) -> str:
        return "Numbers(<redacted>)"


def generate(bits: int) -> PrivateKey:
    """A new key; takes seconds for 4096 bits."""
    return rsa.generate_private_key(PUBLIC_EXPONENT, bits)


def private_key(numbers: Numbers, *, checked: bool) -> PrivateKey:
    """The key of its numbers. ``checked``: prove that they belong together (slow).

    Raises ValueError when they do not, or cannot be numbers of a key.
    """
    return rsa.RSAPrivateNumbers(
        numbers.p,
        numbers.q,
        numbers.d,
        rsa.rsa_crt_dmp1(numbers.d, numbers.p),
        rsa.rsa_crt_dmq1(numbers.d, numbers.q),
        rsa.rsa_crt_iqmp(numbers.p, numbers.q),
        rsa.RSAPublicNumbers(numbers.e, numbers.n),
    ).private_key(unsafe_skip_rsa_key_validation=not checked)


def numbers_of(key: PrivateKey) -> Numbers:
    """What a key is made of."""
    private = key.private_numbers()
    public = private.public_numbers
    return Numbers(public.n, public.e, private.d, private.p, private.q)


def public_key(n: int, e: int) -> PublicKey:
    """The key of modulus and exponent. Raises ValueError."""
    return rsa.RSAPublicNumbers(e, n).public_key()


def _oaep(digest: hashes.HashAlgorithm) -> padding.OAEP:
    return padding.OAEP(mgf=padding.MGF1(digest), algorithm=digest, label=None)


def encrypt(key: PublicKey, message: bytes, digest: hashes.HashAlgorithm) -> bytes:
    """OAEP. Raises ValueError for a message that is too long."""
    return key.encrypt(message, _oaep(digest))


def decrypt(key: PrivateKey, ciphertext: bytes, digest: hashes.HashAlgorithm) -> bytes:
    """OAEP. Raises ValueError, always the same."""
    return key.decrypt(ciphertext, _oaep(digest))


def max_salt_bytes(key: PublicKey, digest: hashes.HashAlgorithm) -> int:
    """The longest PSS salt."""
    return (key.key_size + 6) // 8 - digest.digest_size - 2


def sign(
    key: PrivateKey,
    digest: bytes,
    algorithm: hashes.HashAlgorithm | None,
    scheme: Scheme,
    salt: Salt | int,
) -> bytes:
    """A signature. ``algorithm`` None (only PKCS #1): without the prefix that names the hash.

    Raises ValueError for a salt or a digest that does not fit.
    """
    if algorithm is None:
        return key.sign(digest, padding.PKCS1v15(), NoDigestInfo())
    return key.sign(digest, _padding(scheme, salt, algorithm, to_sign=True), Prehashed(algorithm))


def verify(
    key: PublicKey,
    digest: bytes,
    algorithm: hashes.HashAlgorithm | None,
    scheme: Scheme,
    salt: Salt | int,
    signature: bytes,
) -> bool:
    """Whether the signature is that digest's. Raises ValueError as ``sign`` does."""
    try:
        if algorithm is None:
            found = key.recover_data_from_signature(signature, padding.PKCS1v15(), None)
            return hmac.compare_digest(found, digest)
        how = _padding(scheme, salt, algorithm, to_sign=False)
        key.verify(signature, digest, how, Prehashed(algorithm))
    except InvalidSignature:
        return False
    return True


def _padding(
    scheme: Scheme, salt: Salt | int, algorithm: hashes.HashAlgorithm, *, to_sign: bool
) -> padding.AsymmetricPadding:
    if scheme is Scheme.PKCS1V15:
        return padding.PKCS1v15()
    mgf = padding.MGF1(algorithm)
    if isinstance(salt, int):
        return padding.PSS(mgf=mgf, salt_length=salt)
    if salt is Salt.HASH:
        return padding.PSS(mgf=mgf, salt_length=padding.PSS.DIGEST_LENGTH)
    longest = padding.PSS.MAX_LENGTH if to_sign else padding.PSS.AUTO
    return padding.PSS(mgf=mgf, salt_length=longest)
