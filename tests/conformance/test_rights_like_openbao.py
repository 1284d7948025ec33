"""Who may do what, asked of the engine and of OpenBao: sudo paths, strangers, paths in disguise.

Only refusals by rights are compared (403 or not): whether a token is let through is never a matter
of taste. ``sys/step-down`` is not asked for: it needs sudo in Vault and here, and not in OpenBao.
"""

from pathlib import Path

import pytest

from tests.integration.interop.journey import ENGINE, OPENBAO, Server, Store, serving

pytestmark = pytest.mark.real("openbao-2.6.2")
Request = tuple[str, str, dict[str, object] | None]
ALL = '["create", "read", "update", "delete", "list", "patch"]'
RULES = "\n".join(
    [
        *(f'path "{root}/*" {{ capabilities = {ALL} }}' for root in ("kv", "kv2", "sys", "auth")),
        *(
            f'path "{path}" {{ capabilities = ["deny"] }}'
            for path in (
                "kv/secret",
                "kv2/data/secret",
                "kv2/metadata/secret",
                "kv2/destroy/secret",
            )
        ),
    ]
)
WITHOUT_SUDO: list[Request] = [
    *(
        ("GET", path, None)
        for path in [
            "sys/audit",
            "sys/audit/",
            "sys/auth",
            "sys/auth/",
            "sys/auth/token",
            "sys/auth/token/tune",
            "sys/mounts",
            "sys/raw/core/mounts",
            "sys/config/cors",
            "sys/config/ui/headers?list=true",
            "sys/config/auditing/request-headers",
            "sys/leases",
            "sys/leases?type=irrevocable",
            "sys/leases/count?type=irrevocable",
            "sys/leases/lookup?list=true",
            "sys/key-status",
            "sys/leases/lookup/auth?list=true",
            "sys/plugins/catalog",
            "sys/host-info",
            "sys/locked-users",
            "sys/plugins/catalog/secret?list=true",
            "auth/token/accessors?list=true",
            "sys/rotate/config",
            "auth/token/accessors/?list=true",
            "sys/rekey/backup",
            "sys/quotas/config",
            "sys/metrics",
            "sys/internal/ui/mounts/kv",
            "sys/policies/acl?list=true",
        ]
    ),
    *(
        ("PUT", path, {})
        for path in [
            "sys/rotate",
            "sys/rotate/keyring",
            "sys/seal",
            "sys/remount",
            "sys/audit/x",
            "sys/auth/x",
            "sys/auth/token/tune",
            "sys/leases/revoke-prefix/x",
            "sys/revoke-prefix/x",
            "sys/leases/revoke-force/x",
            "sys/revoke-force/x",
            "sys/config/cors",
            "sys/mounts/auth/token/tune",
            "sys/config/auditing/request-headers/x",
            "sys/config/ui/headers/x",
            "sys/raw/x",
            "sys/plugins/catalog/secret/x",
            "sys/leases/tidy",
            "auth/token/tidy",
            "auth/token/create-orphan",
        ]
    ),
]
IN_DISGUISE: list[Request] = [
    ("GET", path, None)
    for path in [
        "kv/secret",
        "kv//secret",
        "kv/./secret",
        "kv/x/../secret",
        "kv%2fsecret",
        "kv/secre%74",
        "kv2/data/secret",
        "kv2/data//secret",
        "kv2/data/secret?version=1",
        "kv2//data/secret",
        "kv2/metadata/secret",
        "kv2/metadata/./secret",
    ]
] + [("PUT", "kv2/destroy/secret", {"versions": [1]}), ("POST", "kv/secret", {"v": 2})]
STRANGE: list[Request] = [
    ("GET", path, None)
    for path in [
        "sys/mounts",
        "sys/auth",
        "sys/internal/ui/mounts",
        "sys/internal/ui/mounts/kv",
        "sys/metrics",
        "sys/internal/specs/openapi",
        "sys/wrapping/lookup",
        "sys/internal/ui/resultant-acl",
        "sys/internal/ui/feature-flags",
        "sys/host-info",
        "sys/ha-status",
        "sys/license/status",
        "identity/oidc/.well-known/keys",
        "sys/config/cors",
        "kv/secret?help=1",
        "auth/token/lookup-self",
        "sys/leases/lookup",
        "cubbyhole/x",
        "kv/secret",
        "nowhere/x",
    ]
] + [("POST", "auth/nowhere/login", {}), ("POST", "sys/tools/hash", {"input": ""})]

EXCEPTED = {"with a made-up token": {"GET sys/internal/specs/openapi"}}
"""The engine's document is the same for everybody: it names built-in paths and no mounts."""


def _fill(server: Server) -> str:
    """Secrets, and a token that has every right but sudo and those denied."""
    server.write("sys/mounts/kv", type="kv")
    server.write("sys/mounts/kv2", type="kv-v2")
    server.write("kv/secret", v=1)
    for _ in range(200):
        if server.status("POST", "kv2/data/secret", {"data": {"v": 1}}) == 200:
            break
    server.write("sys/policies/acl/most", policy=RULES)
    return server.token(policies=["most"])


def _refused(server: Server, requests: list[Request], token: str) -> set[str]:
    return {f"{m} {p}" for m, p, b in requests if server.status(m, p, b, token) == 403}


def test_the_same_requests_are_refused_by_rights(tmp_path: Path) -> None:
    found = {}
    for name in (ENGINE, OPENBAO):
        store = Store(tmp_path / name, "vault")
        store.data.mkdir(parents=True)
        with serving(name, store) as server:
            token = _fill(server)
            found[name] = {
                "without sudo": _refused(server, WITHOUT_SUDO, token),
                "in disguise": _refused(server, IN_DISGUISE, token),
                "strangers": _refused(server, STRANGE, ""),
                "with a made-up token": _refused(server, STRANGE, "s.made-up"),
            }
            assert server.read("kv/secret") == {"v": 1}
            assert server.read("kv2/data/secret")["data"] == {"v": 1}
    for group, refused in found[ENGINE].items():
        assert (refused ^ found[OPENBAO][group]) - EXCEPTED.get(group, set()) == set(), group
    assert found[ENGINE]["in disguise"] == {f"{m} {p}" for m, p, _ in IN_DISGUISE}
    assert len(found[ENGINE]["without sudo"]) > 25
