"""Who guesses too often waits, and nobody else does."""

import pytest

from zvault.base.clock import ManualClock
from zvault.engine.errors import PermissionDeniedError
from zvault.engine.identity import lockout as module
from zvault.engine.identity.lockout import Lockout, LockoutConfig, config_of
from zvault.records.mounts import MountConfig, MountEntry

MINUTE = 60


class SetClock(ManualClock):
    """A wall clock that somebody sets; the other one only moves on."""

    step_seconds = 0

    def now_ns(self) -> int:
        return super().now_ns() + self.step_seconds * 10**9


def guess(lockout: Lockout, name: str, times: int) -> None:
    for _ in range(times):
        lockout.failed(name)


def is_locked(lockout: Lockout, name: str) -> bool:
    try:
        lockout.check(name)
    except PermissionDeniedError:
        return True
    return False


def test_the_fifth_bad_login_locks_for_fifteen_minutes() -> None:
    clock = ManualClock()
    lockout = Lockout(clock)
    guess(lockout, "bob", 4)
    assert not is_locked(lockout, "bob")
    guess(lockout, "bob", 1)
    assert is_locked(lockout, "bob")
    assert not is_locked(lockout, "eve")
    assert lockout.locked() == ["bob"]
    clock.advance(15 * MINUTE - 1)
    assert is_locked(lockout, "bob")
    clock.advance(1)
    assert not is_locked(lockout, "bob")
    guess(lockout, "bob", 4)
    assert not is_locked(lockout, "bob")


def test_a_good_login_and_a_quiet_quarter_of_an_hour_begin_a_new_count() -> None:
    clock = ManualClock()
    lockout = Lockout(clock)
    guess(lockout, "bob", 4)
    lockout.succeeded("bob")
    guess(lockout, "bob", 4)
    assert not is_locked(lockout, "bob")
    clock.advance(15 * MINUTE + 1)
    guess(lockout, "bob", 4)
    assert not is_locked(lockout, "bob")


@pytest.mark.parametrize("step_seconds", [-3600, 3600])
def test_a_wall_clock_that_is_set_frees_nobody_and_locks_nobody_longer(step_seconds: int) -> None:
    clock = SetClock()
    lockout = Lockout(clock)
    guess(lockout, "bob", 5)
    clock.step_seconds = step_seconds
    assert is_locked(lockout, "bob")
    clock.advance(15 * MINUTE)
    assert not is_locked(lockout, "bob")


def test_an_operator_can_unlock() -> None:
    lockout = Lockout(ManualClock())
    guess(lockout, "bob", 5)
    lockout.unlock("bob")
    assert not is_locked(lockout, "bob")
    assert lockout.locked() == []


def test_the_table_of_names_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_NAMES", 10)
    lockout = Lockout(ManualClock())
    for number in range(50):
        guess(lockout, f"name-{number}" + "x" * 10_000, 1)
    held = lockout._counts
    assert len(held) == 10
    assert all(len(name) < 200 for name in held)


def test_a_name_too_long_to_keep_is_locked_all_the_same() -> None:
    lockout = Lockout(ManualClock())
    name = "\ud800" + "n" * 5000
    guess(lockout, name, 5)
    assert is_locked(lockout, name)
    assert not is_locked(lockout, name + "n")


@pytest.mark.parametrize(
    ("kind", "stored", "wanted"),
    [
        ("userpass", {}, LockoutConfig()),
        (
            "approle",
            {"user_lockout_config": {"lockout_threshold": 2, "lockout_duration": 7}},
            LockoutConfig(threshold=2, duration_ns=7),
        ),
        (
            "userpass",
            {"user_lockout_config": {"disable_lockout": True, "lockout_counter_reset": 0}},
            LockoutConfig(disabled=True),
        ),
        ("userpass", {"user_lockout_config": "nonsense"}, LockoutConfig()),
        ("jwt", {}, LockoutConfig(disabled=True)),
    ],
)
def test_the_mounts_tuning_decides(
    kind: str, stored: dict[str, object], wanted: LockoutConfig
) -> None:
    entry = MountEntry(path="x/", type=kind, config=MountConfig(extra=stored))
    assert config_of(entry) == wanted
    lockout = Lockout(ManualClock(), lambda: config_of(entry))
    guess(lockout, "bob", wanted.threshold)
    assert is_locked(lockout, "bob") is not wanted.disabled
