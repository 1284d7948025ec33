"""Keys of a new Vault: their place is taken first, nobody's file is replaced, loss is named."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from zvault.base.errors import UsageError
from zvault.base.secret import Secret
from zvault.ops.declare.errors import (
    AlreadyInitializedVaultError,
    KeysFilePlaceError,
    KeysLostError,
    UnprovenKeysError,
)
from zvault.ops.declare.initialize import NewKeys, initialize
from zvault.ops.declare.keys_file import KeysFile, content_of
from zvault.ops.unseal.shares import read_shares_file
from zvault.vaultapi.answers import Initialization, SealStatus
from zvault.vaultapi.client import VaultApi
from zvault.vaultapi.errors import VaultRefusedError, VaultUnreachableError

SHARES = tuple(Secret(bytes([number]) * 33) for number in range(1, 6))
TOKEN = "hvs.planted-root-token"


class NewVault:
    """A Vault whose init can go wrong: ``before`` or ``after`` raises around making the keys."""

    address = "http://127.0.0.1:1"

    def __init__(
        self,
        before: Callable[[], None] = lambda: None,
        after: Callable[[], None] = lambda: None,
        silent_then: bool = False,
    ) -> None:
        self.before, self.after, self.silent_then = before, after, silent_then
        self.initialized, self.called = False, False

    def seal_status(self) -> SealStatus:
        if self.called and self.silent_then:
            raise VaultUnreachableError("nobody answers")
        return SealStatus(self.initialized, True, threshold=3, shares=5, progress=0)

    def initialize(self, shares: int, threshold: int) -> Initialization:
        self.called = True
        self.before()
        self.initialized = True
        self.after()
        return Initialization(SHARES, Secret(TOKEN))


def begin(
    vault: NewVault, path: Path, wanted: NewKeys | None = None, prove: Any = lambda _: None
) -> SealStatus:
    api = cast(VaultApi, vault)
    return initialize(api, path, wanted or NewKeys(5, 3), read_shares_file, prove)


def unreachable() -> None:
    raise VaultUnreachableError("the connection broke")


def test_the_file_is_private_and_readable_as_shares_and_holds_the_token(tmp_path: Path) -> None:
    path, proven = tmp_path / "keys", list[list[Secret]]()
    begin(NewVault(), path, prove=proven.append)
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text())["root_token"] == TOKEN
    assert json.loads(path.read_text())["threshold"] == 3
    assert proven == [list(SHARES)]


def test_an_existing_file_is_refused_before_the_vault_is_touched(tmp_path: Path) -> None:
    path, vault = tmp_path / "keys", NewVault()
    path.write_text("somebody's")
    with pytest.raises(KeysFilePlaceError, match="exists and is not replaced"):
        begin(vault, path)
    assert path.read_text() == "somebody's"
    assert not vault.called


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "keys").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeysFilePlaceError):
        begin(NewVault(), tmp_path / "keys")
    assert not (tmp_path / "elsewhere").exists()


def test_a_missing_folder_is_refused_before_the_vault_is_touched(tmp_path: Path) -> None:
    vault = NewVault()
    with pytest.raises(KeysFilePlaceError, match="No such file"):
        begin(vault, tmp_path / "none" / "keys")
    assert not vault.called


def test_a_vault_with_keys_is_refused_and_no_file_is_left(tmp_path: Path) -> None:
    vault = NewVault()
    vault.initialized = True
    with pytest.raises(AlreadyInitializedVaultError, match="has keys already"):
        begin(vault, tmp_path / "keys")
    assert not list(tmp_path.iterdir())
    assert not vault.called


def test_somebody_who_was_faster_is_told_from_a_lost_answer(tmp_path: Path) -> None:
    vault = NewVault()

    def faster() -> None:
        vault.initialized = True
        raise VaultRefusedError("Vault is already initialized")

    vault.before = faster
    with pytest.raises(AlreadyInitializedVaultError):
        begin(vault, tmp_path / "keys")
    assert not list(tmp_path.iterdir())


def test_a_call_that_changed_nothing_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(VaultUnreachableError):
        begin(NewVault(before=unreachable), tmp_path / "keys")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("silent_then", [False, True])
def test_an_answer_that_was_lost_is_said_to_be(tmp_path: Path, silent_then: bool) -> None:
    with pytest.raises(KeysLostError) as told:
        begin(NewVault(after=unreachable, silent_then=silent_then), tmp_path / "keys")
    assert "start again" in told.value.hint


def test_shares_that_do_not_open_the_store_are_kept_and_not_called_a_success(
    tmp_path: Path,
) -> None:
    def prove(_: list[Secret]) -> None:
        raise VaultUnreachableError("no such store")

    with pytest.raises(UnprovenKeysError, match="no such store"):
        begin(NewVault(), tmp_path / "keys", prove=prove)
    assert len(read_shares_file(tmp_path / "keys")) == 5


def test_other_numbers_than_asked_for_are_no_success(tmp_path: Path) -> None:
    with pytest.raises(UnprovenKeysError, match="4 shares with threshold 3 were asked for"):
        begin(NewVault(), tmp_path / "keys", NewKeys(4, 3))


@pytest.mark.parametrize(("shares", "threshold"), [(0, 0), (3, 4), (5, 1), (256, 3), (3, -1)])
def test_numbers_that_make_no_sense_touch_nothing(
    tmp_path: Path, shares: int, threshold: int
) -> None:
    vault = NewVault()
    with pytest.raises(UsageError, match="cannot be made"):
        begin(vault, tmp_path / "keys", NewKeys(shares, threshold))
    assert not vault.called
    assert not list(tmp_path.iterdir())


def test_an_interrupt_while_keys_are_made_waits_until_they_are_kept(tmp_path: Path) -> None:
    vault = NewVault(after=lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        begin(vault, tmp_path / "keys")
    assert len(read_shares_file(tmp_path / "keys")) == 5


def test_255_shares_fit_into_the_room_that_was_taken(tmp_path: Path) -> None:
    place = KeysFile(tmp_path / "keys")
    reserved = (tmp_path / "keys").stat().st_size
    many = tuple(Secret(b"\xf7" * 32 + bytes([number])) for number in range(1, 256))
    place.keep(content_of(many, 128, Secret("t" * 200)))
    place.close()
    assert (tmp_path / "keys").stat().st_size < reserved
    assert len(read_shares_file(tmp_path / "keys")) == 255


def test_keys_that_read_back_as_something_else_are_not_called_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = KeysFile(tmp_path / "keys")
    monkeypatch.setattr(os, "pread", lambda descriptor, size, offset: b" " * (size - 1))
    with pytest.raises(OSError, match="reads back as something else"):
        place.keep(content_of((Secret(b"s" * 33),), 1))
    place.close()
