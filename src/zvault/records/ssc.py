"""Server-side-consistent token ids: the long ``hvs.CAES…`` form that users of Vault see.

What lives here: encode and decode. Pure. Inner ids (28 characters) pass through everywhere.
"""

import base64
import binascii
import hmac

from google.protobuf.message import DecodeError

from zvault.base.protobuf import build_messages
from zvault.records.errors import RecordError

PREFIX = "hvs."
MAX_INNER_LENGTH = 34
"""An id that starts with ``hvs.`` and is longer than this is in external form."""
HEADER_KEY_PATH = "core/index-header-hmac-key"
_TOKEN_VERSION = 1

_messages = build_messages(
    "zvault.ssc",
    {
        "SignedToken": ["1 token_version uint64", "2 hmac bytes", "3 token bytes"],
        "Token": ["1 random string", "2 local_index uint64", "3 index_epoch uint32"],
    },
)
_SignedToken = _messages["SignedToken"]
_Token = _messages["Token"]


def is_external(token_id: str) -> bool:
    """It has the external form's prefix and length."""
    return token_id.startswith(PREFIX) and len(token_id) > MAX_INNER_LENGTH


def encode(inner_id: str, header_key: bytes) -> str:
    """The external id of an inner one, signed with the text of ``core/index-header-hmac-key``."""
    token = _Token(random=inner_id).SerializeToString()
    signed = _SignedToken(
        token_version=_TOKEN_VERSION, hmac=hmac.digest(header_key, token, "sha256"), token=token
    )
    body = base64.urlsafe_b64encode(signed.SerializeToString()).rstrip(b"=")
    return PREFIX + body.decode()


def decode(token_id: str, header_key: bytes | None = None) -> str:
    """The inner id; an id that is not external comes back as it is.

    With ``header_key`` the signature is checked too. Raises RecordError.
    """
    if not is_external(token_id):
        return token_id
    text = token_id[len(PREFIX) :]
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        signed = _SignedToken.FromString(raw)
        inner = str(_Token.FromString(signed.token).random)
    except (binascii.Error, ValueError, DecodeError):
        raise RecordError("the token is no server-side-consistent id") from None
    if not inner:
        raise RecordError("the token is no server-side-consistent id")
    if header_key is not None:
        expected = hmac.digest(header_key, signed.token, "sha256")
        if not hmac.compare_digest(expected, signed.hmac):
            raise RecordError("the token's signature is not of this Vault")
    return inner
