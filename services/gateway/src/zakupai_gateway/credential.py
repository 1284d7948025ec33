"""What a request shows to say who sends it.

What lives here: reading it from the headers. What never does: believing it.
Invariant: one credential a request; two are refused, because two programs could choose differently.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from zakupai_common.web.errors import ProblemError

CHALLENGE = "Bearer"


class Kind(Enum):
    """What it is."""

    NONE = "none"
    TOKEN = "token"  # noqa: S105 - a kind, no secret
    KEY = "key"


@dataclass(frozen=True, slots=True, repr=False)
class Credential:
    """``text``: the token or key itself; it has no repr."""

    kind: Kind
    text: str = ""


NONE = Credential(Kind.NONE)


def credential_of(headers: Iterable[tuple[bytes, bytes]]) -> Credential:
    """Of ``Authorization: Bearer`` or ``X-API-Key``. Raises ProblemError 400 or 401."""
    found = NONE
    for name, value in headers:
        if name == b"authorization":
            one = _bearer(value)
        elif name == b"x-api-key":
            one = Credential(Kind.KEY, value.decode("latin-1").strip())
        else:
            continue
        if found is not NONE:
            raise ProblemError(400, "two-credentials", "a request shows one credential, not two")
        found = one
    return found


def _bearer(value: bytes) -> Credential:
    scheme, _, text = value.decode("latin-1").partition(" ")
    if scheme.lower() != "bearer" or not text.strip():
        raise unauthorized("scheme-unknown", "Authorization has the form 'Bearer TOKEN'")
    return Credential(Kind.TOKEN, text.strip())


def unauthorized(slug: str, detail: str, error: str = "") -> ProblemError:
    """401 as RFC 6750 wants it."""
    challenge = f'{CHALLENGE} error="{error}"' if error else CHALLENGE
    return ProblemError(401, slug, detail, headers={"WWW-Authenticate": challenge})
