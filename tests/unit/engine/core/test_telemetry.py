"""What a whole engine says of itself: under Vault's names and types, and true."""

import re
from pathlib import Path

import pytest

from tests.support.running import golden
from zvault.base.clock import ManualClock
from zvault.engine.api import Operation
from zvault.engine.telemetry.counters import ttl_bucket
from zvault.engine.telemetry.metrics import Metrics
from zvault.engine.telemetry.timed_storage import TimedStorage
from zvault.storage.api import Delete, Put
from zvault.storage.inmem import InMemStorage

ROOT = Path(__file__).parent.parent.parent.parent.parent
GOLDEN = ROOT / "tests" / "museum" / "metrics" / "vault-metrics.prom"
DOCS = ROOT / "docs" / "metrics.md"
TYPE = re.compile(r"^# TYPE (\S+) (\S+)$", re.M)
OURS_ALONE = {
    "vault_core_seal",
    "vault_core_seal_internal",
    "vault_expire_lease_expiration",
    "vault_expire_renew",
    "vault_expire_renew_token",
    "vault_expire_revoke",
    "vault_expire_revoke_common",
    "vault_expire_revoke_prefix",
    "vault_identity_entity_count",
    "vault_identity_num_entities",
    "vault_policy_delete_policy",
    "vault_policy_list_policies",
    "vault_quota_rate_limit_violation",
    "vault_token_revoke_tree",
}
"""Vault has these too; the golden scrape was taken before they could appear."""


def value(text: str, start: str) -> float:
    (line,) = [row for row in text.splitlines() if row.startswith(start)]
    return float(line.rsplit(" ", 1)[1])


@pytest.fixture
async def scrapes(tmp_path: Path) -> tuple[str, str]:
    """Of a golden store after some traffic, and after it was sealed."""
    async with golden("vault-file", tmp_path) as (server, store):
        audit = {"type": "file", "options": {"file_path": str(tmp_path / "audit.log")}}
        await server.write("sys/audit/file", **audit)
        role = store.expected["approle"]["calc"]
        login = await server.write(
            "auth/approle/login", "", role_id=role["role_id"], secret_id=role["secret_id"]
        )
        assert login is not None
        assert login.auth is not None
        await server.write("auth/token/create", policies=["default"], ttl="1h")
        await server.write("auth/token/create", policies=["root"])
        await server.read("zakupai/data/a")
        await server.write("zakupai/data/new", data={"a": 1})
        await server.call(Operation.LIST, "zakupai/metadata/")
        await server.core.tick()
        unsealed = server.core.metrics.render_prometheus()
        await server.core.seal()
        return unsealed, server.core.metrics.render_prometheus()


async def test_families_have_the_types_that_a_real_vault_gives_them(
    scrapes: tuple[str, str],
) -> None:
    real, ours = dict(TYPE.findall(GOLDEN.read_text())), dict(TYPE.findall(scrapes[0]))
    shared = ours.keys() & real.keys()
    assert {name: ours[name] for name in shared} == {name: real[name] for name in shared}
    assert len(shared) > 25
    devices = {name for name in ours if name.startswith("vault_audit_file_")}
    routes = {name for name in ours if name.startswith("vault_route_")}
    assert not ours.keys() - real.keys() - OURS_ALONE - devices - routes


async def test_every_family_is_documented_and_nothing_else_is(scrapes: tuple[str, str]) -> None:
    documented = set(re.findall(r"^\| `([a-z_<>]+)` \|", DOCS.read_text(), re.M))
    patterns = {re.sub("<[a-z]+>", "\\\\w+", name) for name in documented}
    ours = set(dict(TYPE.findall(scrapes[0] + scrapes[1])))
    assert not [name for name in ours if not any(re.fullmatch(p, name) for p in patterns)]
    always = {name for name in documented if "<" not in name} - OURS_ALONE
    assert not always - ours


async def test_what_it_says_is_true(scrapes: tuple[str, str]) -> None:
    text, sealed = scrapes
    cluster = re.search(r'vault_core_unsealed\{cluster="([^"]+)"\} 1', text)
    assert cluster is not None
    name = cluster[1]
    assert value(sealed, f'vault_core_unsealed{{cluster="{name}"}}') == 0
    assert text.count("vault_core_unsealed{") == 1
    assert value(text, "vault_core_handle_login_request_count") == 1
    assert value(text, "vault_route_read_zakupai__count") == 1
    assert value(text, "vault_route_list_zakupai__count") == 1
    assert value(text, "vault_token_create_count") == 3
    assert value(text, "vault_token_create_root") == 1
    assert value(text, "vault_expire_register_auth_count") == 3
    assert value(text, "vault_core_post_unseal_count") == 1
    assert value(sealed, "vault_core_pre_seal_count") == 1
    assert value(text, "vault_identity_num_entities") == 5
    assert value(text, 'vault_barrier_estimated_encryptions{term="1"}') > 3
    assert value(text, "vault_runtime_alloc_bytes") > 10_000_000
    assert (
        value(
            text,
            f'vault_token_creation{{auth_method="approle",cluster="{name}",creation_ttl="+Inf",'
            'mount_point="auth/approle/",namespace="root",token_type="service"}',
        )
        == 1
    )
    assert (
        value(
            text,
            f'vault_token_creation{{auth_method="token",cluster="{name}",creation_ttl="1h",'
            'mount_point="auth/token/",namespace="root",token_type="service"}',
        )
        == 1
    )
    assert value(text, "vault_expire_num_leases") > 5
    local = f'vault_core_mount_table_num_entries{{cluster="{name}",local="true",type="logical"}}'
    assert value(text, local) == 1
    assert value(text, "vault_barrier_put_count") > 3
    assert value(text, "vault_audit_log_request_failure") == 0
    assert value(text, "vault_audit_log_request_count") == 6
    assert value(text, "vault_audit_file__log_request_count") == 6
    assert value(text, "vault_audit_file__log_response_count") == 7
    assert value(text, "process_resident_memory_bytes") > 10_000_000
    assert value(text, "process_open_fds") > 2


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [
        (0, "+Inf"),
        (1, "1m"),
        (60, "1m"),
        (61, "10m"),
        (1200, "20m"),
        (3600, "1h"),
        (86_400, "1d"),
        (2_592_000, "30d"),
        (2_592_001, "+Inf"),
    ],
)
def test_a_ttl_falls_into_vaults_bucket(seconds: int, bucket: str) -> None:
    assert ttl_bucket(seconds * 10**9) == bucket


async def test_a_timed_store_counts_each_entry_once_and_failures_too() -> None:
    class Refusing(InMemStorage):
        async def list(self, prefix: str) -> list[str]:
            raise RuntimeError(prefix)

    clock = ManualClock()
    metrics = Metrics(clock)
    storage = TimedStorage(Refusing(), clock, metrics)
    await storage.apply([Put("a", b"1"), Put("b", b"2"), Delete("a")])
    assert await storage.get("b") == b"2"
    assert await storage.get("a") is None
    with pytest.raises(RuntimeError):
        await storage.list("")
    text = metrics.render_prometheus()
    counts = {
        name: value(text, f"vault_barrier_{name}_count")
        for name in ("get", "put", "delete", "list")
    }
    assert counts == {"get": 2, "put": 2, "delete": 1, "list": 1}
    assert storage.url == Refusing().url
