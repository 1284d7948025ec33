"""Who asks, once it is known.

What lives here: the value. What never does: how it is found out.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """``user``: billing's id. ``key``: the id of the API key that was shown; None for a token."""

    user: str
    plan: str
    scopes: tuple[str, ...]
    key: str | None = None


ANONYMOUS = Caller("anonymous", "", ())
"""On what is public."""
