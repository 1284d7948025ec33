"""The operator's client against a real server."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.ports import free_port
from tests.support.golden import Golden, unpack
from tests.support.openbao import OpenBao, running
from zvault.base.secret import Secret
from zvault.vaultapi.client import VaultApi
from zvault.vaultapi.errors import (
    UnsealKeyRefusedError,
    VaultNotFoundError,
    VaultPermissionError,
    VaultRefusedError,
    VaultSealedError,
    VaultUninitializedError,
    VaultUnreachableError,
)


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Golden:
    return unpack("openbao-file", tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, golden: Golden) -> Iterator[OpenBao]:
    with running(tmp_path_factory.mktemp("bao"), golden.data) as started:
        yield started


def shares(golden: Golden) -> list[Secret]:
    return [Secret(base64.b64decode(share)) for share in golden.expected["shares"]]


def unsealed(server: OpenBao, golden: Golden) -> VaultApi:
    api = VaultApi(server.address, token=Secret(golden.expected["root_token"]))
    for share in shares(golden)[:3]:
        api.submit_share(share)
    return api


def sealed(server: OpenBao, golden: Golden) -> VaultApi:
    api = unsealed(server, golden)
    api.seal()
    return VaultApi(server.address)


def test_shares_bring_progress_and_at_the_threshold_it_is_unsealed(
    server: OpenBao, golden: Golden
) -> None:
    api = sealed(server, golden)
    assert api.seal_status().sealed
    assert api.submit_share(shares(golden)[4]).progress == 1
    assert api.submit_share(shares(golden)[4]).progress == 1
    assert api.reset_unseal().progress == 0
    assert [api.submit_share(share).sealed for share in shares(golden)[:3]] == [True, True, False]
    status = api.seal_status()
    assert (status.threshold, status.shares, status.sealed) == (3, 5, False)
    assert status.cluster_id


def test_a_complete_round_of_wrong_shares_is_refused_by_name(
    server: OpenBao, golden: Golden
) -> None:
    api = sealed(server, golden)
    wrong = [Secret(bytes(32) + bytes([x])) for x in (7, 8, 9)]
    api.submit_share(wrong[0])
    api.submit_share(wrong[1])
    with pytest.raises(UnsealKeyRefusedError):
        api.submit_share(wrong[2])
    assert api.seal_status().progress == 0


def test_health_tells_every_state_without_raising(server: OpenBao, golden: Golden) -> None:
    assert (sealed(server, golden).health().status, VaultApi(server.address).health().sealed) == (
        503,
        True,
    )
    health = unsealed(server, golden).health()
    assert (health.status, health.sealed, health.standby) == (200, False, False)


def test_a_sealed_server_is_named_sealed(server: OpenBao, golden: Golden) -> None:
    api = sealed(server, golden).with_token(Secret("s.x"))
    with pytest.raises(VaultSealedError):
        api.kv2_read("zakupai", "services/gateway")


def test_login_read_write_and_the_end_of_a_token(server: OpenBao, golden: Golden) -> None:
    root = unsealed(server, golden)
    role = golden.expected["approle"]["gateway"]
    login = root.approle_login(Secret(role["role_id"]), Secret(role["secret_id"]))
    own = root.with_token(login.token)
    version = own.kv2_write("zakupai", "services/gateway/probe", {"a": "b"})
    assert own.kv2_read("zakupai", "services/gateway/probe").data == {"a": "b"}
    assert own.kv2_read("zakupai", "services/gateway/probe", version).version == version
    assert "gateway" in " ".join(own.lookup_self()["policies"])
    own.revoke_self()
    with pytest.raises(VaultPermissionError):
        own.lookup_self()
    assert root.lookup_self()["policies"] == ["root"]


def test_no_is_told_from_nothing_there_and_from_denied(server: OpenBao, golden: Golden) -> None:
    root = unsealed(server, golden)
    with pytest.raises(VaultNotFoundError):
        root.kv2_read("zakupai", "no/such/path")
    with pytest.raises(VaultRefusedError):
        root.approle_login(Secret("no-such-role"), Secret("x"))
    with pytest.raises(VaultPermissionError):
        root.with_token(Secret("s.nobody")).list_mounts()


def test_mounts_policies_and_audit_are_listed(server: OpenBao, golden: Golden) -> None:
    root = unsealed(server, golden)
    assert set(golden.expected["mounts"]) <= set(root.list_mounts())
    assert set(golden.expected["auth"]) <= set(root.list_auth())
    assert "root" in root.list_policies()
    assert "path" in root.read_policy("gateway")
    assert root.list_audit() == {}


def test_an_empty_store_is_named_uninitialized(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with running(tmp_path, tmp_path / "data") as server:
        api = VaultApi(server.address)
        assert not api.seal_status().initialized
        assert api.health().status == 501
        with pytest.raises((VaultUninitializedError, VaultSealedError, VaultRefusedError)):
            api.submit_share(Secret(bytes(33)))


def test_nobody_there_is_named_unreachable() -> None:
    with pytest.raises(VaultUnreachableError, match="Connection refused"):
        VaultApi(f"http://127.0.0.1:{free_port()}").seal_status()
