"""The mission's two calls: strict, whole, in every call form, on KV v1 and v2."""

import os
from collections.abc import Iterator
from pathlib import Path

import hvac
import pytest

from tests.client.conftest import BaoVault
from zakupai_common.testing import FakeVault
from zakupai_common.testing.controls import VaultControls, deliver
from zakupai_common.vault.errors import LoginRefusedError, VaultSealedError
from zakupai_common.vault.settings import VaultSettings
from zakupai_common.vault_client import VaultClientError, get_client, load_kv_to_env

VARIABLES = ("DB_USER", "DB_PASSWORD", "LIMIT", "ON")


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    before = dict(os.environ)
    for name in [*VARIABLES, *(one for one in before if one.startswith("VAULT_"))]:
        os.environ.pop(name, None)
    yield
    os.environ.clear()
    os.environ.update(before)


def log_in_as(settings: VaultSettings) -> None:
    os.environ["VAULT_ADDR"] = settings.address
    os.environ["VAULT_ROLE_ID_FILE"] = str(settings.role_id_file)
    os.environ["VAULT_SECRET_ID_FILE"] = str(settings.secret_id_file)


@pytest.mark.row("B3")
def test_every_call_form_loads_the_secret(vault: VaultControls, name: str, files: Path) -> None:
    vault.put(name, {"DB_USER": "calc", "DB_PASSWORD": "p", "LIMIT": 7, "ON": True})
    log_in_as(deliver(vault, vault.make_role(name, [name]), files))
    forms = [f"zakupai/data/{name}", f"zakupai/{name}", f"/zakupai/data/{name}", name]
    for form in [*forms, f"data/{name}"]:
        os.environ["DB_USER"] = "what an old .env said"
        os.environ.pop("LIMIT", None)
        assert load_kv_to_env(form) == ("DB_PASSWORD", "DB_USER", "LIMIT", "ON")
        assert [os.environ[one] for one in VARIABLES] == ["calc", "p", "7", "true"]
    assert load_kv_to_env(path=f"zakupai/data/{name}")


@pytest.mark.row("B3")
def test_the_client_is_hvacs_own_and_can_read(vault: VaultControls, name: str, files: Path) -> None:
    vault.put(name, {"k": "v"})
    log_in_as(deliver(vault, vault.make_role(name, [name]), files))
    client = get_client()
    try:
        assert isinstance(client, hvac.Client)
        read = client.secrets.kv.v2.read_secret_version(
            path=name, mount_point="zakupai", raise_on_deleted_version=True
        )
        assert read["data"]["data"] == {"k": "v"}
    finally:
        client.adapter.close()


@pytest.mark.parametrize("form", ["zakupai/data/app", "zakupai/app", "app"])
def test_kv_version_1_takes_the_same_forms(form: str) -> None:
    with FakeVault(kv_version=1) as vault:
        vault.put("app", {"K": "v1"})
        os.environ |= {"VAULT_ADDR": vault.address, "VAULT_TOKEN": vault.root_token.reveal()}
        assert load_kv_to_env(form) == ("K",)
        assert os.environ["K"] == "v1"


def test_kv_version_1_of_a_real_server_takes_the_same_forms(openbao: BaoVault, name: str) -> None:
    controls = openbao.controls
    client = controls.hvac
    client.sys.enable_secrets_engine("kv", path=name, options={"version": "1"})
    client.secrets.kv.v1.create_or_update_secret("app", {"K": "v1"}, mount_point=name)
    client.adapter.close()
    os.environ |= {"VAULT_ADDR": controls.address, "VAULT_TOKEN": controls.root_token.reveal()}
    os.environ["VAULT_KV_MOUNT"] = name
    for form in (f"{name}/data/app", f"{name}/app", "app"):
        os.environ.pop("K", None)
        assert load_kv_to_env(form) == ("K",)


@pytest.mark.row("B3")
def test_a_failure_says_why_and_leaves_the_environment_alone(
    vault: VaultControls, name: str, files: Path
) -> None:
    vault.put(name, {"DB_USER": "calc", "DB_PASSWORD": {"not": "a text"}})
    role = vault.make_role(name, [name, f"{name}-gone"])
    log_in_as(deliver(vault, role, files))
    os.environ["DB_USER"] = "old"
    before = dict(os.environ)
    for path, why in [
        (name, "DB_PASSWORD"),
        (f"zakupai/data/{name}-gone", "nothing there"),
        (f"zakupai/data/{name}-other", "denies"),
        ("zakupai", "names no secret"),
        ("elsewhere/data/x", "denies"),
    ]:
        with pytest.raises(VaultClientError, match=why):
            load_kv_to_env(path)
        assert os.environ == before


def test_a_sealed_vault_is_named(fake_vault: FakeVault) -> None:
    fake_vault.seal()
    os.environ |= {"VAULT_ADDR": fake_vault.address, "VAULT_TOKEN": "t"}
    with pytest.raises(VaultSealedError):
        load_kv_to_env()


def test_a_dead_token_is_found_before_it_is_used(vault: VaultControls) -> None:
    os.environ |= {"VAULT_ADDR": vault.address, "VAULT_TOKEN": "s.dead-and-secret"}
    with pytest.raises(LoginRefusedError, match="dead") as caught:
        get_client()
    assert "s.dead-and-secret" not in str(caught.value)


def test_nothing_is_assumed_about_address_and_login() -> None:
    with pytest.raises(VaultClientError, match="VAULT_ADDR is not set"):
        get_client()
    os.environ["VAULT_ADDR"] = "http://127.0.0.1:1"
    with pytest.raises(VaultClientError, match="no way to log in"):
        get_client()
    os.environ["VAULT_TOKEN"] = "t"
    with pytest.raises(VaultClientError, match="cannot be reached"):
        get_client()
