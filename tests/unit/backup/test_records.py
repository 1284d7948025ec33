"""Records and retention: only what was verified counts, and the newest good one never goes."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zvault.ops.backup.record import (
    BackupRecord,
    Listed,
    backup_name,
    decode_record,
    encode_record,
    is_backup_name,
)
from zvault.ops.backup.retention import Retention, plan_prune

DAY = 86_400 * 10**9
NOW = 2_000_000_000 * 10**9


def record(days_old: int, verified: bool = True, size: int = 10) -> BackupRecord:
    taken = NOW - days_old * DAY
    name = backup_name(taken, bytes([days_old % 256, 0, 0]), "tar.zst")
    return BackupRecord(
        name, taken, "file:/x", "0" * 64, size, 5, "0" * 64, "f" * 64, 3, "x", verified, taken
    )


def listed(days_old: int, verified: bool = True) -> Listed:
    known = record(days_old, verified)
    return Listed(known.name, known.bytes, known)


def test_a_name_says_when_and_is_recognised() -> None:
    name = backup_name(1_795_219_200 * 10**9 + 5, b"\x01\x02\x03", "tar.gz")
    assert name == "vault-backup-20261121T000000Z-010203.tar.gz"
    assert is_backup_name(name)
    assert not is_backup_name(name + ".partial")
    assert not is_backup_name("vault-backup-../x.tar.gz")


def test_a_record_is_read_as_it_was_written() -> None:
    known = replace(record(1), seen={"secrets": 3}, problems=("x",))
    assert decode_record(encode_record(known), known.name) == known


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b"\xff", b'{"format": 1}'])
def test_a_broken_record_counts_as_none(content: bytes) -> None:
    assert decode_record(content, "x") is None


def test_a_record_of_another_file_or_with_a_truth_that_is_no_boolean_counts_as_none() -> None:
    known = record(1)
    assert decode_record(encode_record(known), "vault-backup-other") is None
    forged = encode_record(known).replace(b'"verified": true', b'"verified": "yes"')
    assert decode_record(forged, known.name) is None


def test_a_file_that_changed_its_size_is_not_verified() -> None:
    known = record(1)
    assert Listed(known.name, known.bytes, known).verified
    assert not Listed(known.name, known.bytes - 1, known).verified
    assert not Listed(known.name, 5, None).verified


def test_retention_keeps_by_number_and_by_age() -> None:
    backups = [listed(days) for days in range(0, 100, 10)]
    plan = plan_prune(backups, Retention(keep_last=2, keep_days=35), NOW)
    assert set(plan.kept) == {listed(days).name for days in (0, 10, 20, 30)}
    assert len(plan.removed) == 6


def test_unverified_ones_do_not_count_as_kept_and_go_only_below_a_newer_verified_one() -> None:
    backups = [listed(50), listed(40, verified=False), listed(5), listed(1, verified=False)]
    plan = plan_prune(backups, Retention(keep_last=1, keep_days=0), NOW)
    assert set(plan.kept) == {listed(5).name, listed(1).name}


def test_without_a_verified_one_nothing_goes() -> None:
    backups = [listed(days, verified=False) for days in (1, 100, 200)]
    assert plan_prune(backups, Retention(1, 0), NOW).removed == ()


@given(
    st.lists(st.tuples(st.integers(0, 250), st.booleans()), unique_by=lambda item: item[0]),
    st.integers(1, 5),
    st.integers(0, 300),
)
def test_whatever_the_catalog_the_newest_verified_one_stays(
    ages: list[tuple[int, bool]], keep_last: int, keep_days: int
) -> None:
    backups = [listed(age, verified) for age, verified in ages]
    plan = plan_prune(backups, Retention(keep_last, keep_days), NOW)
    good = [age for age, verified in ages if verified]
    if good:
        assert listed(min(good)).name in plan.kept
    assert set(plan.kept) | set(plan.removed) == {backup.name for backup in backups}
    assert not set(plan.kept) & set(plan.removed)


def test_another_plan_has_another_id() -> None:
    one = plan_prune([listed(1), listed(90)], Retention(1, 0), NOW)
    two = plan_prune([listed(1), listed(91)], Retention(1, 0), NOW)
    assert one.plan_id != two.plan_id


def test_what_an_interrupted_run_left_goes_after_a_day() -> None:
    names = [f".{record(3).name}.partial", f"{record(2).name}.partial", f"{record(0).name}.partial"]
    plan = plan_prune([listed(1)], Retention(), NOW, names)
    assert set(plan.removed) == set(names[:2])
