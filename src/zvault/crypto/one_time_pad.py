"""A token under a one-time pad, as a quorum is given a new root token.

What lives here: XOR and base64 without padding (``docs/api/sys.md``). What never does: where pad
and token come from. Pure.
"""

import base64
import string

from zvault.base.secret import Secret
from zvault.crypto.errors import EncodedTokenError

_BASE64 = frozenset(string.ascii_letters + string.digits + "+/")


def encode_token(token: Secret, otp: Secret) -> str:
    """The token under the pad; both are of one length."""
    mixed = bytes(a ^ b for a, b in zip(token.reveal(), otp.reveal(), strict=True))
    return base64.b64encode(mixed).decode().rstrip("=")


def decode_token(encoded: str, otp: str) -> str:
    """The token again. Raises EncodedTokenError, in Vault's words."""
    if not encoded or not otp:
        raise EncodedTokenError("provided 'encoded_token' or 'otp' is empty")
    at = next((i for i, sign in enumerate(encoded) if sign not in _BASE64), len(encoded))
    if at < len(encoded) or len(encoded) % 4 == 1:
        raise EncodedTokenError(
            f"error decoding base64'd token: illegal base64 data at input byte {at}"
        )
    mixed = base64.b64decode(encoded + "=" * (-len(encoded) % 4))
    pad = otp.encode()
    if len(mixed) != len(pad):
        raise EncodedTokenError(
            "error xoring token: length of byte slices is not equivalent:"
            f" {len(mixed)} != {len(pad)}"
        )
    return bytes(a ^ b for a, b in zip(mixed, pad, strict=True)).decode("utf-8", "replace")
