"""The backend at ``sys/``: all groups of paths together.

What lives here: the join and the special paths. Source of the lists: ``vault-api.md`` 1.8, 3.3.
"""

from zvault.engine.backends.builtin import BuiltinBackend
from zvault.engine.backends.system.tools import Tools
from zvault.engine.services import Services


class SystemBackend(BuiltinBackend):
    """The backend of the one system mount."""

    unauthenticated_paths = ("internal/ui/mounts", "internal/ui/mounts/*")
    root_paths = (
        "auth/*",
        "remount",
        "audit",
        "audit/*",
        "raw",
        "raw/*",
        "rotate",
        "config/cors",
        "config/auditing/*",
        "config/ui/headers/*",
        "plugins/catalog/*",
        "plugins/runtimes/catalog/*",
        "revoke-prefix/*",
        "revoke-force/*",
        "leases/revoke-prefix/*",
        "leases/revoke-force/*",
        "leases/lookup/*",
        "leases",
        "seal",
        "step-down",
    )

    def __init__(self, services: Services) -> None:
        super().__init__([*Tools(services.random_bytes).routes()])
