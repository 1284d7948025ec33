"""``identity/``: entities and groups.

What lives here: paths and fields. What never does: buckets (``engine/identity.py``).
"""

from zvault.engine.backends.builtin import BuiltinBackend
from zvault.engine.services import Services


class IdentityBackend(BuiltinBackend):
    """The backend of the one identity mount."""

    def __init__(self, services: Services) -> None:
        super().__init__([])
        self._identity = services.identity
