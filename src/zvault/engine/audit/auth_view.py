"""What the pipeline decided about a request, for the record."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AuthView:
    """The outcome of the access check."""

    allowed: bool = True
    granting_policies: tuple[str, ...] = ()
    """Names of the policies that granted it; empty for a login and for a refusal."""


LOGIN = AuthView()
"""An unauthenticated path: allowed, granted by no policy."""
REFUSED = AuthView(allowed=False)
