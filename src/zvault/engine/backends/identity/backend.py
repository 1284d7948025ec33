"""The backend at ``identity/``: entities, aliases, groups and identity tokens.

What lives here: the join. MFA and the OIDC provider are not served; their entries are kept.
"""

from zvault.barrier.view import View
from zvault.engine.backends.builtin import BuiltinBackend
from zvault.engine.backends.identity.aliases import EntityAliases
from zvault.engine.backends.identity.entities import Entities
from zvault.engine.backends.identity.group_aliases import GroupAliases
from zvault.engine.backends.identity.groups import Groups
from zvault.engine.backends.identity.merging import Merging
from zvault.engine.backends.identity.mounts import Mounts
from zvault.engine.backends.identity.oidc_keys import OidcKeys, OidcRoles
from zvault.engine.backends.identity.oidc_store import OidcStore
from zvault.engine.backends.identity.oidc_tokens import OidcTokens
from zvault.engine.services import Services


class IdentityBackend(BuiltinBackend):
    """The backend of the one identity mount."""

    unauthenticated_paths = ("oidc/.well-known/*",)

    def __init__(self, services: Services, view: View) -> None:
        store, clock, random_bytes = services.identity, services.clock, services.random_bytes
        oidc = OidcStore(view, clock, random_bytes)
        settings = services.settings
        tokens = OidcTokens(oidc, store, clock, lambda: settings.api_address)
        mounts = Mounts(services.mounts)
        super().__init__(
            [
                *Merging(store).routes(),
                *Entities(store, mounts).routes(),
                *EntityAliases(store, mounts).routes(),
                *GroupAliases(store, mounts).routes(),
                *Groups(store, mounts).routes(),
                *OidcKeys(oidc, clock).routes(),
                *OidcRoles(oidc, clock, random_bytes).routes(),
                *tokens.routes(),
            ]
        )
