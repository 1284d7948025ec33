"""Init and declaration against real servers: OpenBao on its file store, the embedded engine."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine_server import start_server
from tests.support.openbao import running
from zvault.base.secret import Secret
from zvault.offline.proof import prove_unseal_key
from zvault.ops.declare.apply import apply, plan
from zvault.ops.declare.errors import (
    AlreadyInitializedVaultError,
    DeclarationConflictError,
    HalfDeclaredError,
)
from zvault.ops.declare.initialize import NewKeys, initialize
from zvault.ops.declare.model import Declaration, KvMount, Role, RoleValue
from zvault.ops.unseal.shares import read_shares_file
from zvault.ops.unseal.submit import submit_round
from zvault.storage.file import FileStorage
from zvault.vaultapi.client import VaultApi
from zvault.vaultapi.errors import VaultPermissionError, VaultRefusedError

POLICY = '# café\npath "zakupai/data/*" {\n\tcapabilities = ["read"]\n}\n\n'


def declaration(**changes: Any) -> Declaration:
    settings: dict[str, RoleValue] = {
        "token_policies": ("audit", "gateway"),
        "token_ttl": 90,
        "token_max_ttl": 86400,
        "secret_id_ttl": 3600,
        "secret_id_num_uses": 5,
        "token_num_uses": 0,
    }
    fields: dict[str, Any] = {
        "kv": (KvMount("zakupai", 7), KvMount("team/a")),
        "auth_methods": ("approle",),
        "policies": {"gateway": POLICY, "default": POLICY},
        "roles": (Role("gateway", settings), Role("bare", {})),
    }
    return Declaration(**(fields | changes))


@contextmanager
def served(kind: str, root: Path) -> Iterator[str]:
    """The address of a server without keys on the file store ``root/data``."""
    (root / "data").mkdir()
    if kind == "openbao":
        with running(root, root / "data") as bao:
            yield bao.address
        return
    engine = start_server(root / "engine", f'storage "file" {{ path = "{root}/data" }}')
    try:
        yield engine.address
    finally:
        engine.stop()


def make_keys(address: str, root: Path) -> VaultApi:
    """Initialised through our own way, proven, unsealed; a client with the root token."""
    vault, proven = VaultApi(address), list[int]()

    def prove(shares: list[Secret]) -> None:
        asyncio.run(prove_unseal_key(FileStorage.open(root / "data", read_only=True), shares))
        proven.append(len(shares))

    status = initialize(vault, root / "keys", NewKeys(3, 2), read_shares_file, prove)
    assert (status.initialized, proven) == (True, [3])
    submit_round(vault, read_shares_file(root / "keys"))
    return vault.with_token(Secret(json.loads((root / "keys").read_text())["root_token"]))


@pytest.fixture(params=["openbao", "engine"])
def vault(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VaultApi]:
    root = tmp_path / "served"
    root.mkdir()
    with served(request.param, root) as address:
        api = make_keys(address, root)
        yield api
        api.close()


def test_a_declaration_is_brought_in_once_and_then_nothing_is_left(vault: VaultApi) -> None:
    said: list[str] = []
    first = apply(vault, declaration(), said.append)
    assert [str(action) for action in first.done] == said
    assert len(first.done) == 8
    assert apply(vault, declaration(), said.append).done == ()
    assert vault.list_mounts()["zakupai/"]["options"] == {"version": "2"}
    assert vault.kv2_max_versions("zakupai") == 7
    assert vault.read_policy("gateway") == POLICY
    assert vault.kv2_write("zakupai", "a", {"b": 1}) == 1
    assert vault.kv2_read("zakupai", "a").data == {"b": 1}


def test_what_somebody_changed_is_put_back_and_what_nobody_declared_stays(
    vault: VaultApi,
) -> None:
    apply(vault, declaration(), lambda _: None)
    vault.put_policy("gateway", 'path "x" {}')
    vault.put_policy("other", 'path "y" {}')
    vault.put_role("gateway", {"token_ttl": 7, "token_policies": []})
    vault.put_role("bare", {"token_ttl": 11})
    vault.kv2_set_max_versions("zakupai", 3)
    vault._client.write_data("zakupai/config", data={"cas_required": True})
    assert len(plan(vault, declaration()).actions) == 3
    apply(vault, declaration(), lambda _: None)
    assert not plan(vault, declaration()).actions
    assert vault.read_policy("other") == 'path "y" {}'
    assert vault.read_role("bare")["token_ttl"] == 11
    config = vault._client.secrets.kv.v2.read_configuration(mount_point="zakupai")["data"]
    assert (config["max_versions"], config["cas_required"]) == (7, True)
    vault._client.write_data("zakupai/config", data={"cas_required": False})


def test_a_version_1_mount_is_refused_and_nothing_else_is_changed(vault: VaultApi) -> None:
    vault.enable_mount("old", "kv", {})
    wanted = declaration(kv=(KvMount("old"), KvMount("new")), policies={"fresh": POLICY})
    with pytest.raises(DeclarationConflictError, match="old/ is a KV version 1 mount"):
        apply(vault, wanted, lambda _: None)
    assert "new/" not in vault.list_mounts()
    assert "fresh" not in vault.list_policies()


def test_a_failure_half_way_says_what_was_done_and_the_next_run_goes_on(vault: VaultApi) -> None:
    broken = declaration(kv=(KvMount("half"),), policies={"broken": "no policy {{{"})
    with pytest.raises(HalfDeclaredError, match="done before: mount KV version 2 at half/"):
        apply(vault, broken, lambda _: None)
    assert "half/" in vault.list_mounts()
    mended = declaration(kv=(KvMount("half"),), policies={"broken": POLICY})
    done = apply(vault, mended, lambda _: None).done
    assert "half" not in " ".join(map(str, done))


def test_a_role_loses_its_policies_when_none_are_declared(vault: VaultApi) -> None:
    apply(vault, declaration(), lambda _: None)
    none = declaration(roles=(Role("gateway", {"token_policies": ()}),))
    assert len(apply(vault, none, lambda _: None).done) == 1
    assert not vault.read_role("gateway")["token_policies"]
    assert vault.read_role("gateway")["token_ttl"] == 90


def test_a_token_that_may_not_look_is_refused_by_name(vault: VaultApi) -> None:
    with pytest.raises(VaultPermissionError):
        apply(vault.with_token(Secret("hvs.nobody")), declaration(), lambda _: None)


def test_keys_are_made_once(vault: VaultApi, tmp_path: Path) -> None:
    place = tmp_path / "k"
    with pytest.raises(AlreadyInitializedVaultError):
        initialize(vault, place, NewKeys(1, 1), read_shares_file, lambda _: None)
    with pytest.raises(VaultRefusedError, match="already initialized"):
        vault.initialize(1, 1)
    assert not place.exists()
