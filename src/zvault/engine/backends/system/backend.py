"""The backend at ``sys/``: all groups of paths together.

What lives here: the join and the special paths. Source of the lists: ``docs/api/sys.md``.
"""

from typing import Protocol

from zvault.barrier.view import View
from zvault.engine.backends.builtin import BuiltinBackend
from zvault.engine.backends.framework import Route
from zvault.engine.backends.system.audit import Audit
from zvault.engine.backends.system.capabilities import Capabilities
from zvault.engine.backends.system.generate_root import GenerateRootPaths
from zvault.engine.backends.system.keys import Keys
from zvault.engine.backends.system.leases import Leases
from zvault.engine.backends.system.locked_users import LockedUsers
from zvault.engine.backends.system.mounts import Mounts
from zvault.engine.backends.system.openapi import OpenApi
from zvault.engine.backends.system.plugins import Plugins
from zvault.engine.backends.system.policies import Policies
from zvault.engine.backends.system.quotas import QuotaRoutes
from zvault.engine.backends.system.raw import Raw
from zvault.engine.backends.system.rekey import RekeyPaths
from zvault.engine.backends.system.server_info import ServerInfo
from zvault.engine.backends.system.shareholders import UNAUTHENTICATED
from zvault.engine.backends.system.tools import Tools
from zvault.engine.backends.system.ui import Ui
from zvault.engine.backends.system.web import Web
from zvault.engine.backends.system.wrapping import WrappingPaths
from zvault.engine.services import Services


class RouteGroup(Protocol):
    """Some paths that belong together."""

    def routes(self) -> list[Route]:
        """The path table."""
        ...


class SystemBackend(BuiltinBackend):
    """The backend of the one system mount."""

    unauthenticated_paths = (
        "internal/ui/mounts",
        "internal/ui/mounts/*",
        "internal/specs/openapi",
        "wrapping/lookup",
        *UNAUTHENTICATED,
    )
    root_paths = (
        "auth/*",
        "remount",
        "audit",
        "audit/*",
        "raw",
        "raw/*",
        "rotate",
        "rotate/keyring",
        "config/cors",
        "config/auditing/*",
        "config/ui/headers",
        "config/ui/headers/*",
        "plugins/catalog/*",
        "plugins/runtimes/catalog/*",
        "revoke-prefix/*",
        "revoke-force/*",
        "leases/revoke-prefix/*",
        "leases/revoke-force/*",
        "leases/lookup/*",
        "leases",
        "leases/",
        "seal",
        "step-down",
    )

    def __init__(self, services: Services, view: View) -> None:
        mounts = Mounts(services)
        groups: list[RouteGroup] = [
            mounts,
            Policies(services),
            Capabilities(services),
            Ui(services, mounts),
            Audit(services),
            Leases(services),
            QuotaRoutes(services),
            Plugins(services),
            ServerInfo(services),
            Web(services),
            Raw(services),
            OpenApi(services),
            LockedUsers(services),
            Keys(services),
            RekeyPaths(services),
            GenerateRootPaths(services),
            Tools(services.random_bytes),
            WrappingPaths(services),
        ]
        super().__init__([route for group in groups for route in group.routes()])
