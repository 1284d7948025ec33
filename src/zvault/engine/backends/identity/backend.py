"""The backend at ``identity/``: entities and groups.

What lives here: the join. OIDC, MFA and merging of entities are not served; their entries are kept.
"""

from zvault.barrier.view import View
from zvault.engine.backends.builtin import BuiltinBackend
from zvault.engine.backends.identity.entities import Entities
from zvault.engine.backends.identity.groups import Groups
from zvault.engine.services import Services


class IdentityBackend(BuiltinBackend):
    """The backend of the one identity mount."""

    def __init__(self, services: Services, view: View) -> None:
        store = services.identity
        super().__init__([*Entities(store).routes(), *Groups(store).routes()])
