"""The backend at ``auth/token/``: all groups of paths together.

What lives here: the join, the special paths, what a renewal of a token grants. Source:
``docs/api/tokens.md``.
"""

from zvault.barrier.view import View
from zvault.engine.api import Auth
from zvault.engine.backends.builtin import BuiltinBackend
from zvault.engine.backends.token.create import TokenCreation
from zvault.engine.backends.token.lifecycle import TokenLifecycle
from zvault.engine.backends.token.lookup import TokenLookup
from zvault.engine.backends.token.roles import TokenRoles
from zvault.engine.services import Services


class TokenBackend(BuiltinBackend):
    """The backend of the one token mount."""

    root_paths = ("revoke-orphan", "accessors/", "accessors")

    def __init__(self, services: Services, view: View) -> None:
        roles = TokenRoles(view)
        super().__init__(
            [
                *TokenCreation(services, roles).routes(),
                *TokenLookup(services).routes(),
                *TokenLifecycle(services).routes(),
                *roles.routes(),
            ]
        )
        self._roles = roles

    async def renew(self, auth: Auth) -> Auth:
        """A token of a role follows the role as it is now; others stay as they were made."""
        return await self._roles.renewed(auth)
