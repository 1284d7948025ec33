"""Mission row B2 as a user walks it: init, unseal by hand, declare twice, use it as a service.

A real embedded server behind `zvault stage up`; the last word has the store, opened offline.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fresh_site import FreshSite, fresh_site
from tests.support.real import require
from zvault.base.secret import Secret
from zvault.vaultapi.client import VaultApi

DECLARE = """
[declare.kv.zakupai]
max_versions = 7
[declare.policies]
gateway = "gateway.hcl"
[declare.approle.gateway]
policies = ["gateway"]
token_ttl = "1h"
"""
POLICY = 'path "zakupai/data/gateway/*" {\n  capabilities = ["create", "update", "read"]\n}\n'


@pytest.fixture
def stood(tmp_path: Path) -> Iterator[FreshSite]:
    require("caddy")
    with fresh_site(tmp_path / "site", DECLARE) as made:
        (made.root / "gateway.hcl").write_text(POLICY)
        made.must("stage", "up", "--stage", "7")
        yield made


@pytest.mark.row("B2")
def test_from_nothing_to_a_service_that_writes_and_reads(stood: FreshSite) -> None:
    made = stood.must("init", "--keys-file", stood.keys, "--json")
    kept = stood.kept()
    assert made.json()["initialized"]
    assert made.json()["proven"]
    assert (len(kept["shares"]), kept["threshold"]) == (5, 3)
    assert stood.keys.stat().st_mode & 0o777 == 0o600
    for secret in [*kept["shares"], kept["root_token"]]:
        assert secret not in made.out + made.err

    stood.must("unseal", "--address", stood.address, "--shares-file", stood.keys)
    planned = stood.must("declare", "plan", "--token-file", stood.keys, "--json").json()
    assert not planned["in_place"]
    first = stood.must("declare", "apply", "--token-file", stood.keys, "--json").json()
    assert first["done"] == planned["actions"]
    second = stood.must("declare", "apply", "--token-file", stood.keys, "--json").json()
    assert (second["done"], second["in_place"]) == ([], True)
    said = stood.must("declare", "apply", "--token-file", stood.keys).out
    assert "nothing to do" in said

    root = VaultApi(stood.address, token=Secret(kept["root_token"]))
    mount = root.list_mounts()["zakupai/"]
    assert (mount["type"], mount["options"]) == ("kv", {"version": "2"})
    role_id = root._client.auth.approle.read_role_id("gateway")["data"]["role_id"]
    secret_id = root._client.auth.approle.generate_secret_id("gateway")["data"]["secret_id"]
    login = root.approle_login(Secret(role_id), Secret(secret_id))
    assert login.lease_seconds == 3600
    service = root.with_token(login.token)
    assert service.kv2_write("zakupai", "gateway/db", {"user": "first"}) == 1
    assert service.kv2_write("zakupai", "gateway/db", {"user": "second"}) == 2
    assert service.kv2_read("zakupai", "gateway/db").data == {"user": "second"}
    assert service.kv2_read("zakupai", "gateway/db", 1).data == {"user": "first"}
    root.close()

    store = f"file:{stood.site.places.data_dir}"
    offline = stood.must("store", "read", store, "zakupai/gateway/db", "--shares-file", stood.keys)
    assert json.loads(offline.out) == {"user": "second"}
    stood.must("store", "verify", store, "--shares-file", stood.keys)


@pytest.mark.row("B2")
def test_a_second_init_changes_nothing_and_leaves_no_file(stood: FreshSite) -> None:
    stood.must("init", "--keys-file", stood.keys, "--shares", "3", "--threshold", "2")
    before = stood.keys.read_text()
    again = stood.run("init", "--keys-file", stood.root / "other.json", "--json")
    assert again.code == 3
    assert again.json()["error"]["code"] == "vault-already-initialized"
    assert not (stood.root / "other.json").exists()
    assert stood.keys.read_text() == before
    stood.must("unseal", "--address", stood.address, "--shares-file", stood.keys)


@pytest.mark.row("B2")
def test_the_mount_that_the_seeds_command_makes_is_refused_and_not_converted(
    stood: FreshSite,
) -> None:
    stood.must("init", "--keys-file", stood.keys, "--shares", "1", "--threshold", "1")
    stood.must("unseal", "--address", stood.address, "--shares-file", stood.keys)
    root = VaultApi(stood.address, token=Secret(stood.kept()["root_token"]))
    root.enable_mount("zakupai", "kv", {})
    for command in ("plan", "apply"):
        refused = stood.run("declare", command, "--token-file", stood.keys, "--json")
        assert refused.code == 3
        assert refused.json()["error"]["code"] == "declaration-conflict"
        assert "zakupai/ is a KV version 1 mount" in refused.json()["error"]["message"]
    assert (root.list_mounts()["zakupai/"].get("options") or {}).get("version") != "2"
    assert "approle/" not in root.list_auth()
    assert "gateway" not in root.list_policies()
    root.close()


@pytest.mark.row("B2")
def test_no_keys_are_made_without_a_place_for_them(stood: FreshSite) -> None:
    refused = stood.run("init", "--keys-file", stood.root / "none" / "keys", "--json")
    assert refused.code == 3
    assert refused.json()["error"]["code"] == "keys-file-place"
    vault = VaultApi(stood.address)
    assert not vault.seal_status().initialized
    vault.close()


def test_without_a_stage_there_is_no_server_to_initialise(tmp_path: Path) -> None:
    with fresh_site(tmp_path) as site:
        refused = site.run("init", "--keys-file", site.keys, "--json")
    assert refused.code == 3
    assert "no active stage" in refused.json()["error"]["message"]
    assert not site.keys.exists()


def test_a_sealed_vault_and_a_missing_token_are_named(stood: FreshSite) -> None:
    stood.must("init", "--keys-file", stood.keys)
    assert stood.run("declare", "apply", "--token-file", stood.keys).code == 7
    assert stood.run("declare", "apply").code == 2


def test_a_server_that_is_down_is_named_and_no_file_is_left(stood: FreshSite) -> None:
    stood.must("stage", "down")
    assert stood.run("init", "--keys-file", stood.keys).code == 8
    assert not stood.keys.exists()
    (stood.root / "token").write_text("{}")
    (stood.root / "token").chmod(0o600)
    refused = stood.run("declare", "plan", "--token-file", stood.root / "token")
    assert refused.code == 2
    assert "neither one token" in refused.err
