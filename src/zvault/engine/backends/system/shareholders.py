"""What the paths of shareholders have in common (``rekey.py``, ``generate_root.py``).

What lives here: which of them need no token and no envelope, and how they read parameters: as Go
decodes a struct, without coercion. What never does: a path's meaning.
"""

from typing import TypeVar

from zvault.engine.api import Request
from zvault.engine.errors import InvalidRequestError
from zvault.engine.seal.shares import read_share

_T = TypeVar("_T")
UNENVELOPED = (
    "rekey/init",
    "rekey/update",
    "rekey/verify",
    "rekey-recovery-key/init",
    "rekey-recovery-key/update",
    "rekey-recovery-key/verify",
    "generate-root/attempt",
    "generate-root/update",
)
"""Paths whose answer is its data alone."""
UNAUTHENTICATED = (*UNENVELOPED, "decode-token")


def share_of(request: Request) -> tuple[bytes, str]:
    """Share and nonce. Raises InvalidRequestError, which never repeats the share."""
    text = typed(request, "key", str, "")
    if not text:
        raise InvalidRequestError("'key' must be specified in request body as JSON")
    return read_share(text), typed(request, "nonce", str, "")


def typed(request: Request, name: str, kind: type[_T], default: _T) -> _T:
    """A raw handler's parameter: no coercion. Raises InvalidRequestError."""
    value = request.data.get(name)
    if value is None:
        return default
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise InvalidRequestError(f"failed to parse JSON input: {name} is no {kind.__name__}")
    return value
