"""KV version 2, one law a test: what each path answers and what it must never do."""

import asyncio
import json
from typing import Any

import pytest

from tests.support.faulty_storage import Killed
from tests.support.opened import context_for, fresh_barrier, request
from tests.support.straight import straight
from zvault.barrier.barrier import Barrier
from zvault.base.clock import ManualClock
from zvault.engine.api import Response
from zvault.engine.backends.kv import v2 as kv2
from zvault.engine.backends.kv.cache import Kv2Cache
from zvault.engine.errors import (
    InternalEngineError,
    InvalidRequestError,
    UnsupportedOperationError,
)
from zvault.engine.userdata import EncodedData
from zvault.records import gojson
from zvault.records.kv2 import KeyMetadata, parse_key_metadata
from zvault.records.mounts import MountEntry
from zvault.storage.api import Operation, Storage
from zvault.storage.inmem import InMemStorage

ENTRY = MountEntry(path="kv/", type="kv", uuid="u", backend_aware_uuid="b")


class World:
    """One mount on a fresh store, and short words for its calls."""

    def __init__(self, barrier: Barrier, clock: ManualClock) -> None:
        self.barrier = barrier
        self.clock = clock
        self.backend = kv2.make(context_for(barrier, ENTRY, clock))

    async def call(self, operation: str, path: str, data: Any = None) -> Response | None:
        return await self.backend.handle(request(operation, path, data))

    async def write(self, path: str, data: Any, **options: Any) -> dict[str, Any]:
        body: dict[str, Any] = {"data": data}
        if options:
            body["options"] = options
        return shown(await self.call("update", f"data/{path}", body))

    async def read(self, path: str, version: Any = None) -> dict[str, Any]:
        asked = {} if version is None else {"version": version}
        return shown(await self.call("read", f"data/{path}", asked))


def shown(answer: Response | None) -> dict[str, Any]:
    assert answer is not None
    assert answer.data is not None
    return answer.data


async def new_world(storage: Storage | None = None) -> World:
    clock = ManualClock()
    world = World(await fresh_barrier(storage, clock), clock)
    await world.backend.start()
    return world


@pytest.fixture
async def world() -> World:
    return await new_world()


async def test_a_read_that_was_read_before_never_suspends(world: World) -> None:
    await world.write("a", {"k": "v"})
    await world.read("a")
    answer = straight(world.backend.handle(request("read", "data/a")))
    assert shown(answer)["data"] == {"k": "v"}


async def test_numbers_come_back_with_the_digits_they_were_written_with(world: World) -> None:
    text = '{"a":1,"b":0.5,"c":1.10,"d":1e5,"e":123456789012345678901234567890,"f":-0.0,"g":1.0}'
    await world.write("n", gojson.loads_object(text))
    answer = await world.read("n")
    assert isinstance(answer, EncodedData)
    assert answer.encoded.startswith(b'{"data":' + text.encode() + b',"metadata":{')


async def test_data_is_stored_as_go_marshals_it(world: World) -> None:
    await world.write("s", gojson.loads_object('{"z":"<&>","a":null,"m":{"y":1,"b":[]}}'))
    answer = await world.read("s")
    assert isinstance(answer, EncodedData)
    stored = b'{"a":null,"m":{"b":[],"y":1},"z":"\\u003c\\u0026\\u003e"}'
    assert answer.encoded.startswith(b'{"data":' + stored)
    assert json.loads(answer.encoded) == answer


async def test_an_answer_that_is_shared_cannot_be_changed(world: World) -> None:
    await world.write("a", {"k": "v"})
    answer = await world.read("a")
    with pytest.raises(TypeError):
        answer["data"] = {}
    with pytest.raises(TypeError):
        answer.update(x=1)
    assert await world.read("a") is answer


async def test_of_two_check_and_set_writes_at_once_one_wins(world: World) -> None:
    await world.write("c", {"n": 0})

    async def attempt(number: int) -> bool:
        try:
            await world.write("c", {"n": number}, cas=1)
        except InvalidRequestError:
            return False
        return True

    won = await asyncio.gather(*(attempt(number) for number in range(1, 9)))
    assert sum(won) == 1
    assert (await world.read("c"))["data"] == {"n": won.index(True) + 1}
    assert (await world.read("c"))["metadata"]["version"] == 2


async def test_writes_at_once_all_become_versions(world: World) -> None:
    await asyncio.gather(*(world.write("w", {"n": number}) for number in range(8)))
    seen = {(await world.read("w", version))["data"]["n"] for version in range(1, 9)}
    assert seen == set(range(8))


@pytest.mark.parametrize(
    ("cas", "message"),
    [
        (2, "check-and-set parameter did not match the current version"),
        (0, "check-and-set parameter did not match the current version"),
        (-1, "check-and-set parameter did not match the current version"),
        ("9", "check-and-set parameter did not match the current version"),
        ("x", "error parsing check-and-set parameter"),
        (1.5, "error parsing check-and-set parameter"),
        (True, "error parsing check-and-set parameter"),
        (None, "error parsing check-and-set parameter"),
    ],
)
async def test_a_check_and_set_that_does_not_fit_writes_nothing(
    world: World, cas: Any, message: str
) -> None:
    await world.write("c", {"n": 0})
    with pytest.raises(InvalidRequestError, match=message):
        await world.write("c", {"n": 1}, cas=cas)
    assert (await world.read("c"))["metadata"]["version"] == 1


async def test_check_and_set_may_be_required_by_the_mount_or_the_key(world: World) -> None:
    for path, settings in (
        ("config", {"cas_required": True}),
        ("metadata/k", {"cas_required": "1"}),
    ):
        await world.call("update", path, settings)
        with pytest.raises(InvalidRequestError, match="required for this call"):
            await world.write("k", {"n": 1})
        if path == "config":
            await world.call("update", "config", {"cas_required": False})
    await world.write("k", {"n": 1}, cas=0)


async def test_cas_zero_is_refused_after_the_latest_version_was_deleted(world: World) -> None:
    await world.write("d", {"n": 1})
    await world.call("delete", "data/d")
    with pytest.raises(InvalidRequestError, match="did not match"):
        await world.write("d", {"n": 2}, cas=0)
    await world.write("d", {"n": 2}, cas=1)


@pytest.mark.parametrize(
    "body",
    [
        {"a": "hunter2"},
        {},
        {"data": "hunter2"},
        {"data": ["hunter2"]},
        {"data": {}, "options": "hunter2"},
    ],
)
async def test_a_write_of_the_wrong_shape_is_refused_without_repeating_it(
    world: World, body: dict[str, Any]
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        await world.call("update", "data/x", body)
    assert "hunter2" not in caught.value.message
    assert await world.call("read", "data/x") is None


async def test_null_data_is_a_version_whose_data_is_null(world: World) -> None:
    await world.write("n", None)
    answer = await world.read("n")
    assert answer["data"] is None
    assert isinstance(answer, EncodedData)
    assert json.loads(answer.encoded) == answer
    assert shown(await world.call("read", "subkeys/n"))["subkeys"] is None
    with pytest.raises(InternalEngineError, match="resource does not exist"):
        await world.call("patch", "data/n", {"data": {"a": 1}})


async def test_a_deleted_version_answers_404_with_its_metadata_and_comes_back(
    world: World,
) -> None:
    await world.write("d", {"n": 1})
    await world.call("delete", "data/d")
    answer = await world.call("read", "data/d")
    assert answer is not None
    assert answer.status == 404
    assert shown(answer)["data"] is None
    assert shown(answer)["metadata"]["deletion_time"]
    await world.call("update", "undelete/d", {"versions": [1]})
    assert (await world.read("d"))["data"] == {"n": 1}
    assert (await world.read("d"))["metadata"]["deletion_time"] == ""


async def test_a_destroyed_version_never_comes_back(world: World) -> None:
    await world.write("d", {"n": 1})
    await world.write("d", {"n": 2})
    await world.read("d", 1)
    await world.call("update", "delete/d", {"versions": [1]})
    await world.call("update", "destroy/d", {"versions": "1"})
    await world.call("update", "undelete/d", {"versions": [1]})
    answer = await world.call("read", "data/d", {"version": "1"})
    assert answer is not None
    assert answer.status == 404
    assert shown(answer)["metadata"]["destroyed"] is True
    assert shown(answer)["metadata"]["deletion_time"] != ""
    folders = await world.barrier.list("logical/u/b/versions/")
    assert len(folders) == 1


async def test_deleting_again_keeps_the_first_time(world: World) -> None:
    await world.write("d", {"n": 1})
    await world.call("delete", "data/d")
    first = shown(await world.call("read", "metadata/d"))["versions"]["1"]["deletion_time"]
    world.clock.advance(5)
    await world.call("update", "delete/d", {"versions": [1]})
    assert shown(await world.call("read", "metadata/d"))["versions"]["1"]["deletion_time"] == first


async def test_a_version_deletes_itself_at_its_time_also_out_of_memory(world: World) -> None:
    await world.call("update", "metadata/t", {"delete_version_after": "10s"})
    written = await world.write("t", {"n": 1})
    assert written["deletion_time"]
    await world.read("t")
    world.clock.advance(9.999)
    assert (await world.read("t"))["data"] == {"n": 1}
    world.clock.advance(0.001)
    answer = await world.call("read", "data/t")
    assert answer is not None
    assert answer.status == 404


@pytest.mark.parametrize(
    ("mount", "key", "wanted"),
    [
        ("0s", "0s", ""),
        ("1h", "0s", "1h"),
        ("0s", "2h", "2h"),
        ("1h", "2h", "1h"),
        ("3h", "2h", "2h"),
        ("-1s", "2h", ""),
        ("-5m", "0s", ""),
    ],
)
async def test_the_smaller_delay_counts_and_a_negative_one_of_the_mount_switches_it_off(
    world: World, mount: str, key: str, wanted: str
) -> None:
    await world.call("update", "config", {"delete_version_after": mount})
    await world.call("update", "metadata/t", {"delete_version_after": key})
    answer = await world.write("t", {})
    hours = {"": None, "1h": "01:", "2h": "02:"}[wanted]
    start, end = answer["created_time"], answer["deletion_time"]
    assert (end == "") is (hours is None)
    if hours:
        assert int(end[11:13]) - int(start[11:13]) in (int(hours[:2]), int(hours[:2]) - 24)


async def test_the_mounts_settings_read_back_as_go_durations(world: World) -> None:
    assert shown(await world.call("read", "config")) == {
        "cas_required": False,
        "delete_version_after": "0s",
        "max_versions": 0,
    }
    for given, read in (("30m", "30m0s"), (86400, "24h0m0s"), ("-1s", "-1s"), (-90, "-1s")):
        await world.call("update", "config", {"delete_version_after": given, "max_versions": "7"})
        config = shown(await world.call("read", "config"))
        assert (config["delete_version_after"], config["max_versions"]) == (read, 7)
    again = World(world.barrier, world.clock)
    await again.backend.start()
    assert shown(await again.call("read", "config")) == config


async def test_a_setting_that_does_not_parse_changes_nothing(world: World) -> None:
    for body in ({"delete_version_after": "x"}, {"max_versions": "many"}, {"cas_required": "?"}):
        with pytest.raises(InvalidRequestError, match="Field validation failed"):
            await world.call("update", "config", {"max_versions": 3, **body})
        with pytest.raises(InvalidRequestError, match="Field validation failed"):
            await world.call("update", "metadata/m", {"custom_metadata": {"a": "b"}, **body})
    assert shown(await world.call("read", "config"))["max_versions"] == 0
    assert await world.call("read", "metadata/m") is None


async def test_metadata_can_be_written_before_any_data(world: World) -> None:
    await world.call("update", "metadata/m", {})
    assert await world.call("read", "metadata/m") is None
    await world.call("create", "metadata/m", {"custom_metadata": {"owner": "me"}})
    meta = shown(await world.call("read", "metadata/m"))
    assert (meta["current_version"], meta["oldest_version"], meta["versions"]) == (0, 0, {})
    assert meta["custom_metadata"] == {"owner": "me"}
    assert await world.call("read", "data/m") is None
    await world.write("m", {"n": 1}, cas=0)
    assert (await world.read("m"))["metadata"]["custom_metadata"] == {"owner": "me"}


async def test_writing_metadata_shows_in_answers_that_were_remembered(world: World) -> None:
    await world.write("m", {"n": 1})
    await world.read("m")
    await world.call("update", "metadata/m", {"custom_metadata": {"a": "b"}})
    assert (await world.read("m"))["metadata"]["custom_metadata"] == {"a": "b"}


@pytest.mark.parametrize(
    ("custom", "message"),
    [
        ({str(n): "v" for n in range(65)}, "at most 64 keys, provided 65"),
        ({"k" * 129: "v"}, "is 129 but must be 0 < len\\(key\\) <= 128"),
        ({"": "v"}, 'length of key "" is 0'),
        ({"k": "v" * 513}, "is 513 but must be 0 < len\\(value\\) <= 512"),
        ({"k": ""}, 'length of value for key "k" is 0'),
        ({"k": None}, 'length of value for key "k" is 0'),
        ({"k": "\x07"}, 'value for key "k" contains unprintable'),
        ({"\x07": "v"}, "contains unprintable"),
        ({"k": {"a": 1}}, "custom_metadata validation failed"),
        ("x", "custom_metadata"),
    ],
)
async def test_custom_metadata_has_limits(world: World, custom: Any, message: str) -> None:
    await world.call("update", "metadata/m", {"custom_metadata": {"kept": "yes"}})
    with pytest.raises(InvalidRequestError, match=message):
        await world.call("update", "metadata/m", {"custom_metadata": custom})
    assert shown(await world.call("read", "metadata/m"))["custom_metadata"] == {"kept": "yes"}


async def test_patching_metadata_merges_and_null_puts_back_the_default(world: World) -> None:
    assert shown_status(await world.call("patch", "metadata/m", {"max_versions": 2})) == 404
    start = {"max_versions": 5, "cas_required": True, "custom_metadata": {"a": "1", "b": "2"}}
    await world.call("update", "metadata/m", start)
    patch = {"max_versions": None, "custom_metadata": {"a": None, "c": "3"}}
    await world.call("patch", "metadata/m", patch)
    meta = shown(await world.call("read", "metadata/m"))
    assert meta["max_versions"] == 0
    assert meta["cas_required"] is True
    assert meta["custom_metadata"] == {"b": "2", "c": "3"}
    await world.call("patch", "metadata/m", {"custom_metadata": None})
    assert shown(await world.call("read", "metadata/m"))["custom_metadata"] is None


def shown_status(answer: Response | None) -> int:
    assert answer is not None
    return answer.status


async def test_a_patch_makes_a_new_version_out_of_the_latest(world: World) -> None:
    assert shown_status(await world.call("patch", "data/p", {"data": {"a": 1}})) == 404
    await world.write("p", {"a": 1, "b": {"c": 2, "d": 3}})
    patch = {"data": {"a": None, "b": {"c": None, "e": [1, None, {"x": None, "y": 1}]}}}
    await world.call("patch", "data/p", patch)
    answer = await world.read("p")
    assert answer["data"] == {"b": {"d": 3, "e": [1, None, {"y": 1}]}}
    assert answer["metadata"]["version"] == 2
    assert (await world.read("p", 1))["data"] == {"a": 1, "b": {"c": 2, "d": 3}}
    with pytest.raises(InvalidRequestError, match="did not match"):
        await world.call("patch", "data/p", {"data": {}, "options": {"cas": 1}})
    await world.call("delete", "data/p")
    gone = await world.call("patch", "data/p", {"data": {"a": 1}})
    assert shown_status(gone) == 404
    assert shown(gone)["version"] == 2


async def test_subkeys_show_names_and_never_a_value(world: World) -> None:
    await world.write("s", {"x": {"deep": {"er": "secret"}, "l": ["secret"]}, "y": "secret"})
    for depth, wanted in (
        (0, {"x": {"deep": {"er": None}, "l": None}, "y": None}),
        (1, {"x": None, "y": None}),
        ("2", {"x": {"deep": None, "l": None}, "y": None}),
    ):
        answer = shown(await world.call("read", "subkeys/s", {"depth": depth}))
        assert answer["subkeys"] == wanted
        assert "secret" not in str(answer)
        assert answer["metadata"]["version"] == 1
    await world.call("delete", "data/s")
    assert shown_status(await world.call("read", "subkeys/s")) == 404


@pytest.mark.parametrize("versions", [[], None, "", "x", ["1", "x"]])
async def test_version_numbers_must_be_given_and_be_numbers(world: World, versions: Any) -> None:
    await world.write("v", {"n": 1})
    for path in ("delete/v", "undelete/v", "destroy/v"):
        with pytest.raises(InvalidRequestError):
            await world.call("update", path, {"versions": versions})
    assert (await world.read("v"))["data"] == {"n": 1}


@pytest.mark.parametrize("number", [-1, 0, 2**31, 2**63 - 1])
async def test_a_number_no_version_can_have_is_a_version_that_does_not_exist(
    world: World, number: int
) -> None:
    await world.write("v", {"n": 1})
    for path in ("delete/v", "undelete/v", "destroy/v"):
        assert await world.call("update", path, {"versions": [number]}) is None
    if number > 0:
        assert await world.call("read", "data/v", {"version": str(number)}) is None
        assert await world.call("read", "subkeys/v", {"version": number}) is None
    assert (await world.read("v"))["data"] == {"n": 1}


async def test_a_number_beyond_64_bits_is_refused(world: World) -> None:
    await world.write("v", {"n": 1})
    with pytest.raises(InvalidRequestError, match="out of range"):
        await world.call("read", "data/v", {"version": str(2**64)})
    with pytest.raises(InvalidRequestError, match="out of range"):
        await world.call("update", "destroy/v", {"versions": [2**64]})


async def test_what_never_existed_can_be_deleted(world: World) -> None:
    for path in ("delete/no", "undelete/no", "destroy/no"):
        assert await world.call("update", path, {"versions": [1, 99]}) is None
    assert await world.call("delete", "data/no") is None
    assert await world.call("delete", "metadata/no") is None


async def test_the_root_of_a_section_is_only_for_listing(world: World) -> None:
    for path in ("data", "metadata", "delete", "undelete", "destroy"):
        answer = await world.call("read", path, {})
        assert answer is not None
        assert answer.status == 404
        assert answer.warnings == [
            "Non-listing operations on the root of a K/V v2 mount are not supported."
        ]


@pytest.mark.parametrize(
    ("operation", "path", "verb"),
    [
        ("read", "foo", "get"),
        ("list", "foo/", "list"),
        ("update", "foo", "put"),
        ("delete", "foo", "delete"),
        ("patch", "foo", "patch"),
        ("read", "data/", "get"),
        ("read", "data/dir/", "get"),
        ("read", "", "get"),
        ("list", "", "list"),
        ("list", "config/", "list"),
    ],
)
async def test_a_version_one_path_gets_a_hint(
    world: World, operation: str, path: str, verb: str
) -> None:
    answer = await world.call(operation, path, {"data": {}})
    assert answer is not None
    assert answer.status == 404
    assert answer.data is None
    assert f"'vault kv {verb}'" in answer.warnings[0]


@pytest.mark.parametrize(
    ("operation", "path"),
    [
        ("list", "data/x/"),
        ("read", "delete/x"),
        ("delete", "undelete/x"),
        ("update", "subkeys/x"),
        ("delete", "config"),
        ("patch", "config"),
    ],
)
async def test_an_operation_a_path_does_not_have_is_refused(
    world: World, operation: str, path: str
) -> None:
    with pytest.raises(UnsupportedOperationError):
        await world.call(operation, path, {"versions": [1]})


async def test_lists_show_names_of_one_level_sorted(world: World) -> None:
    for path in ("b", "a", "a/b", "a/c/d", "ü/ж", "with space/%25"):
        await world.write(path, {})
    assert shown(await world.call("list", "metadata/"))["keys"] == [
        "a",
        "a/",
        "b",
        "with space/",
        "ü/",
    ]
    assert shown(await world.call("list", "metadata/a/"))["keys"] == ["b", "c/"]
    assert await world.call("list", "metadata/none/") is None


async def test_no_name_and_no_value_is_in_clear_in_storage() -> None:
    storage = InMemStorage()
    world = await new_world(storage)
    await world.write("customers/visa", {"pin": "hunter2-hunter2"})
    stored = [storage]
    text = repr(vars(stored[0]))
    assert "customers" not in text
    assert "hunter2" not in text


async def test_existence_is_asked_of_data_and_metadata_only(world: World) -> None:
    async def exists(path: str) -> bool | None:
        return await world.backend.exists(request("update", path))

    assert await exists("data/x") is False
    await world.write("x", {})
    await world.call("delete", "data/x")
    assert await exists("data/x") is True
    assert await exists("metadata/x") is True
    for path in ("config", "delete/x", "destroy/x", "data/"):
        assert await exists(path) is None


async def test_version_data_that_is_missing_is_an_error_and_never_an_empty_secret(
    world: World,
) -> None:
    await world.write("x", {"n": 1})
    view = context_for(world.barrier, ENTRY, world.clock).view.sub("b/versions/")
    (folder,) = await view.list()
    (name,) = await view.list(folder)
    await view.delete(folder + name)
    world.backend._store.cache.drop("x")
    with pytest.raises(InternalEngineError, match="could not find version data"):
        await world.read("x")


class FailingOnce(InMemStorage):
    """Fails the next write after doing it."""

    fail = False

    async def apply(self, operations: Any) -> None:
        await super().apply(operations)
        if self.fail:
            self.fail = False
            raise Killed("the disk said no, after all")


async def test_a_write_that_failed_is_read_again_from_storage() -> None:
    storage = FailingOnce()
    world = await new_world(storage)
    await world.write("x", {"n": 1})
    await world.read("x")
    storage.fail = True
    with pytest.raises(Killed):
        await world.write("x", {"n": 2})
    assert (await world.read("x"))["data"] == {"n": 2}
    assert (await world.write("x", {"n": 3}))["version"] == 3


class Slow(InMemStorage):
    """Waits before every read until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.gate: asyncio.Event | None = None

    async def get(self, key: str) -> bytes | None:
        value = await super().get(key)
        if self.gate is not None:
            await self.gate.wait()
        return value


async def test_a_slow_read_never_puts_back_what_a_write_replaced_meanwhile() -> None:
    storage = Slow()
    world = await new_world(storage)
    await world.write("x", {"n": 1})
    world.backend._store.cache.drop("x")
    storage.gate = asyncio.Event()
    reading = asyncio.create_task(world.read("x"))
    writing = asyncio.create_task(world.write("x", {"n": 2}))
    await asyncio.sleep(0)
    storage.gate.set()
    await asyncio.gather(reading, writing)
    storage.gate = None
    assert (await world.read("x"))["data"] == {"n": 2}


async def test_memory_is_bounded_and_forgetting_changes_no_answer(world: World) -> None:
    small = Kv2Cache(limit_bytes=64 * 1024)
    world.backend._store.cache = small
    world.backend._answers = small
    for number in range(60):
        await world.write(f"p{number}", {"v": "x" * 500})
    for number in range(60):
        assert (await world.read(f"p{number}"))["data"] == {"v": "x" * 500}
        assert 0 <= small.size <= 64 * 1024
    assert 0 < len(small) < 60
    big = {"v": "x" * 100_000}
    await world.write("big", big)
    assert (await world.read("big"))["data"] == big
    assert small.size <= 64 * 1024
    for number in range(60):
        small.drop(f"p{number}")
    small.drop("big")
    assert small.size == 0


async def test_a_mount_that_had_version_one_data_serves_it_as_first_versions() -> None:
    clock = ManualClock()
    barrier = await fresh_barrier(clock=clock)
    context = context_for(barrier, ENTRY, clock)
    await context.view.put("old", b'{"k":1.10}')
    await context.view.put("deep/er", b'{"k":"v"}\n')
    backend = kv2.make(context)
    await backend.start()
    answer = await backend.handle(request("read", "data/old"))
    assert isinstance(shown(answer), EncodedData)
    assert shown(answer)["metadata"]["version"] == 1
    assert b'{"k":1.10}' in shown(answer).encoded  # type: ignore[attr-defined]
    listed = await backend.handle(request("list", "metadata/"))
    assert shown(listed)["keys"] == ["deep/", "old"]
    assert await context.view.list() == ["b/"]


async def test_fields_of_a_newer_server_are_kept_when_metadata_is_rewritten(world: World) -> None:
    await world.write("x", {"n": 1})
    view = context_for(world.barrier, ENTRY, world.clock).view.sub("b/metadata/")
    (name,) = await view.list()
    stored = await view.get(name)
    assert stored is not None
    unknown = b"\x5a\x07\x0a\x05actor"  # field 11, an Attribution
    await view.put(name, stored + unknown)
    world.backend._store.cache.drop("x")
    await world.write("x", {"n": 2})
    rewritten = await view.get(name)
    assert rewritten is not None
    assert unknown in rewritten
    assert parse_key_metadata(rewritten).current_version == 2
    assert isinstance(parse_key_metadata(rewritten), KeyMetadata)


async def test_an_openbao_store_keeps_its_own_rule_about_metadata() -> None:
    clock = ManualClock()
    barrier = await fresh_barrier(clock=clock, family="openbao")
    world = World(barrier, clock)
    await world.backend.start()
    await world.call("update", "metadata/m", {"max_versions": 3})
    store = world.backend._store
    known = await store.load("m")
    assert known is not None
    assert known.meta.current_metadata_version == 1
    known.meta.metadata_cas_required = True
    with pytest.raises(InvalidRequestError, match="metadata check-and-set parameter required"):
        await world.call("update", "metadata/m", {"max_versions": 4})
    with pytest.raises(InvalidRequestError, match="did not match"):
        await world.call("update", "metadata/m", {"max_versions": 4, "metadata_cas": 0})
    await world.call("update", "metadata/m", {"max_versions": 4, "metadata_cas": 1})


async def test_starting_twice_writes_nothing_the_second_time() -> None:
    class Counting(InMemStorage):
        writes = 0

        async def apply(self, operations: Any) -> None:
            operations = list[Operation](operations)
            self.writes += len(operations)
            await super().apply(operations)

    storage = Counting()
    world = await new_world(storage)
    before = storage.writes
    await World(world.barrier, world.clock).backend.start()
    assert storage.writes == before


@pytest.mark.parametrize("path", ["a/../b", "../b", "a/..", "a//b", "a/./b", "."])
async def test_a_path_never_reaches_another_ones_secret(world: World, path: str) -> None:
    await world.write("b", {"n": 1})
    await world.write("a/b", {"n": 2})
    for operation in ("read", "update", "patch", "delete"):
        with pytest.raises(InvalidRequestError, match="relative paths not supported"):
            await world.call(operation, f"data/{path}", {"data": {}})
    with pytest.raises(InvalidRequestError, match="relative paths not supported"):
        await world.call("delete", f"metadata/{path}")
    if path != ".":
        with pytest.raises(InvalidRequestError, match="relative paths not supported"):
            await world.call("list", f"metadata/{path}/")
    assert (await world.read("b"))["data"] == {"n": 1}


async def test_a_read_waits_for_no_write_under_way() -> None:
    class Stuck(InMemStorage):
        gate: asyncio.Event | None = None

        async def apply(self, operations: Any) -> None:
            if self.gate is not None:
                await self.gate.wait()
            await super().apply(operations)

    storage = Stuck()
    world = await new_world(storage)
    await world.write("x", {"n": 1})
    storage.gate = asyncio.Event()
    writing = asyncio.create_task(world.write("x", {"n": 2}))
    await asyncio.sleep(0)
    answer = straight(world.backend.handle(request("read", "data/x")))
    assert shown(answer)["data"] == {"n": 1}
    storage.gate.set()
    await writing
    assert (await world.read("x"))["data"] == {"n": 2}
    assert (await world.read("x", 1))["data"] == {"n": 1}


async def test_a_version_just_written_deletes_itself_on_time_before_it_was_ever_read(
    world: World,
) -> None:
    await world.call("update", "metadata/t", {"delete_version_after": "10s"})
    await world.write("t", {"n": 1})
    world.clock.advance(10)
    answer = await world.call("read", "data/t")
    assert answer is not None
    assert answer.status == 404


async def test_data_nested_very_deeply_is_an_answer_or_a_refusal(world: World) -> None:
    deep: dict[str, Any] = {}
    for _ in range(200):
        deep = {"d": deep}
    await world.write("deep", deep)
    assert (await world.read("deep"))["data"] == deep
    assert shown(await world.call("read", "subkeys/deep", {"depth": 1}))["subkeys"] == {"d": None}
    await world.call("patch", "data/deep", {"data": {"x": 1}})
    assert (await world.read("deep"))["data"] == {**deep, "x": 1}
    for _ in range(2000):
        deep = {"d": deep}
    for operation in ("update", "patch"):
        with pytest.raises(InvalidRequestError, match="nested too deeply"):
            await world.call(operation, "data/deep", {"data": deep})
    assert (await world.read("deep"))["metadata"]["version"] == 2
