"""How shares are written down: hex or standard base64 of the whole share.

Source: Vault's unseal API tries hex first and takes it only for 16 to 33 bytes.
"""

import base64
import binascii

from zvault.base.secret import Secret
from zvault.crypto.errors import ShareError

MIN_SHARE_BYTES = 16
MAX_SHARE_BYTES = 33


def decode_share(text: str) -> Secret:
    """The share that ``text`` shows. Raises ShareError, which never repeats the text."""
    for decode in (bytes.fromhex, _from_base64):
        try:
            raw = decode(text.strip())
        except (ValueError, binascii.Error):
            continue
        if MIN_SHARE_BYTES <= len(raw) <= MAX_SHARE_BYTES:
            return Secret(raw)
    raise ShareError(
        "a share is neither hex nor base64 of 16 to 33 bytes", hint="copy it again, whole"
    )


def encode_share(share: Secret) -> str:
    """Standard base64, as Vault shows it."""
    return base64.b64encode(share.reveal()).decode()


def _from_base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
