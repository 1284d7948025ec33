"""One round of shares: to the threshold, read back, and honest when it does not work."""

import pytest

from tests.support.fake_vault import FakeVault
from tests.support.keyfiles import make_shares
from zvault.base.secret import Secret
from zvault.ops.unseal.errors import KeyFileSharesError, NotUnsealedError
from zvault.ops.unseal.submit import InterferedError, submit_round
from zvault.vaultapi.answers import SealStatus
from zvault.vaultapi.errors import UnsealKeyRefusedError, VaultUninitializedError

SHARES = make_shares(5)


def test_no_more_shares_than_the_threshold_are_given() -> None:
    vault = FakeVault(SHARES)
    round_ = submit_round(vault, SHARES)
    assert (round_.submitted, len(vault.given), vault.sealed) == (3, 3, False)


def test_progress_of_others_is_dropped_first() -> None:
    vault = FakeVault(SHARES, pending=[make_shares(1, seed=9)[0]])
    submit_round(vault, SHARES)
    assert (vault.resets, vault.sealed) == (1, False)


def test_an_unsealed_vault_gets_nothing() -> None:
    vault = FakeVault(SHARES, sealed=False)
    assert submit_round(vault, SHARES).submitted == 0
    assert vault.given == []


def test_a_vault_without_keys_gets_nothing() -> None:
    vault = FakeVault(SHARES, initialized=False)
    with pytest.raises(VaultUninitializedError):
        submit_round(vault, SHARES)
    assert vault.given == []


def test_fewer_shares_than_the_vaults_threshold_give_nothing_away() -> None:
    vault = FakeVault(SHARES, threshold=4)
    with pytest.raises(KeyFileSharesError):
        submit_round(vault, SHARES[:3])
    assert vault.given == []


def test_wrong_shares_are_one_round_and_a_named_refusal() -> None:
    vault = FakeVault(SHARES)
    with pytest.raises(UnsealKeyRefusedError):
        submit_round(vault, make_shares(3, seed=7))
    assert vault.rounds == 1


def test_somebody_else_in_between_is_noticed_before_the_last_share() -> None:
    class Crowded(FakeVault):
        def submit_share(self, share: Secret) -> SealStatus:
            self.pending.append(make_shares(1, seed=50)[0])
            return super().submit_share(share)

    with pytest.raises(InterferedError):
        submit_round(Crowded(SHARES, threshold=4), SHARES)


def test_an_answer_that_says_unsealed_is_not_believed_until_it_is_read_back() -> None:
    class Liar(FakeVault):
        def submit_share(self, share: Secret) -> SealStatus:
            return SealStatus(True, False, 3, 5, 0)

    with pytest.raises(NotUnsealedError):
        submit_round(Liar(SHARES), SHARES)
