"""Records of answers that wait: one write, in order, and a failure that reaches every answer."""

import errno
import json
from pathlib import Path

import pytest

from tests.support.opened import fresh_barrier, request
from zvault.barrier.view import View
from zvault.base.clock import ManualClock
from zvault.engine.api import Request, Response
from zvault.engine.audit import batch as batches
from zvault.engine.audit import file_device
from zvault.engine.audit.auth_view import AuthView
from zvault.engine.audit.batch import AuditFailedError
from zvault.engine.audit.broker import AuditBroker
from zvault.engine.audit.file_device import FileDevice
from zvault.engine.audit.hashing import Hasher
from zvault.engine.audit.headers import AuditedHeaders
from zvault.engine.audit.options import FileOptions
from zvault.engine.audit.records import RecordWriter
from zvault.engine.audit.sink import AuditSink
from zvault.engine.telemetry.metrics import Metrics
from zvault.records.mounts import MountEntry

VIEW = AuthView(allowed=True, granting_policies=("app",))
KV = MountEntry(path="kv/", type="kv", uuid="u", accessor="kv_1")
SECRET = Response(data={"k": "v"})


class World:
    """A broker, and what each of its files was given, write by write."""

    def __init__(self, place: Path, headers: AuditedHeaders) -> None:
        self.place, self.headers = place, headers
        self.metrics = Metrics(ManualClock())
        self.broker = AuditBroker(ManualClock(), self.metrics)

    def add(self, name: str) -> Path:
        options = FileOptions(str(self.place / name))
        writer = RecordWriter(Hasher("salt"), options, "v1", self.headers)
        self.broker.attach(AuditSink(f"{name}/", writer, FileDevice(options), Hasher("salt")))
        return self.place / name

    def serve(self, operation: str, *, waits: bool = True) -> Request:
        made = request(operation, "kv/x", {}, mount=KV, client_token="hvs.t", policies=("app",))
        made.answer_waits = waits
        self.broker.log_request(made, VIEW)
        self.broker.log_response(made, SECRET, VIEW)
        return made


@pytest.fixture
async def world(tmp_path: Path) -> World:
    return World(tmp_path, AuditedHeaders(View(await fresh_barrier(), "sys/")))


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    done: list[bytes] = []
    real = FileDevice.write

    def watch(self: FileDevice, data: bytes) -> None:
        done.append(data)
        real(self, data)

    monkeypatch.setattr(FileDevice, "write", watch)
    return done


def ids(path: Path) -> list[tuple[str, str]]:
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [(record["type"], record["request"]["id"]) for record in found]


def both(*made: Request) -> list[tuple[str, str]]:
    return [(kind, one.id) for one in made for kind in ("request", "response")]


def test_answers_that_wait_share_one_write_which_the_first_of_them_asks_for(
    world: World, writes: list[bytes]
) -> None:
    path = world.add("one")
    made = [world.serve("read") for _ in range(5)]
    assert writes == []
    for one in made:
        assert one.owed is not None
        one.owed.settle()
        assert len(writes) == 1
    assert ids(path) == both(*made)


def test_a_change_is_recorded_before_it_runs_and_takes_along_what_waits(
    world: World, writes: list[bytes]
) -> None:
    path = world.add("one")
    read = world.serve("read")
    write = request("update", "kv/x", {}, mount=KV, client_token="hvs.t", answer_waits=True)
    world.broker.log_request(write, VIEW)
    assert len(writes) == 1
    assert ids(path) == [*both(read), ("request", write.id)]
    world.broker.log_response(write, None, VIEW)
    assert len(writes) == 1
    assert write.owed is not None
    write.owed.settle()
    assert ids(path) == both(read, write)


def test_who_does_not_wait_has_the_record_written_on_return(
    world: World, writes: list[bytes]
) -> None:
    path = world.add("one")
    waiting = world.serve("read")
    other = world.serve("read", waits=False)
    assert other.owed is None
    assert len(writes) == 1
    assert ids(path) == both(waiting, other)


def test_every_answer_of_a_batch_that_no_device_took_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = world.add("one")
    made = [world.serve("read") for _ in range(3)]

    def no_space(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(file_device.os, "write", no_space)
        with pytest.raises(AuditFailedError):
            world.serve("update", waits=False)
    for one in made:
        assert one.owed is not None
        with pytest.raises(AuditFailedError):
            one.owed.settle()
    text = world.metrics.render_prometheus()
    assert "vault_audit_log_request_failure 1" in text
    assert "vault_audit_log_response_failure 3" in text
    later = world.serve("read")
    assert later.owed is not None
    later.owed.settle()
    assert ids(path) == both(later)


def test_a_writer_that_breaks_unforeseen_lets_no_answer_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add("one")
    made = [world.serve("read"), world.serve("read")]

    def broken(self: FileDevice, data: bytes) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(FileDevice, "write", broken)
    first, second = (one.owed for one in made)
    assert first is not None
    assert second is not None
    with pytest.raises(KeyError):
        first.settle()
    with pytest.raises(AuditFailedError):
        second.settle()


@pytest.mark.parametrize("act", ["attach", "detach", "reopen"])
def test_what_waits_is_written_before_the_devices_change(world: World, act: str) -> None:
    path = world.add("one")
    made = world.serve("read")
    if act == "attach":
        world.add("two")
    elif act == "detach":
        world.broker.detach("one/")
    else:
        world.broker.reopen()
    assert ids(path) == both(made)
    assert made.owed is not None
    made.owed.settle()
    assert ids(path) == both(made)


def test_every_device_gets_every_record_and_one_that_works_is_enough(world: World) -> None:
    good, bad = world.add("good"), world.add("bad")
    bad.mkdir()
    made = [world.serve("read"), world.serve("read")]
    for one in made:
        assert one.owed is not None
        one.owed.settle()
    assert ids(good) == both(*made)
    bad.rmdir()
    more = world.serve("read")
    assert more.owed is not None
    more.owed.settle()
    assert ids(bad) == both(more)
    assert ids(good) == both(*made, more)


def test_a_batch_is_bounded(
    world: World, writes: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "MAX_BYTES", 10_000)
    path = world.add("one")
    made = [world.serve("read") for _ in range(100)]
    assert len(writes) > 5
    assert max(map(len, writes)) < 12_000
    world.broker.flush()
    assert ids(path) == both(*made)


def test_each_record_is_counted_once_when_it_is_written(world: World) -> None:
    world.add("one")
    for _ in range(3):
        world.serve("read")
    world.serve("update")
    world.broker.flush()
    text = world.metrics.render_prometheus()
    for name in ("request", "response"):
        assert f"vault_audit_log_{name}_count 4" in text
        assert f"vault_audit_one__log_{name}_count 4" in text
