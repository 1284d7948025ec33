"""Random operations against a model: a dict, sorted."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from zvault.storage.api import Delete, Operation, Put
from zvault.storage.cache import ValueCache
from zvault.storage.compare import compare_stores
from zvault.storage.copy import copy_store, sync_store
from zvault.storage.digest import store_digest
from zvault.storage.errors import InvalidKeyError
from zvault.storage.file import FileStorage
from zvault.storage.file_layout import decode_entry, encode_entry
from zvault.storage.inmem import InMemStorage
from zvault.storage.keys import check_key, is_skipped_by_copy
from zvault.storage.walk import walk

PARTS = st.sampled_from(["a", "b", "a b", "a-", "a.", "ü", "core", "lock", "0", "%2F", "x.temp"])
KEYS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
OPERATIONS = st.one_of(
    st.builds(Put, key=KEYS, value=st.binary(max_size=20)), st.builds(Delete, key=KEYS)
)
STORES = st.dictionaries(KEYS, st.binary(max_size=6), max_size=12)
relaxed = settings(deadline=None, max_examples=60)


def run(operations: list[list[Operation]]) -> dict[str, bytes]:
    model: dict[str, bytes] = {}
    for batch in operations:
        for operation in batch:
            if isinstance(operation, Put):
                model[operation.key] = operation.value
            else:
                model.pop(operation.key, None)
    return model


def children(model: dict[str, bytes], prefix: str) -> list[str]:
    found = set()
    for key in model:
        if key.startswith(prefix):
            name, slash, _ = key[len(prefix) :].partition("/")
            found.add(name + slash)
    return sorted(found)


@relaxed
@given(st.lists(st.lists(OPERATIONS, max_size=6), max_size=6))
def test_memory_and_file_do_what_a_dict_does(operations: list[list[Operation]]) -> None:
    async def check() -> None:
        model = run(operations)
        with tempfile.TemporaryDirectory() as folder:
            disk = FileStorage.open(Path(folder), fsync=False)
            for store in (InMemStorage(), disk):
                for batch in operations:
                    await store.apply(batch)
                assert [key async for key in walk(store)] == sorted(model)
                for key, value in model.items():
                    assert await store.get(key) == value
                for prefix in {"", *(key.rpartition("/")[0] + "/" for key in model if "/" in key)}:
                    assert await store.list(prefix) == children(model, prefix)
            await disk.close()
            again = FileStorage.open(Path(folder), read_only=True)
            assert await store_digest(again) == await store_digest(InMemStorage(model))

    asyncio.run(check())


@relaxed
@given(STORES, STORES)
def test_a_comparison_is_the_difference_of_two_dicts(
    a: dict[str, bytes], b: dict[str, bytes]
) -> None:
    found = asyncio.run(compare_stores(InMemStorage(a), InMemStorage(b)))
    left = {key: value for key, value in a.items() if not is_skipped_by_copy(key)}
    right = {key: value for key, value in b.items() if not is_skipped_by_copy(key)}
    assert found.missing_in_b == tuple(sorted(left.keys() - right.keys()))
    assert found.extra_in_b == tuple(sorted(right.keys() - left.keys()))
    both = left.keys() & right.keys()
    assert found.differing == tuple(sorted(key for key in both if left[key] != right[key]))
    assert found.equal == (left == right)
    assert found.compared == len(both)


@relaxed
@given(STORES.filter(bool), STORES)
def test_after_a_delta_the_stores_are_equal_whatever_they_were(
    a: dict[str, bytes], b: dict[str, bytes]
) -> None:
    async def check() -> None:
        source, destination = InMemStorage(a, url="inmem:a"), InMemStorage(b, url="inmem:b")
        report = await sync_store(source, destination, parallel=3)
        assert (await compare_stores(source, destination)).equal
        assert report.kept + report.written == sum(not is_skipped_by_copy(key) for key in a)
        digests = await store_digest(source), await store_digest(destination)
        assert digests[0] == digests[1]

    asyncio.run(check())


@relaxed
@given(STORES.filter(bool))
def test_a_copy_of_a_copy_is_the_copy(a: dict[str, bytes]) -> None:
    async def check() -> None:
        one, two = InMemStorage(url="inmem:1"), InMemStorage(url="inmem:2")
        first = await copy_store(InMemStorage(a), one)
        if first.entries:
            second = await copy_store(one, two)
            assert (second.entries, second.bytes) == (first.entries, first.bytes)
            assert await store_digest(one) == await store_digest(two)

    asyncio.run(check())


@relaxed
@given(st.binary(max_size=300))
def test_an_entry_survives_its_envelope(value: bytes) -> None:
    assert decode_entry(encode_entry(value)) == value


@relaxed
@given(st.binary(max_size=60))
def test_any_file_content_is_a_value_or_a_named_error(content: bytes) -> None:
    try:
        value = decode_entry(content)
    except ValueError:
        return
    assert value is None or isinstance(value, bytes)


@relaxed
@given(st.text(max_size=30))
def test_a_key_that_is_taken_is_clean_text(key: str) -> None:
    try:
        check_key(key)
    except InvalidKeyError:
        return
    assert ".." not in key
    assert key.encode().decode() == key
    assert "/".join(part for part in key.split("/") if part not in ("", ".")) == key


@relaxed
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 400), st.booleans())))
def test_a_cache_gives_the_last_value_or_nothing(steps: list[tuple[str, int, bool]]) -> None:
    cache, last = ValueCache(4000), {}
    for key, size, drop in steps:
        if drop:
            cache.drop(key)
            last.pop(key, None)
        else:
            cache.put(key, b"x" * size)
            last[key] = b"x" * size
        for name in "abcdef":
            assert cache.get(name) in (None, last.get(name))
