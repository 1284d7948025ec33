"""What can go wrong when something is opened.

Invariant: a message says what failed, never a byte of key, password or content.
"""

from zvault.base.errors import UsageError, VerificationError


class ShareError(UsageError):
    """Shares that cannot belong together: lengths differ, two have the same number."""

    code = "shamir-shares"


class KeyLengthError(VerificationError):
    """A key that AES cannot take."""

    code = "key-length"


class BoxError(VerificationError):
    """Authenticated decryption failed: wrong password or changed bytes."""

    code = "sealed-box"


class TokenFormError(VerificationError):
    """A signed token or a key in JSON that is not of the form it must have."""

    code = "token-form"


class SignatureError(VerificationError):
    """A signature that the key does not confirm."""

    code = "token-signature"


class OpensslFileError(VerificationError):
    """An ``openssl enc`` file that does not open."""

    code = "openssl-file"


class SignatureFormatError(VerificationError):
    """A signature, or the digest to sign, that is not what the algorithm takes."""

    code = "signature-format"


class EncodedTokenError(UsageError):
    """A text that is no token under this one-time pad."""

    code = "encoded-token"
