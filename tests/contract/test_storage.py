"""One suite for every storage backend and every decorator: what the protocol promises."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support import s3_standin
from tests.support.seaweed import fresh_bucket, s3_options, seaweed  # noqa: F401
from zvault.base.secret import Secret
from zvault.storage.api import Delete, Put, Storage
from zvault.storage.digest import read_entries, store_digest
from zvault.storage.errors import InvalidKeyError
from zvault.storage.file import FileStorage
from zvault.storage.file_writing import LogOptions
from zvault.storage.inmem import InMemStorage
from zvault.storage.s3 import S3Storage
from zvault.storage.s3_options import S3Credentials, S3Options
from zvault.storage.walk import inventory, walk

AWKWARD_KEYS = (
    "a",
    "a/b",
    "a b/c+d",
    "a-b",
    "a.b",
    "a0",
    "core/keyring",
    "deep/" + "/".join("x" * 1 for _ in range(40)),
    "p%2Fq",
    "p%q",
    "x*y?z#",
    "~x",
    "ünï/日本",
    "[br]{c}|^\"<>`'&;=@$!(),:",
    "foo.temp",
    ".hidden",
    "_under/_score",
)
KINDS = (
    "inmem", "file", "file-cached", "file-logged", "file-unsynced", "aws", "aws-cached", "b2",
    "generic", "seaweed", "seaweed-prefix",
)  # fmt: skip
CACHE_BYTES = 1 << 20
SEGMENT_BYTES = 1 << 14
"""Small, so that the segments take turns."""


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    async with AsyncExitStack() as stack:
        made = await _make(request, tmp_path, stack)
        yield made
        await made.close()


async def _make(request: pytest.FixtureRequest, tmp_path: Path, stack: AsyncExitStack) -> Storage:
    kind = request.param
    simple: dict[str, Callable[[], Storage]] = {
        "inmem": InMemStorage,
        "file": lambda: FileStorage.open(tmp_path / "data"),
        "file-logged": lambda: FileStorage.open(tmp_path / "data", log=LogOptions(SEGMENT_BYTES)),
        "file-unsynced": lambda: FileStorage.open(tmp_path / "data", fsync=False),
        "file-cached": lambda: FileStorage.open(tmp_path / "data", cache_bytes=CACHE_BYTES),
    }
    if kind in simple:
        return simple[kind]()
    if kind.startswith("seaweed"):
        server = request.getfixturevalue("seaweed")
        prefix = "some/pre fix" if kind.endswith("prefix") else ""
        return S3Storage.open(s3_options(server, fresh_bucket(server), prefix))
    kind, _, cached = kind.partition("-")
    habits = {"aws": s3_standin.AWS, "b2": s3_standin.B2, "generic": s3_standin.GENERIC}[kind]
    standin = await stack.enter_async_context(s3_standin.running(habits=habits))
    credentials = S3Credentials("id", Secret("secret"))
    options = S3Options("vault", credentials, prefix="p", endpoint=standin.endpoint, provider=kind)
    return S3Storage.open(options, cache_bytes=CACHE_BYTES if cached else 0)


async def fill(store: Storage, keys: tuple[str, ...] = AWKWARD_KEYS) -> dict[str, bytes]:
    values = {key: b"value of " + key.encode() for key in keys}
    for key, value in values.items():
        await store.apply([Put(key, value)])
    return values


async def test_an_absent_key_is_none_and_an_empty_value_is_not(store: Storage) -> None:
    assert await store.get("core/keyring") is None
    await store.apply([Put("empty", b"")])
    assert await store.get("empty") == b""


@pytest.mark.parametrize("size", [1, 100, 65_535, 65_536, 65_537, 1_000_003])
async def test_a_value_of_any_size_comes_back_whole(store: Storage, size: int) -> None:
    value = bytes(range(256)) * (size // 256 + 1)
    await store.apply([Put("big/value", value[:size])])
    assert await store.get("big/value") == value[:size]


async def test_every_awkward_key_is_kept_apart_from_every_other(store: Storage) -> None:
    values = await fill(store)
    assert {key: await store.get(key) for key in values} == values


async def test_a_put_replaces_and_a_delete_removes_and_absent_is_fine(store: Storage) -> None:
    await store.apply([Put("x/y", b"1")])
    await store.apply([Put("x/y", b"2")])
    assert await store.get("x/y") == b"2"
    await store.apply([Delete("x/y"), Delete("x/y"), Delete("never/was")])
    assert await store.get("x/y") is None
    assert [key async for key in walk(store)] == []
    assert await store.list("") == []


async def test_a_folder_is_listed_as_long_as_it_holds_an_entry(store: Storage) -> None:
    """SeaweedFS shows emptied folders for some seconds; a LIST of ours does not."""
    keys = [f"many/{number:02}/x" for number in range(40)]
    await asyncio.gather(*(store.apply([Put(key, b"1")]) for key in keys))
    assert len(await store.list("many/")) == 40
    await asyncio.gather(*(store.apply([Delete(key)]) for key in keys[1:]))
    assert await store.list("many/") == ["00/"]
    assert await store.list("many/05/") == []
    assert await store.list("") == ["many/"]


async def test_operations_of_one_apply_happen_in_their_order(store: Storage) -> None:
    await store.apply([Put("k", b"1"), Delete("k"), Put("k", b"2"), Put("gone", b"3")])
    await store.apply([Put("gone", b"4"), Delete("gone")])
    assert await store.get("k") == b"2"
    assert await store.get("gone") is None


async def test_a_listing_shows_children_only_folders_with_a_slash_sorted_bytewise(
    store: Storage,
) -> None:
    await fill(store)
    top = await store.list("")
    assert top == sorted({key.split("/")[0] + ("/" if "/" in key else "") for key in AWKWARD_KEYS})
    assert ("a" in top, "a/" in top) == (True, True)
    assert await store.list("a/") == ["b"]
    assert await store.list("a b/") == ["c+d"]
    assert await store.list("nothing/here/") == []


async def test_a_prefix_is_a_folder_and_never_a_part_of_a_name(store: Storage) -> None:
    await store.apply([Put("foo/bar", b"1"), Put("foobar/x", b"2")])
    assert await store.list("foo/") == ["bar"]
    with pytest.raises(InvalidKeyError):
        await store.list("foo")


@pytest.mark.parametrize("key", ["a/../b", "..", "a..b", "x/.."])
async def test_two_dots_are_refused_everywhere(store: Storage, key: str) -> None:
    with pytest.raises(InvalidKeyError):
        await store.get(key)
    with pytest.raises(InvalidKeyError):
        await store.apply([Put(key, b"")])
    with pytest.raises(InvalidKeyError):
        await store.apply([Delete(key)])
    with pytest.raises(InvalidKeyError):
        await store.list(key + "/")


@pytest.mark.parametrize(
    "key", ["", "/a", "a/", "a//b", "a/./b", ".", "new\nline", "nul\0", "zero\u200bwidth", "\ud800"]
)
async def test_a_key_that_no_vault_writes_is_refused_and_reads_as_absent(
    store: Storage, key: str
) -> None:
    with pytest.raises(InvalidKeyError):
        await store.apply([Put("before", b"1"), Put(key, b"2")])
    assert await store.get(key) is None
    assert await store.get("before") is None, "a refused apply changes nothing"


async def test_walks_go_in_one_total_order_and_resume_after_any_key(store: Storage) -> None:
    await fill(store)
    ordered = sorted(AWKWARD_KEYS)
    assert [key async for key in walk(store)] == ordered
    for position, after in enumerate(ordered):
        assert [key async for key in walk(store, after=after)] == ordered[position + 1 :]
    assert [key async for key in walk(store, after="a/")] == [k for k in ordered if k > "a/"]


async def test_a_walk_below_a_prefix_gives_full_keys(store: Storage) -> None:
    await fill(store)
    assert [key async for key in walk(store, prefix="a/")] == ["a/b"]
    assert [key async for key in walk(store, prefix="a/", after="a/b")] == []
    assert [key async for key in walk(store, prefix="none/")] == []


async def test_an_inventory_that_states_sizes_and_tags_states_true_ones(store: Storage) -> None:
    import hashlib

    values = await fill(store)
    async for info in inventory(store):
        value = values[info.key]
        assert info.size in (None, len(value))
        assert info.etag_md5 in (None, hashlib.md5(value).hexdigest())


async def test_reading_everything_gives_every_entry_once_in_order(store: Storage) -> None:
    values = await fill(store)
    entries = [(entry.key, entry.value) async for entry in read_entries(store, parallel=4)]
    assert entries == sorted(values.items())


async def test_one_content_has_one_digest_wherever_it_lies(store: Storage) -> None:
    values = await fill(store)
    model = InMemStorage(values)
    assert await store_digest(store) == await store_digest(model)
    await store.apply([Put("a", b"other")])
    assert await store_digest(store) != await store_digest(model)


async def test_a_digest_leaves_out_what_a_copy_leaves_behind(store: Storage) -> None:
    await store.apply([Put("core/keyring", b"1")])
    before = await store_digest(store)
    await store.apply([Put("core/lock", b"x"), Put("core/leader/abc", b"y")])
    await store.apply([Put("core/migration", b"z"), Put("core/initialize-lock", b"w")])
    assert await store_digest(store) == before


async def test_many_writers_at_once_lose_nothing(store: Storage) -> None:
    async def write(writer: int) -> None:
        for number in range(5):
            await store.apply(
                [Put(f"w/{writer}/{number}", b"%d" % number), Put(f"last/{writer}", b"%d" % number)]
            )

    await asyncio.gather(*(write(writer) for writer in range(12)))
    assert len([key async for key in walk(store, prefix="w/")]) == 60
    assert {await store.get(f"last/{writer}") for writer in range(12)} == {b"4"}


async def test_a_reader_never_sees_a_value_that_nobody_wrote(store: Storage) -> None:
    written = {b"%d" % number * 1000 for number in range(15)} | {None}
    seen = set()

    async def read() -> None:
        for _ in range(60):
            seen.add(await store.get("hot"))
            await asyncio.sleep(0)

    reader = asyncio.create_task(read())
    for number in range(15):
        await store.apply([Put("hot", b"%d" % number * 1000)])
    await reader
    assert seen <= written
    assert await store.get("hot") == b"14" * 1000


async def test_closing_twice_is_harmless(store: Storage) -> None:
    await store.apply([Put("a", b"1")])
    await store.close()
    await store.close()
