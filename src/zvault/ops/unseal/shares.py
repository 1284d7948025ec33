"""Shares as the operator gives them: a private file with a JSON list, or typed one by one.

What lives here: reading and judging shares before anything is done with them. What never does:
combining them. Invariant: no message repeats a byte of a share.
"""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from zvault.base.private_file import read_private
from zvault.base.secret import Secret
from zvault.ops.unseal.errors import SharesSourceError
from zvault.ops.unseal.terminal import ask_hidden

MIN_SHARE_BYTES, MAX_SHARE_BYTES = 16, 33
"""What Vault takes for a share (``vault-format``: 32 bytes and one x, or a bare key)."""
_SHAPE = 'write a JSON list of base64 shares: ["...", "..."]'


def read_shares_file(path: Path) -> list[Secret]:
    """The shares in a JSON list of base64 or hex texts; mode at most 0600.

    An object with such a list as ``shares`` is what ``zvault init`` writes, and will do as well.

    Raises PreconditionError for a missing or readable file, SharesSourceError for its content.
    """
    try:
        texts = json.loads(read_private(path, "shares file").reveal())
    except (ValueError, RecursionError):
        raise SharesSourceError(f"{path} is no JSON", hint=_SHAPE) from None
    if isinstance(texts, dict):
        texts = texts.get("shares")
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise SharesSourceError(f"{path} is no JSON list of texts", hint=_SHAPE)
    shares = [decode_share(text) for text in texts]
    check_shares(shares)
    return shares


def prompt_shares(count: int, ask: Callable[[str], str] = ask_hidden) -> list[Secret]:
    """Ask for ``count`` shares without echo. Raises SharesSourceError."""
    shares: list[Secret] = []
    while len(shares) < count:
        try:
            text = ask(f"share {len(shares) + 1} of {count} (not shown): ")
        except EOFError:
            raise SharesSourceError(
                f"{len(shares)} of {count} shares came, and there is no terminal to ask at",
                hint="--shares-file FILE (mode 0600)",
            ) from None
        share = decode_share(text)
        check_shares([*shares, share])
        shares.append(share)
    return shares


def decode_share(text: str) -> Secret:
    """A share from hex (tried first, as Vault does) or standard base64."""
    text = text.strip()
    for decode in (bytes.fromhex, _from_base64):
        try:
            raw = decode(text)
        except (ValueError, binascii.Error):
            continue
        if MIN_SHARE_BYTES <= len(raw) <= MAX_SHARE_BYTES:
            return Secret(raw)
    raise SharesSourceError(
        f"a share is neither hex nor base64 of {MIN_SHARE_BYTES} to {MAX_SHARE_BYTES} bytes",
        hint="copy it again, whole",
    )


def check_shares(shares: Sequence[Secret]) -> None:
    """Raise SharesSourceError unless there are shares, all different, all of one length."""
    if not shares:
        raise SharesSourceError("no share was given", hint=_SHAPE)
    if len({len(share) for share in shares}) > 1:
        raise SharesSourceError("the shares have different lengths", hint="they are of one Vault?")
    numbers = [share.reveal()[-1] for share in shares]
    if len(set(shares)) < len(shares) or (len(shares) > 1 and len(set(numbers)) < len(numbers)):
        raise SharesSourceError("the same share was given twice", hint="give different shares")


def _from_base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
