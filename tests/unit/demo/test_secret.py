"""The rules of KV v2 as the demo models them; the same rules are held against a real server."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from demo.proof.secret import Secret, merged

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
OBJECT = st.dictionaries(st.text(max_size=3), JSON, max_size=4)


def test_the_first_trim_sets_the_oldest_version_and_removes_nothing() -> None:
    secret = Secret(mount_max=6)
    for version in range(1, 7):
        secret.write({"n": version}, version)
    assert (secret.oldest, sorted(secret.versions)) == (1, [1, 2, 3, 4, 5, 6])
    secret.write({"n": 7}, 7)
    assert (secret.oldest, sorted(secret.versions)) == (2, [2, 3, 4, 5, 6, 7])


def test_the_larger_of_the_two_limits_counts() -> None:
    secret = Secret(mount_max=6, max_versions=3)
    for version in range(1, 9):
        secret.write({}, version)
    assert sorted(secret.versions) == [3, 4, 5, 6, 7, 8]
    secret.max_versions = 8
    for version in range(9, 12):
        secret.write({}, version)
    assert sorted(secret.versions) == [4, 5, 6, 7, 8, 9, 10, 11]


def test_a_write_that_was_applied_twice_makes_two_equal_versions_and_is_counted() -> None:
    secret = Secret(mount_max=6)
    assert secret.write({"n": 1}, 1) == 0
    assert secret.write({"n": 2}, 3) == 1
    assert secret.versions[2].data == secret.versions[3].data == {"n": 2}


def test_a_destroyed_version_is_neither_deleted_nor_brought_back() -> None:
    secret = Secret()
    secret.write({"n": 1}, 1)
    secret.destroy([1, 9])
    secret.delete([1])
    secret.undelete([1])
    assert (secret.versions[1].destroyed, secret.versions[1].deleted) == (True, False)
    assert secret.versions[1].data is None
    assert not secret.versions[1].readable


def test_undelete_gives_the_data_back() -> None:
    secret = Secret()
    secret.write({"n": 1}, 1)
    secret.delete_latest()
    assert not secret.versions[1].readable
    secret.undelete([1])
    assert secret.versions[1].readable
    assert secret.versions[1].data == {"n": 1}


@given(OBJECT, OBJECT)
def test_a_merge_patch_twice_is_the_same_as_once(
    base: dict[str, Any], change: dict[str, Any]
) -> None:
    once = merged(base, change)
    assert merged(once, change) == once


def test_a_merge_patch_removes_with_null_and_merges_objects() -> None:
    base = {"a": 1, "b": {"c": 2, "d": 3}, "e": [1]}
    assert merged(base, {"a": None, "b": {"c": None, "x": 1}, "e": {"y": 2}}) == {
        "b": {"d": 3, "x": 1},
        "e": {"y": 2},
    }
