"""hvac, unmodified, against the embedded server: what a program of the mission's services does."""

from collections.abc import Iterator
from pathlib import Path

import hvac
import hvac.exceptions
import pytest

from tests.support.engine_server import EngineServer, start_server

POLICY = """
path "zakupai/data/gateway/*" { capabilities = ["create", "read", "update", "patch", "delete"] }
path "zakupai/metadata/gateway/*" { capabilities = ["read", "list"] }
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineServer]:
    directory = tmp_path_factory.mktemp("hvac")
    server = start_server(directory, storage='storage "file" { path = "data" }')
    yield server
    assert server.stop() == 0, server.log
    assert "internal error" not in server.log


@pytest.fixture(scope="module")
def root(server: EngineServer) -> hvac.Client:
    """Initialised and unsealed through hvac itself, 3 of 5."""
    client = hvac.Client(url=server.address)
    assert not client.sys.is_initialized()
    assert client.sys.read_health_status(method="GET").status_code == 501
    made = client.sys.initialize(5, 3)
    server.keys, server.token = made["keys"], made["root_token"]
    assert client.sys.is_initialized()
    assert client.sys.is_sealed()
    for number, key in enumerate(made["keys_base64"][:3], start=1):
        state = client.sys.submit_unseal_key(key)
        assert state["progress"] == (number if number < 3 else 0)
    assert not client.sys.is_sealed()
    client.token = made["root_token"]
    assert client.is_authenticated()
    client.sys.enable_secrets_engine("kv", path="zakupai", options={"version": 2})
    client.sys.enable_secrets_engine("kv", path="old", options={"version": 1})
    client.sys.enable_auth_method("approle")
    return client


def test_health_leader_and_seal_status_are_vaults(root: hvac.Client) -> None:
    assert root.sys.read_health_status().status_code == 200
    health = root.sys.read_health_status(method="GET")
    assert (health["initialized"], health["sealed"], health["standby"]) == (True, False, False)
    assert root.sys.read_leader_status()["ha_enabled"] is False
    status = root.sys.read_seal_status()
    assert (status["t"], status["n"], status["sealed"]) == (3, 5, False)


def test_kv_v1_lives_a_life(root: hvac.Client) -> None:
    kv = root.secrets.kv.v1
    kv.create_or_update_secret("app/db", secret={"n": 1, "f": 1.5, "t": "я"}, mount_point="old")
    assert kv.read_secret("app/db", mount_point="old")["data"] == {"n": 1, "f": 1.5, "t": "я"}
    assert "app/" in kv.list_secrets("", mount_point="old")["data"]["keys"]
    assert kv.list_secrets("app", mount_point="old")["data"]["keys"] == ["db"]
    kv.delete_secret("app/db", mount_point="old")
    with pytest.raises(hvac.exceptions.InvalidPath):
        kv.read_secret("app/db", mount_point="old")
    with pytest.raises(hvac.exceptions.InvalidPath):
        kv.list_secrets("app", mount_point="old")


@pytest.mark.filterwarnings("ignore:The raise_on_deleted_version")  # hvac's own patch() asks so
def test_kv_v2_lives_a_life(root: hvac.Client) -> None:
    kv = root.secrets.kv.v2
    mount = {"mount_point": "zakupai"}
    reading = {**mount, "raise_on_deleted_version": True}
    for number in (1, 2, 3):
        kv.create_or_update_secret("gateway/db", secret={"v": number}, cas=number - 1, **mount)
    with pytest.raises(hvac.exceptions.InvalidRequest, match="check-and-set parameter did not"):
        kv.create_or_update_secret("gateway/db", secret={"v": 0}, cas=1, **mount)
    assert kv.read_secret_version("gateway/db", version=2, **reading)["data"]["data"] == {"v": 2}
    kv.patch("gateway/db", secret={"w": True}, **mount)
    latest = kv.read_secret_version("gateway/db", **reading)
    assert latest["data"]["data"] == {"v": 3, "w": True}
    assert latest["data"]["metadata"]["version"] == 4
    assert kv.list_secrets("", **mount)["data"]["keys"] == ["gateway/"]
    kv.delete_latest_version_of_secret("gateway/db", **mount)
    with pytest.raises(hvac.exceptions.InvalidPath):
        kv.read_secret_version("gateway/db", **reading)
    deleted = kv.read_secret_version("gateway/db", raise_on_deleted_version=False, **mount)
    assert deleted["data"]["metadata"]["deletion_time"]
    kv.undelete_secret_versions("gateway/db", versions=[4], **mount)
    assert kv.read_secret_version("gateway/db", **reading)
    kv.destroy_secret_versions("gateway/db", versions=[1], **mount)
    versions = kv.read_secret_metadata("gateway/db", **mount)["data"]["versions"]
    assert versions["1"]["destroyed"] is True
    assert versions["4"]["deletion_time"] == ""
    kv.delete_metadata_and_all_versions("gateway/db", **mount)
    with pytest.raises(hvac.exceptions.InvalidPath):
        kv.read_secret_metadata("gateway/db", **mount)


def test_a_service_logs_in_by_approle_and_sees_only_its_own(
    root: hvac.Client, server: EngineServer
) -> None:
    root.sys.create_or_update_policy("gateway", POLICY)
    assert root.sys.read_policy("gateway")["data"]["rules"] == POLICY
    assert "gateway" in root.sys.list_policies()["policies"]
    approle = root.auth.approle
    approle.create_or_update_approle(
        "gateway", token_policies=["gateway"], token_ttl="1h", secret_id_num_uses=2
    )
    role_id = approle.read_role_id("gateway")["data"]["role_id"]
    secret_id = approle.generate_secret_id("gateway")["data"]["secret_id"]
    service = hvac.Client(url=server.address)
    auth = service.auth.approle.login(role_id, secret_id)["auth"]
    assert auth["policies"] == ["default", "gateway"]
    assert auth["metadata"] == {"role_name": "gateway"}
    assert auth["entity_id"]
    service.secrets.kv.v2.create_or_update_secret(
        "gateway/x", secret={"a": "b"}, mount_point="zakupai"
    )
    with pytest.raises(hvac.exceptions.Forbidden):
        service.secrets.kv.v2.create_or_update_secret("x", secret={}, mount_point="zakupai")
    with pytest.raises(hvac.exceptions.Forbidden):
        service.sys.list_mounted_secrets_engines()
    renewed = service.auth.token.renew_self()["auth"]
    assert renewed["client_token"] == auth["client_token"]
    hvac.Client(url=server.address).auth.approle.login(role_id, secret_id)
    with pytest.raises(hvac.exceptions.InvalidRequest, match="invalid role or secret ID"):
        hvac.Client(url=server.address).auth.approle.login(role_id, secret_id)
    service.auth.token.revoke_self()
    assert not service.is_authenticated()


def test_tokens_are_made_looked_up_renewed_and_revoked_with_their_children(
    root: hvac.Client, server: EngineServer
) -> None:
    parent = root.auth.token.create(policies=["default"], ttl="1h")["auth"]["client_token"]
    mother = hvac.Client(url=server.address, token=parent)
    assert mother.lookup_token()["data"]["policies"] == ["default"]
    with pytest.raises(hvac.exceptions.Forbidden):
        mother.auth.token.create(policies=["root"])
    child = root.auth.token.create(policies=["default"], num_uses=2, ttl="1h")["auth"]
    limited = hvac.Client(url=server.address, token=child["client_token"])
    limited.lookup_token()
    limited.lookup_token()
    assert not limited.is_authenticated(), "two uses and no more"
    accessor = root.auth.token.create(policies=["default"])["auth"]["accessor"]
    assert root.auth.token.lookup_accessor(accessor)["data"]["accessor"] == accessor
    root.auth.token.revoke_accessor(accessor)
    with pytest.raises(hvac.exceptions.InvalidRequest):
        root.auth.token.lookup_accessor(accessor)
    root.auth.token.revoke(parent)
    assert not mother.is_authenticated()


def test_mounts_auth_methods_and_audit_devices_are_listed(
    root: hvac.Client, tmp_path: Path
) -> None:
    mounts = root.sys.list_mounted_secrets_engines()
    assert mounts["data"]["zakupai/"]["options"] == {"version": "2"}
    assert mounts["zakupai/"]["type"] == "kv", "repeated at the top level"
    assert "approle/" in root.sys.list_auth_methods()
    audit_file = tmp_path / "audit.log"
    root.sys.enable_audit_device("file", options={"file_path": str(audit_file)})
    assert root.sys.list_enabled_audit_devices()["data"]["file/"]["type"] == "file"
    root.secrets.kv.v1.create_or_update_secret("seen", {"password": "hunter2"}, mount_point="old")
    written = audit_file.read_text()
    hashed = root.sys.calculate_hash("file", "hunter2")["data"]["hash"]
    assert hashed in written
    assert "hunter2" not in written
    root.sys.disable_audit_device("file")
    assert root.sys.list_enabled_audit_devices()["data"] == {}


def test_capabilities_are_told(root: hvac.Client) -> None:
    assert root.sys.get_capabilities(["zakupai/data/x"])["capabilities"] == ["root"]


def test_sealed_it_says_so_and_opens_again_with_the_same_tokens(
    root: hvac.Client, server: EngineServer
) -> None:
    root.sys.seal()
    assert root.sys.is_sealed()
    assert root.sys.read_health_status().status_code == 503
    with pytest.raises(hvac.exceptions.VaultDown):
        root.secrets.kv.v2.read_configuration(mount_point="zakupai")
    root.sys.submit_unseal_keys(server.keys[:3])
    assert root.is_authenticated()
