"""Turns of keeping secrets that no server shows on demand, and the other ways to log in."""

import threading
from pathlib import Path
from typing import Any

import pytest

from tests.client.conftest import QUICK
from tests.client.waiting import until
from zakupai_common.secret import Secret
from zakupai_common.testing import FakeVault
from zakupai_common.testing.controls import VaultControls, deliver
from zakupai_common.testing.real import RealVault
from zakupai_common.vault import (
    Declared,
    NotDeclaredError,
    Pace,
    SecretAbsentError,
    SecretStore,
    SettingsError,
    StartError,
    VaultSettings,
)
from zakupai_common.vault.auth import login_of
from zakupai_common.vault.connection import VaultConnection
from zakupai_common.vault.private_file import write_private
from zakupai_common.vault.upkeep import Entry, Upkeep

KEY = Declared("k", "app", "k")


def token_file_settings(vault: VaultControls, token: Secret[str], files: Path) -> VaultSettings:
    write_private(files / "token", token)
    return VaultSettings(vault.address, token_file=files / "token")


def test_a_token_file_is_used_kept_and_read_again_when_its_token_dies(
    vault: VaultControls, name: str, files: Path
) -> None:
    vault.put(f"services/{name}/app", {"k": "1"})
    role = vault.make_role(name, [f"services/{name}/app"])
    connection = VaultConnection.of(deliver(vault, role, files))
    log_in = login_of(deliver(vault, role, files))
    settings = token_file_settings(vault, log_in(connection).token, files)
    key = Declared("k", f"services/{name}/app", "k")
    with SecretStore(settings, [key], pace=QUICK) as store:
        assert store[key].reveal() == "1"
        vault.revoke_tokens(role)
        until(lambda: store.health().trouble_code == "login-refused")
        assert "is dead" in store.health().trouble
        write_private(files / "token", log_in(connection).token)
        until(lambda: store.health().fresh)
    connection.close()
    assert vault.live_tokens(role) == 1, "the token belongs to who wrote the file"


def test_a_root_token_needs_no_renewal(vault: VaultControls, name: str, files: Path) -> None:
    assert isinstance(vault, FakeVault | RealVault)
    vault.put(f"services/{name}/app", {"k": "1"})
    settings = token_file_settings(vault, vault.root_token, files)
    with SecretStore(settings, [Declared("k", f"services/{name}/app", "k")], pace=QUICK) as store:
        assert store.health().token_seconds_left == float("inf")
        until(lambda: store.health().counts.refreshes > 3)
        assert store.health().counts.renewals == 0


def test_a_fresh_token_that_ended_before_it_was_used_is_no_policy_error(files: Path) -> None:
    """A server so slow that a login's token is dead when the read is answered."""
    with FakeVault() as vault:
        role = vault.make_role("r", [], token_seconds=50)
        settings = deliver(vault, role, files)
        now = iter(range(0, 10**6, 100))
        connection = VaultConnection.of(settings)
        upkeep = Upkeep(
            connection, login_of(settings), [KEY], "zakupai", Pace(), clock=lambda: next(now)
        )
        upkeep.turn(read_now=True)
        connection.close()
        assert upkeep.trouble is not None
        assert "ended before" in upkeep.trouble.message
        assert not upkeep.errors


def test_a_refresh_on_demand_reads_now(vault: VaultControls, name: str, files: Path) -> None:
    path = f"services/{name}/app"
    vault.put(path, {"k": "1"})
    settings = deliver(vault, vault.make_role(name, [path]), files)
    key = Declared("k", path, "k")
    with SecretStore(settings, [key], pace=Pace(refresh=3600.0)) as store:
        vault.put(path, {"k": "2"})
        assert store[key].reveal() == "1"
        assert store.refresh(timeout_seconds=60)
        assert store[key].reveal() == "2"
        vault.delete(path)
        assert not store.refresh(timeout_seconds=60)
        assert store[key].reveal() == "2"
    assert not store.refresh()


def test_an_optional_secret_that_appears_is_served_and_told(files: Path) -> None:
    with FakeVault() as vault:
        vault.put("app", {"other": "x"})
        settings = deliver(vault, vault.make_role("r", ["app"]), files)
        late = Declared("late", "app", "late", required=False)
        with SecretStore(settings, [late], pace=QUICK) as store:
            told: list[frozenset[str]] = []
            stop = store.on_change(told.append)
            assert store.get(late) is None
            assert store.health().fresh
            vault.put("app", {"late": "now"})
            until(lambda: told)
            assert store[late].reveal() == "now"
            stop()
            vault.put("app", {"late": "again"})
            until(lambda: store[late].reveal() == "again")
            assert told == [frozenset({"late"})]


def test_what_is_not_declared_or_not_started_is_not_read(files: Path) -> None:
    with FakeVault() as vault:
        vault.put("app", {"k": "v"})
        settings = deliver(vault, vault.make_role("r", ["app"]), files)
        with pytest.raises(SettingsError, match="one name"):
            SecretStore(settings, [KEY, Declared("k", "other", "k")])
        store = SecretStore(settings, [KEY], pace=QUICK)
        with pytest.raises(SecretAbsentError, match="not started"):
            store[KEY]
        with store:
            for undeclared in (
                "password",
                Declared("password", "app", "k"),
                Declared("k", "x", "k"),
            ):
                with pytest.raises(NotDeclaredError, match="is not declared"):
                    store[undeclared]
        with pytest.raises(SecretAbsentError):
            store[KEY]
        with pytest.raises(SettingsError, match="once"):
            store.start()


@pytest.mark.parametrize(("kind", "value"), [(int, "1.5"), (int, True), (bool, 1), (str, 5)])
def test_a_value_of_another_type_is_refused_and_not_quoted(
    kind: type, value: object, files: Path
) -> None:
    with FakeVault() as vault:
        vault.put("app", {"k": value})
        settings = deliver(vault, vault.make_role("r", ["app"]), files)
        with pytest.raises(StartError, match=f"no {kind.__name__}") as caught:
            SecretStore(settings, [Declared("k", "app", "k", kind)], pace=QUICK).start()
        assert "1.5" not in str(caught.value)


def test_two_processes_of_a_service_open_one_wrapped_secret_id(files: Path) -> None:
    """Both find the wrapping token; one opens it, the other waits and takes what the first kept."""
    with FakeVault() as vault:
        vault.put("app", {"k": "v"})
        role = vault.make_role("r", ["app"])
        write_private(files / "role-id", role.role_id)
        write_private(files / "wrapped", vault.wrap_secret_id(role))
        settings = VaultSettings(
            vault.address, files / "role-id", files / "secret-id", files / "wrapped"
        )
        vault.hang()
        stores = [SecretStore(settings, [KEY], pace=QUICK) for _ in range(4)]
        starting = [threading.Thread(target=store.start) for store in stores]
        for thread in starting:
            thread.start()
        until(lambda: vault.requests)
        vault.go_on()
        for thread in starting:
            thread.join()
        assert [store[KEY].reveal() for store in stores] == ["v"] * 4
        unwraps = [path for _, path in vault.requests if path == "sys/wrapping/unwrap"]
        assert len(unwraps) == 1
        for store in stores:
            store.close()


class TurningAway(dict[object, Entry]):
    """What was read; between two look-ups the next reading takes its place."""

    def __init__(self, store: SecretStore, now: dict[object, Entry], then: dict[object, Entry]):
        super().__init__(now)
        self._store, self._then = store, then

    def get(self, which: object, default: object = None) -> Any:
        found = super().get(which, default)
        self._store._entries = self._then
        return found


def test_values_asked_for_together_are_of_one_reading(name: str, files: Path) -> None:
    user, password = Declared("user", "app", "user"), Declared("password", "app", "password")
    with FakeVault() as vault:
        vault.put("app", {"user": "old", "password": "old"})
        settings = deliver(vault, vault.make_role(name, ["app"]), files)
        with SecretStore(settings, [user, password], pace=QUICK) as store:
            old = store._entries
            vault.put("app", {"user": "new", "password": "new"})
            until(lambda: store[user].reveal() == "new")
            vault.hang()  # no reading of its own comes between
            store._entries = TurningAway(store, old, store._entries)
            assert [one.reveal() for one in store.together(user, password)] == ["new", "new"]


def test_an_error_that_nobody_foresaw_ends_nothing_and_quotes_nothing(
    name: str, files: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with FakeVault() as vault:
        vault.put("app", {"k": "1"})
        settings = deliver(vault, vault.make_role(name, ["app"]), files)
        with SecretStore(settings, [KEY], pace=QUICK) as store:
            read_kv = store._vault.read_kv

            def stumbles(*_: object) -> Any:
                raise RuntimeError("hunter2")

            store._vault.read_kv = stumbles  # type: ignore[method-assign]
            until(lambda: store.health().trouble)
            assert store.health().trouble == "upkeep stumbled: RuntimeError"
            assert store.health().ready
            store._vault.read_kv = read_kv  # type: ignore[method-assign]
            vault.put("app", {"k": "2"})
            until(lambda: store[KEY].reveal() == "2")
            assert store.health().fresh
    assert "hunter2" not in caplog.text


def test_a_store_that_was_closed_holds_no_value_any_more(name: str, files: Path) -> None:
    with FakeVault() as vault:
        vault.put("app", {"k": "hunter2"})
        settings = deliver(vault, vault.make_role(name, ["app"]), files)
        store = SecretStore(settings, [KEY], pace=QUICK)
        store.start()
        assert store.health().ready
        store.close()
        with pytest.raises(SecretAbsentError):
            store[KEY]
        assert not store.health().ready
        assert "hunter2" not in [one.secret.reveal() for one in store._upkeep.entries.values()]


def test_what_a_late_turn_reads_after_the_end_is_for_nobody(
    name: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hung Vault may answer when closing has given up waiting for the turn."""
    with FakeVault() as vault:
        vault.put("app", {"k": "hunter2"})
        settings = deliver(vault, vault.make_role(name, ["app"]), files, timeout_seconds=0.05)
        store = SecretStore(settings, [KEY], pace=QUICK)
        store.start()
        thread, turn = store._thread, Upkeep.turn
        inside, go_on = threading.Event(), threading.Event()

        def late(upkeep: Upkeep, *, read_now: bool = False) -> float:
            wait = turn(upkeep, read_now=read_now)
            inside.set()
            assert go_on.wait(60)
            upkeep.entries = dict(held)
            return wait

        held = dict(store._upkeep.entries)
        monkeypatch.setattr(Upkeep, "turn", late)
        assert inside.wait(60)
        store.close()
        go_on.set()
        assert thread is not None
        thread.join(60)
        assert (store._entries, store._upkeep.entries) == ({}, {})
