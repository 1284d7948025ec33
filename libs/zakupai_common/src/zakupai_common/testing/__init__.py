"""A Vault for the tests of services: a fake with behaviour, or the embedded engine.

What lives here: the controls that both share, so that one test runs on either. What never does:
anything that a service imports when it runs.
"""

from zakupai_common.testing.controls import Role, VaultControls
from zakupai_common.testing.engine import EngineMissingError, embedded_vault
from zakupai_common.testing.fake import FakeVault
from zakupai_common.testing.real import RealVault

__all__ = [
    "EngineMissingError",
    "FakeVault",
    "RealVault",
    "Role",
    "VaultControls",
    "embedded_vault",
]
