"""Rekey against real servers: OpenBao, which wants a token for it, and the embedded engine."""

import asyncio
import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.declare.test_real_servers import make_keys, served
from zvault.base.errors import UsageError, VerificationError, ZvaultError
from zvault.base.secret import Secret
from zvault.offline.proof import prove_unseal_key
from zvault.ops.declare import rekey as module
from zvault.ops.declare.errors import KeysFilePlaceError, RekeyUndecidedError
from zvault.ops.declare.initialize import NewKeys
from zvault.ops.declare.rekey import rekey
from zvault.ops.unseal.shares import read_shares_file
from zvault.ops.unseal.submit import submit_round
from zvault.storage.file import FileStorage
from zvault.vaultapi.answers import SealStatus
from zvault.vaultapi.client import VaultApi
from zvault.vaultapi.errors import VaultUnreachableError
from zvault.vaultapi.rekey import HandedOut, Rekeying, RekeyInProgressError


class Place:
    """A served store, its old keys, and where the new ones go."""

    def __init__(self, root: Path, vault: VaultApi) -> None:
        self.root, self.vault, self.new = root, vault, root / "new-keys"
        self.old = read_shares_file(root / "keys")

    def prove(self, shares: list[Secret]) -> None:
        store = FileStorage.open(self.root / "data", read_only=True)
        asyncio.run(prove_unseal_key(store, shares))

    def rekey(self, shares: int = 4, threshold: int = 3) -> SealStatus:
        wanted = NewKeys(shares, threshold)
        return rekey(self.vault, self.new, self.old, wanted, read_shares_file, self.prove)

    def opens(self, shares: list[Secret]) -> bool:
        try:
            self.prove(shares)
        except ZvaultError:
            return False
        return True


@pytest.fixture(params=["openbao", "engine"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    root = tmp_path / "served"
    root.mkdir()
    with served(request.param, root) as address:
        api = make_keys(address, root)
        yield Place(root, api)
        api.close()


def test_new_shares_are_kept_in_force_and_unseal_the_server(place: Place) -> None:
    status = place.rekey()
    assert (status.shares, status.threshold) == (4, 3)
    assert stat.S_IMODE(place.new.stat().st_mode) == 0o600
    assert json.loads(place.new.read_text()).keys() == {"shares", "threshold"}
    new = read_shares_file(place.new)
    assert place.opens(new)
    assert not place.opens(place.old)
    place.vault.seal()
    assert submit_round(place.vault, new).submitted == 3


def test_nobodys_file_is_replaced_and_nobodys_rekey_ended(place: Place) -> None:
    place.new.write_text("precious")
    with pytest.raises(KeysFilePlaceError):
        place.rekey()
    assert place.new.read_text() == "precious"
    place.new.unlink()
    other = Rekeying(place.vault)
    nonce = other.begin(1, 1)
    with pytest.raises(RekeyInProgressError):
        place.rekey()
    assert not place.new.exists()
    handed_out = other.submit(place.old[:2], nonce)
    other.verify(handed_out.shares, handed_out.nonce)
    assert place.opens(list(handed_out.shares))


def test_too_few_or_wrong_old_shares_change_nothing(place: Place) -> None:
    with pytest.raises(UsageError, match="fewer than the Vault's threshold"):
        rekey(place.vault, place.new, place.old[:1], NewKeys(3, 2), read_shares_file, place.prove)
    wrong = [Secret(bytes(32) + bytes([n])) for n in (201, 202)]
    with pytest.raises(ZvaultError):
        rekey(place.vault, place.new, wrong, NewKeys(3, 2), read_shares_file, place.prove)
    assert not place.new.exists()
    assert place.opens(place.old)
    assert place.rekey().shares == 4, "nothing was left begun"


def test_a_file_that_reads_back_otherwise_keeps_the_old_shares_in_force(place: Place) -> None:
    def bent(path: Path) -> list[Secret]:
        return [*read_shares_file(path)[1:], Secret(bytes(33))]

    with pytest.raises(VerificationError, match="the old ones are in force"):
        rekey(place.vault, place.new, place.old, NewKeys(3, 2), bent, place.prove)
    assert not place.new.exists()
    assert place.opens(place.old)


class LostAnswer(Rekeying):
    """The connection breaks after the ``last`` share of the verification, or before it."""

    before = False

    def verify(self, new: list[Secret], nonce: str) -> None:  # type: ignore[override]
        super().verify(new[:-1] if self.before else new, nonce)
        raise VaultUnreachableError("the connection broke")


class LostAnswerBefore(LostAnswer):
    before = True

    def verify(self, new: list[Secret], nonce: str) -> None:  # type: ignore[override]
        raise VaultUnreachableError("the connection broke")


def test_an_answer_that_is_lost_after_the_verification_costs_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "Rekeying", LostAnswer)
    assert place.rekey().shares == 4
    assert place.opens(read_shares_file(place.new))


def test_a_connection_lost_before_the_verification_leaves_the_old_shares(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "Rekeying", LostAnswerBefore)
    with pytest.raises(VaultUnreachableError):
        place.rekey()
    assert not place.new.exists()
    assert place.opens(place.old)
    monkeypatch.undo()
    assert place.rekey().shares == 4


class Silence(LostAnswerBefore):
    """Nor can the rekey be ended."""

    def cancel(self) -> None:
        raise VaultUnreachableError("nobody answers")


def test_a_silent_server_leaves_both_kinds_of_shares_in_hand(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "Rekeying", Silence)
    with pytest.raises(RekeyUndecidedError, match="the old shares open the store now"):
        place.rekey()
    assert len(read_shares_file(place.new)) == 4


def test_no_share_is_in_what_a_refusal_says(place: Place) -> None:
    rekeying = Rekeying(place.vault)
    nonce = rekeying.begin(3, 2)
    share = place.old[0]
    with pytest.raises(ZvaultError) as refused:
        rekeying.submit([share, share], nonce)
    assert share.reveal().hex() not in refused.value.message
    assert isinstance(HandedOut((share,), "n").shares[0], Secret)
    assert share.reveal().hex() not in repr(HandedOut((share,), "n"))
