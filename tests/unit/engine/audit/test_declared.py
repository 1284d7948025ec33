"""Devices of the server's configuration: there from the first unseal, gone with their stanza."""

import os
from pathlib import Path

import pytest

from tests.support.opened import fresh_barrier
from zvault.barrier.barrier import Barrier
from zvault.base.clock import ManualClock
from zvault.engine.audit.broker import AuditBroker
from zvault.engine.audit.declared import DeclaredDevice
from zvault.engine.audit.devices import AuditDevices
from zvault.engine.errors import InvalidRequestError
from zvault.engine.telemetry.metrics import Metrics


def made(barrier: Barrier, *declared: DeclaredDevice) -> AuditDevices:
    clock = ManualClock()
    return AuditDevices(
        barrier,
        AuditBroker(clock, Metrics(clock)),
        clock=clock,
        random_bytes=os.urandom,
        builtin_version="v1.16.0+builtin.vault",
        declared=declared,
    )


def one(path: Path, name: str = "one/", **more: str) -> DeclaredDevice:
    return DeclaredDevice(name, "file", "d", {"file_path": str(path), **more})


async def started(barrier: Barrier, *declared: DeclaredDevice) -> AuditDevices:
    devices = made(barrier, *declared)
    assert await devices.start() == []
    return devices


@pytest.mark.parametrize("family", ["vault", "openbao"])
async def test_a_declared_device_is_there_writes_a_probe_and_keeps_its_salt(
    family: str, tmp_path: Path
) -> None:
    barrier = await fresh_barrier(family=family)
    log = tmp_path / "audit.log"
    devices = await started(barrier, one(log))
    assert log.read_text().count("sys/audit/test") == 1
    hashed = devices.hash("one", "x")
    with pytest.raises(InvalidRequestError, match="configuration-managed"):
        await devices.disable("one")
    await devices.stop()
    again = await started(barrier, one(log))
    assert again.hash("one", "x") == hashed
    assert log.read_text().count("sys/audit/test") == 1, "it was there already"
    await again.stop()


async def test_without_its_stanza_it_is_gone_where_the_store_can_tell(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    for family, left in (("openbao", []), ("vault", ["one/"])):
        barrier = await fresh_barrier(family=family)
        devices = await started(barrier, one(log))
        await devices.enable("api", kind="file", options={"file_path": "discard"})
        await devices.stop()
        again = await started(barrier)
        assert sorted(again.list()) == sorted(["api/", *left]), "devices of the API stay"
        for path in again.list():
            assert await again.disable(path)
        await again.stop()


async def test_another_stanza_of_the_same_path_is_another_device(tmp_path: Path) -> None:
    barrier = await fresh_barrier()
    devices = await started(barrier, one(tmp_path / "a"))
    hashed = devices.hash("one", "x")
    await devices.stop()
    again = await started(barrier, one(tmp_path / "b", log_raw="true"))
    assert again.hash("one", "x") != hashed
    assert (tmp_path / "b").exists()
    await again.stop()


async def test_a_declared_device_that_cannot_be_written_keeps_the_store_sealed(
    tmp_path: Path,
) -> None:
    barrier = await fresh_barrier()
    (tmp_path / "file").write_text("")
    for declared in (
        one(tmp_path / "file" / "x"),
        DeclaredDevice("s/", "socket", options={"address": "127.0.0.1:1"}),
        DeclaredDevice("n/", "nonsense"),
        DeclaredDevice("n/", "file"),
    ):
        with pytest.raises(InvalidRequestError):
            await made(barrier, declared).start()
        assert made(barrier).list() == {}
