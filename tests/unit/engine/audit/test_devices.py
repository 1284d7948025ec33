"""Enabling and disabling audit devices: durable, probed, and never a device that cannot write."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.faulty_storage import Killed
from tests.support.opened import DAY_OF_THE_GOLDEN_STORES_NS, fresh_barrier, open_golden
from zvault.barrier.barrier import Barrier
from zvault.base.clock import ManualClock
from zvault.engine.audit.broker import AuditBroker
from zvault.engine.audit.devices import AuditDevices, NoAuditDeviceError
from zvault.engine.audit.hashing import Hasher
from zvault.engine.errors import InvalidRequestError
from zvault.engine.telemetry.metrics import Metrics
from zvault.records.mounts import AUDIT, TABLE_KEYS, MountEntry, MountTable, decode_table
from zvault.storage.api import Put
from zvault.storage.inmem import InMemStorage


def made(barrier: Barrier) -> AuditDevices:
    clock = ManualClock(DAY_OF_THE_GOLDEN_STORES_NS)
    return AuditDevices(
        barrier,
        AuditBroker(clock, Metrics(clock)),
        clock=clock,
        random_bytes=os.urandom,
        builtin_version="v1.16.3+builtin.vault",
    )


@pytest.fixture
async def barrier() -> Barrier:
    return await fresh_barrier()


def options(path: Path, **more: str) -> dict[str, str]:
    return {"file_path": str(path), **more}


async def test_enabling_writes_a_probe_and_survives_a_restart(
    barrier: Barrier, tmp_path: Path
) -> None:
    path = tmp_path / "audit.log"
    devices = made(barrier)
    await devices.start()
    await devices.enable("file", kind="file", description="d", options=options(path))
    (probe,) = [json.loads(line) for line in path.read_text().splitlines()]
    assert probe["request"]["path"] == "sys/audit/test"
    assert devices.broker.enabled
    hashed = devices.hash("file/", "x")
    await devices.stop()
    again = made(barrier)
    assert await again.start() == []
    assert again.broker.enabled
    assert again.hash("file", "x") == hashed
    entry = again.list()["file/"]
    assert (entry.type, entry.description, entry.local) == ("file", "d", False)
    assert entry.options == options(path)
    assert entry.accessor.startswith("audit_file_")


async def test_the_tables_are_written_in_vaults_two_halves(
    barrier: Barrier, tmp_path: Path
) -> None:
    devices = made(barrier)
    await devices.start()
    await devices.enable("one", kind="file", options=options(tmp_path / "1"))
    await devices.enable("two", kind="file", options=options(tmp_path / "2"), local=True)
    for key, path in zip(TABLE_KEYS[AUDIT], ("one/", "two/"), strict=True):
        stored = await barrier.get(key)
        assert stored is not None
        table = decode_table(stored)
        assert table.type == AUDIT
        assert [entry.path for entry in table.entries] == [path]
        assert {entry.table for entry in table.entries} == {AUDIT}


async def test_disabling_forgets_the_salt_and_the_file_can_go(
    barrier: Barrier, tmp_path: Path
) -> None:
    devices = made(barrier)
    await devices.start()
    await devices.enable("file", kind="file", options=options(tmp_path / "a"))
    before = devices.hash("file", "x")
    assert await barrier.list("audit/")
    assert await devices.disable("file") is True
    assert await devices.disable("file") is False
    assert not devices.broker.enabled
    assert await barrier.list("audit/") == []
    with pytest.raises(InvalidRequestError, match='unknown audit backend "file/"'):
        devices.hash("file", "x")
    await devices.enable("file", kind="file", options=options(tmp_path / "a"))
    assert devices.hash("file", "x") != before


@pytest.mark.parametrize(
    ("path", "kind", "more", "message"),
    [
        ("g", "nope", {}, 'unknown backend type: "nope"'),
        ("g", "", {}, 'unknown backend type: ""'),
        ("h", "file", {"file_path": ""}, "file_path is required"),
        ("file", "file", {}, "path already in use"),
        ("file/below", "file", {}, "path already in use"),
        ("x", "file", {"log_raw": "maybe"}, "must be true or false"),
        ("", "file", {}, "missing path"),
    ],
)
async def test_what_cannot_be_enabled_leaves_nothing(
    barrier: Barrier, tmp_path: Path, path: str, kind: str, more: dict[str, str], message: str
) -> None:
    devices = made(barrier)
    await devices.start()
    await devices.enable("file", kind="file", options=options(tmp_path / "a"))
    salts = await barrier.list("audit/")
    with pytest.raises(InvalidRequestError, match=message):
        await devices.enable(path, kind=kind, options={**options(tmp_path / "b"), **more})
    assert list(devices.list()) == ["file/"]
    assert await barrier.list("audit/") == salts


async def test_a_file_that_cannot_be_written_is_refused_with_the_reason(
    barrier: Barrier, tmp_path: Path
) -> None:
    devices = made(barrier)
    await devices.start()
    with pytest.raises(InvalidRequestError, match="sanity check failed; unable to open"):
        await devices.enable("file", kind="file", options=options(tmp_path))
    with pytest.raises(InvalidRequestError, match="audit backend failed test message"):
        await devices.enable("full", kind="file", options=options(Path("/dev/full")))
    await devices.enable("full", kind="file", options=options(Path("/dev/full"), skip_test="true"))
    assert await barrier.list("audit/")


async def test_a_table_that_could_not_be_stored_enables_nothing(tmp_path: Path) -> None:
    class Refusing(InMemStorage):
        refuses = False

        async def apply(self, operations: Any) -> None:
            if self.refuses:
                raise Killed
            await super().apply(operations)

    storage = Refusing()
    devices = made(await fresh_barrier(storage))
    await devices.start()
    storage.refuses = True
    with pytest.raises(Killed):
        await devices.enable("file", kind="file", options=options(tmp_path / "a"))
    assert not devices.broker.enabled
    assert devices.list() == {}


async def test_one_device_that_opens_is_enough_to_start_and_none_is_not(
    barrier: Barrier, tmp_path: Path
) -> None:
    devices = made(barrier)
    await devices.start()
    for name in ("one", "two"):
        await devices.enable(name, kind="file", options=options(tmp_path / name))
    await devices.stop()
    (tmp_path / "two").unlink()
    (tmp_path / "two").mkdir()
    again = made(barrier)
    (error,) = await again.start()
    assert "two/" in error.message
    assert again.broker.enabled
    await again.stop()
    (tmp_path / "one").unlink()
    (tmp_path / "one").mkdir()
    with pytest.raises(NoAuditDeviceError, match="no audit device of this Vault can be opened"):
        await made(barrier).start()


async def test_a_device_of_a_foreign_type_is_named_and_kept(
    barrier: Barrier, tmp_path: Path
) -> None:
    devices = made(barrier)
    await devices.start()
    await devices.enable("file", kind="file", options=options(tmp_path / "a"))
    foreign = MountEntry(
        table=AUDIT, path="net/", type="socket", uuid="u", options={"address": ":1"}
    )
    table = MountTable(AUDIT, (*devices.list().values(), foreign), {"newer": 1})
    await barrier.apply([Put(TABLE_KEYS[AUDIT][0], table.encode())])
    await devices.stop()
    again = made(barrier)
    (error,) = await again.start()
    assert "net/" in error.message
    await again.enable("more", kind="file", options=options(tmp_path / "b"))
    stored = await barrier.get(TABLE_KEYS[AUDIT][0])
    assert stored is not None
    kept = decode_table(stored)
    assert {entry.path for entry in kept.entries} == {"file/", "net/", "more/"}
    assert kept.extra == {"newer": 1}


async def test_the_device_of_a_real_vault_goes_on_in_its_file_under_its_salt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden, barrier = await open_golden("vault-audited", tmp_path)
    monkeypatch.chdir(golden.root)
    before = (golden.root / "audit.log").read_text()
    devices = made(barrier)
    assert await devices.start() == []
    assert list(devices.list()) == ["file/"]
    assert devices.hash("file", golden.expected["root_token"]) in before
    assert (golden.root / "audit.log").read_text() == before
    await devices.stop()
    await barrier.storage.close()


async def test_headers_survive_a_restart(barrier: Barrier) -> None:
    devices = made(barrier)
    await devices.start()
    await devices.headers.set("X-Test", hmac=True)
    again = made(barrier)
    await again.start()
    assert again.headers.all() == {"x-test": True}
    assert again.headers.shown({"x-TEST": ["v"]}, Hasher("s")) == {
        "x-test": [Hasher("s").text("v")]
    }


async def test_an_empty_input_is_not_hashed(barrier: Barrier, tmp_path: Path) -> None:
    devices = made(barrier)
    await devices.start()
    await devices.enable("file", kind="file", options=options(tmp_path / "a", log_raw="true"))
    assert devices.hash("file", "x").startswith("hmac-sha256:")
    with pytest.raises(InvalidRequestError, match='the "input" parameter is empty'):
        devices.hash("file", "")


async def test_of_two_devices_enabled_at_once_at_one_path_one_wins(tmp_path: Path) -> None:
    class Waiting(InMemStorage):
        async def apply(self, operations: Any) -> None:
            await asyncio.sleep(0)
            await super().apply(operations)

    barrier = await fresh_barrier(Waiting())
    devices = made(barrier)
    await devices.start()
    results = await asyncio.gather(
        *(devices.enable("file", kind="file", options=options(tmp_path / n)) for n in "ab"),
        *(devices.headers.set(f"x-{n}", hmac=True) for n in "ab"),
        return_exceptions=True,
    )
    assert sum(isinstance(result, InvalidRequestError) for result in results) == 1
    again = made(barrier)
    await again.start()
    assert list(again.list()) == ["file/"]
    assert again.headers.all() == {"x-a": True, "x-b": True}


@pytest.mark.parametrize(
    "more",
    [
        {"prefix": "ssh-ed25519 AAAA\n"},
        {"prefix": "a\rb"},
        {"prefix": "\x1b[2J"},
        {"mode": "0755"},
        {"mode": "4600"},
    ],
)
async def test_no_device_makes_lines_of_its_own_or_a_file_that_can_be_run(
    barrier: Barrier, tmp_path: Path, more: dict[str, str]
) -> None:
    devices = made(barrier)
    await devices.start()
    path = tmp_path / "audit.log"
    with pytest.raises(InvalidRequestError, match=next(iter(more))):
        await devices.enable("file", kind="file", options=options(path, **more))
    assert not path.exists()
    assert not devices.broker.enabled
