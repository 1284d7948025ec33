"""What a service may rely on, held against the fake Vault, the engine and a real OpenBao alike."""

import threading
from pathlib import Path

import pytest

from tests.client.conftest import QUICK
from tests.client.waiting import until
from zakupai_common.secret import Secret
from zakupai_common.testing.controls import Role, VaultControls, deliver
from zakupai_common.vault import (
    Declared,
    SecretAbsentError,
    SecretStore,
    StartError,
    VaultSettings,
    WrappingTokenSpentError,
)
from zakupai_common.vault.auth import _is_secret_id_path
from zakupai_common.vault.private_file import write_private


def store_for(
    vault: VaultControls, name: str, files: Path, *keys: str, **role: int
) -> tuple[SecretStore, tuple[Declared[str], ...]]:
    """A store for ``services/NAME/app`` with these keys, of a role that may read that alone."""
    made = vault.make_role(name, [f"services/{name}/app"], **role)
    declared = tuple(Declared(key, f"services/{name}/app", key) for key in keys)
    return SecretStore(deliver(vault, made, files), declared, pace=QUICK), declared


def test_a_started_store_holds_every_declared_secret(
    vault: VaultControls, name: str, files: Path
) -> None:
    vault.put(
        f"services/{name}/app",
        {"user": "calc", "port": "5432", "limit": 7, "on": True, "tree": {"a": [1]}},
    )
    role = vault.make_role(name, [f"services/{name}/*"])
    path = f"services/{name}/app"
    user, port, limit = (
        Declared("user", path, "user"),
        Declared("port", path, "port", int),
        Declared("limit", path, "limit", int),
    )
    on, tree = Declared("on", path, "on", bool), Declared("tree", path, "tree", dict)
    whole = Declared("whole", path)
    gone = Declared("gone", path, "gone", required=False)
    store = SecretStore(
        deliver(vault, role, files), [user, port, limit, on, tree, whole, gone], pace=QUICK
    )
    with store:
        assert store[user].reveal() == "calc"
        assert store["user"] is store[user]
        assert (store[port].reveal(), store[limit].reveal(), store[on].reveal()) == (5432, 7, True)
        assert store[tree].reveal() == {"a": [1]}
        assert store[whole].reveal()["user"] == "calc"
        assert store.get(gone) is None
        with pytest.raises(SecretAbsentError):
            store[gone]
        assert store.health().fresh
        assert vault.live_tokens(role) == 1
    assert vault.live_tokens(role) == 0, "a store that is closed ends its token"


def test_a_start_names_all_that_is_missing(vault: VaultControls, name: str, files: Path) -> None:
    vault.put(f"services/{name}/app", {"there": "x", "number": "many"})
    vault.put(f"services/{name}/denied", {"k": "x"})
    role = vault.make_role(name, [f"services/{name}/app", f"services/{name}/nothing"])
    declared = [
        Declared("there", f"services/{name}/app", "there"),
        Declared("no_key", f"services/{name}/app", "other"),
        Declared("no_number", f"services/{name}/app", "number", int),
        Declared("no_path", f"services/{name}/nothing", "k"),
        Declared("no_policy", f"services/{name}/denied", "k", required=False),
    ]
    with pytest.raises(StartError) as caught:
        SecretStore(deliver(vault, role, files), declared, pace=QUICK).start()
    assert set(caught.value.missing) == {"no_key", "no_number", "no_path", "no_policy"}
    assert "denies" in caught.value.missing["no_policy"]
    assert "many" not in str(caught.value)


def test_a_service_cannot_read_the_secrets_of_another(
    vault: VaultControls, name: str, files: Path
) -> None:
    vault.put(f"services/{name}-etl/app", {"k": "etl's"})
    vault.put(f"services/{name}/app", {"k": "calc's"})
    role = vault.make_role(name, [f"services/{name}/*"])
    stolen = Declared("stolen", f"services/{name}-etl/app", "k")
    with pytest.raises(StartError, match="denies"):
        SecretStore(deliver(vault, role, files), [stolen], pace=QUICK).start()


def test_a_changed_secret_is_served_and_told(vault: VaultControls, name: str, files: Path) -> None:
    path = f"services/{name}/app"
    vault.put(path, {"user": "a", "password": "old", "same": "s"})
    store, (user, password, same) = store_for(vault, name, files, "user", "password", "same")
    told: list[frozenset[str]] = []
    with store:
        kept = store[same]
        store.on_change(told.append)
        store.on_change(lambda _: 1 / 0)  # type: ignore[arg-type,return-value]
        vault.put(path, {"user": "b", "password": "new", "same": "s"})
        until(lambda: told)
        assert told == [frozenset({"user", "password"})]
        assert [one.reveal() for one in store.together(user, password)] == ["b", "new"]
        assert store[same] is kept


def test_a_revoked_token_is_replaced_by_one_login(
    vault: VaultControls, name: str, files: Path
) -> None:
    vault.put(f"services/{name}/app", {"k": "1"})
    store, (key,) = store_for(vault, name, files, "k")
    with store:
        role = Role(name, Secret(""))
        vault.revoke_tokens(role)
        vault.put(f"services/{name}/app", {"k": "2"})
        until(lambda: store[key].reveal() == "2")
        assert store.health().counts.logins == 2
        assert store.health().fresh


def test_a_policy_that_is_narrowed_is_named_and_leads_to_no_login(
    vault: VaultControls, name: str, files: Path
) -> None:
    vault.put(f"services/{name}/app", {"k": "1"})
    store, (key,) = store_for(vault, name, files, "k")
    with store:
        vault.allow(Role(name, Secret("")), [f"services/{name}/other"])
        until(lambda: store.health().failing)
        seen = store.health().counts.refreshes
        until(lambda: store.health().counts.refreshes > seen + 3)
        health = store.health()
        assert "denies" in health.failing["k"]
        assert health.ready
        assert not health.fresh
        assert health.counts.logins == 1
        assert store[key].reveal() == "1", "served until its declared age"
        vault.allow(Role(name, Secret("")), [f"services/{name}/app"])
        until(lambda: store.health().fresh)


def test_a_deleted_secret_is_named_and_served_until_its_age(
    vault: VaultControls, name: str, files: Path
) -> None:
    vault.put(f"services/{name}/app", {"k": "1"})
    store, (key,) = store_for(vault, name, files, "k")
    with store:
        vault.delete(f"services/{name}/app")
        until(lambda: "k" in store.health().failing)
        assert store[key].reveal() == "1"
        assert store.health().counts.logins == 1
        vault.put(f"services/{name}/app", {"k": "2"})
        until(lambda: store.health().fresh)
        assert store[key].reveal() == "2"


def test_a_secret_id_that_is_gone_ends_nothing_while_the_token_lives(
    vault: VaultControls, name: str, files: Path
) -> None:
    vault.put(f"services/{name}/app", {"k": "1"})
    store, (key,) = store_for(vault, name, files, "k")
    role = Role(name, Secret(""))
    with store:
        vault.destroy_secret_ids(role)
        vault.put(f"services/{name}/app", {"k": "2"})
        until(lambda: store[key].reveal() == "2")
        vault.revoke_tokens(role)
        until(lambda: store.health().trouble_code == "login-refused")
        assert store[key].reveal() == "2"
        write_private(files / f"{name}.secret-id", vault.make_secret_id(role))
        vault.put(f"services/{name}/app", {"k": "3"})
        until(lambda: store[key].reveal() == "3")


def test_a_short_token_is_renewed_and_replaced_before_it_ends(
    vault: VaultControls, name: str, files: Path
) -> None:
    vault.put(f"services/{name}/app", {"k": "1"})
    store, _ = store_for(vault, name, files, "k", token_seconds=2, token_max_seconds=4)
    with store:
        until(lambda: store.health().counts.renewals and store.health().counts.logins > 1)
        assert store.health().counts.failures == 0


def test_a_wrapped_secret_id_is_opened_once_and_kept(
    vault: VaultControls, name: str, files: Path
) -> None:
    vault.put(f"services/{name}/app", {"k": "1"})
    role = vault.make_role(name, [f"services/{name}/app"])
    settings = wrapped_settings(vault, role, files)
    declared = Declared("k", f"services/{name}/app", "k")
    for _ in range(2):  # the second start finds what the first one kept
        with SecretStore(settings, [declared], pace=QUICK) as store:
            assert store[declared].reveal() == "1"
        assert settings.wrapped_secret_id_file is not None
        assert not settings.wrapped_secret_id_file.exists()


def test_a_wrapped_secret_id_that_somebody_opened_is_an_alarm(
    vault: VaultControls, name: str, files: Path, caplog: pytest.LogCaptureFixture
) -> None:
    role = vault.make_role(name, [f"services/{name}/app"])
    settings = wrapped_settings(vault, role, files)
    assert settings.wrapped_secret_id_file is not None
    token = Secret(settings.wrapped_secret_id_file.read_text())
    vault.unwrap(token)
    with pytest.raises(StartError, match="opened before") as caught:
        SecretStore(settings, [Declared("k", f"services/{name}/app", "k")], pace=QUICK).start()
    assert isinstance(caught.value.__cause__, WrappingTokenSpentError)
    assert "destroy its accessor" in str(caught.value)
    assert any(record.levelname == "CRITICAL" for record in caplog.records)
    assert token.reveal() not in caplog.text + str(caught.value)


@pytest.mark.parametrize(
    ("path", "good"),
    [
        ("auth/approle/role/svc/secret-id", True),
        ("auth/approle/role/svc/custom-secret-id", False),
        ("auth/approle/role/svc/role-id", False),
        ("auth/approle/role//secret-id", False),
        ("auth/approle/role/svc/secret-id/lookup", False),
        ("auth/approle/role/svc/x/secret-id", False),
        ("auth/other/role/svc/secret-id", False),
        ("sys/wrapping/wrap", False),
        ("zakupai/data/auth/approle/role/svc/secret-id", False),
        ("", False),
    ],
)
def test_only_what_makes_a_secret_id_is_taken_for_the_origin_of_one(path: str, good: bool) -> None:
    """Whoever can wrap anything could else put a secret_id of its own into our hands."""
    assert _is_secret_id_path(path, "approle") is good


def wrapped_settings(vault: VaultControls, role: Role, files: Path) -> VaultSettings:
    write_private(files / "role-id", role.role_id)
    write_private(files / "wrapped", vault.wrap_secret_id(role))
    return VaultSettings(vault.address, files / "role-id", files / "secret-id", files / "wrapped")


def test_a_sealed_vault_is_waited_for_at_the_start_and_outlived_later(
    vault: VaultControls, name: str, files: Path
) -> None:
    vault.put(f"services/{name}/app", {"k": "1"})
    store, (key,) = store_for(vault, name, files, "k")
    vault.seal()
    try:
        starting = threading.Thread(target=store.start)
        starting.start()
        until(lambda: store.health().counts.failures > 2)
        assert store.health().trouble_code == "sealed"
        assert not store.health().ready
        vault.unseal()
        starting.join()
        assert store[key].reveal() == "1"
        vault.seal()
        until(lambda: store.health().trouble_code == "sealed")
        assert store[key].reveal() == "1"
        assert store.health().ready
        vault.unseal()
        until(lambda: store.health().fresh)
        assert store.health().counts.logins == 1, "a seal ends no token"
    finally:
        vault.unseal()
        store.close()
