"""The store is gone: only a copy of this Vault, of a moment that has been, comes back."""

import pytest

from zvault.base.gotime import SECOND_NS
from zvault.ops.migration.errors import RecoveryRefusedError
from zvault.ops.migration.loss import Copy, decide_recovery
from zvault.ops.migration.model import Recovery

OURS, FOREIGN = "a" * 64, "f" * 64
NOW = 1_800_000_000 * SECOND_NS


def copy(name: str, age_seconds: int, fingerprint: str = OURS) -> Copy:
    return Copy(Recovery("backup", name, NOW - age_seconds * SECOND_NS), fingerprint)


def chosen(*copies: Copy, fingerprint: str = OURS) -> str:
    return decide_recovery(copies, fingerprint, NOW, 0).name


def test_a_younger_copy_of_another_vault_is_passed_over() -> None:
    assert chosen(copy("ours", 100), copy("theirs", 1, FOREIGN)) == "ours"


def test_a_copy_of_a_time_to_come_is_passed_over() -> None:
    assert chosen(copy("past", 100), copy("future", -1)) == "past"


def test_what_nobody_knows_does_not_exclude() -> None:
    assert chosen(copy("unknown", 1, ""), copy("ours", 100)) == "unknown"
    assert chosen(copy("theirs", 1, FOREIGN), fingerprint="") == "theirs"


def test_only_foreign_and_undated_copies_are_none_and_that_is_said() -> None:
    with pytest.raises(RecoveryRefusedError) as error:
        chosen(copy("theirs", 1, FOREIGN), copy("future", -1))
    assert "1 of another Vault or from before a rekey" in error.value.message
    assert "1 of a time still to come" in error.value.message
