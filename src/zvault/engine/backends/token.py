"""``auth/token/``: create, look up, renew, revoke."""

from zvault.engine.api import Auth
from zvault.engine.backends.builtin import BuiltinBackend
from zvault.engine.services import Services


class TokenBackend(BuiltinBackend):
    """The backend of the one token mount."""

    def __init__(self, services: Services) -> None:
        super().__init__([])

    async def renew(self, auth: Auth) -> Auth:
        return auth
