"""The modules of hvac's integration suite that the engine must pass, and what counts as passing.

Only facts: tests that run and tests that skip themselves against a single community server of
version 1.16.0. A module that is not named here needs an engine that this project does not have
(LDAP, cloud providers, SSH, all of PKI) or skips all its tests.
"""

from dataclasses import dataclass

PLACE = "tests/integration_tests"


@dataclass(frozen=True)
class Module:
    """One file of the suite: how many of its tests must pass and how many skip themselves."""

    name: str
    passes: int
    skips: int = 0
    why_skipped: str = ""

    @property
    def path(self) -> str:
        """The file, from the root of the sdist."""
        return f"{PLACE}/{self.name}.py"


MODULES = (
    Module("api/auth_methods/test_approle", 20),
    Module("api/auth_methods/test_jwt", 7),
    Module("api/auth_methods/test_token", 13),
    Module("api/secrets_engines/test_kv_v1", 12),
    Module("api/secrets_engines/test_kv_v2", 84),
    Module("api/secrets_engines/test_transit", 47),
    Module("api/system_backend/test_audit", 3),
    Module("api/system_backend/test_auth", 2),
    Module("api/system_backend/test_health", 2, 4, "a cluster with Consul"),
    Module("api/system_backend/test_init", 2),
    Module("api/system_backend/test_key", 6),
    Module("api/system_backend/test_leader", 1),
    Module("api/system_backend/test_lease", 5),
    Module("api/system_backend/test_mount", 2),
    Module("api/system_backend/test_policies", 7, 10, "Vault Enterprise"),
    Module("api/system_backend/test_policy", 4),
    Module("api/system_backend/test_seal", 2),
    Module("api/system_backend/test_wrapping", 5),
    Module("v1/test_approle", 8),
    Module("v1/test_integration", 26),
    Module("v1/test_system_backend", 28),
)
ALL = sum(module.passes for module in MODULES)
assert ALL == 286
