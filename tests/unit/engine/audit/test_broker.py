"""The rule of blocking: no record, no request; and what goes out before what."""

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.opened import ROOT, fresh_barrier, request
from zvault.barrier.view import View
from zvault.base.clock import ManualClock
from zvault.engine.api import Auth, Operation, Request, Response
from zvault.engine.audit import file_device
from zvault.engine.audit.auth_view import LOGIN, REFUSED, AuthView
from zvault.engine.audit.batch import AuditFailedError
from zvault.engine.audit.broker import AuditBroker
from zvault.engine.audit.file_device import AuditWriteError, FileDevice
from zvault.engine.audit.hashing import Hasher, RawHasher
from zvault.engine.audit.headers import AuditedHeaders
from zvault.engine.audit.options import FileOptions
from zvault.engine.audit.records import RecordWriter
from zvault.engine.audit.sink import AuditSink
from zvault.engine.telemetry.metrics import Metrics
from zvault.engine.userdata import EncodedData, UserData
from zvault.records import gojson
from zvault.records.mounts import AUTH, MountConfig, MountEntry
from zvault.records.tokens import TokenEntry

VIEW = AuthView(allowed=True, granting_policies=("app",))
KV = MountEntry(path="kv/", type="kv", uuid="u", accessor="kv_1")
SYS = MountEntry(path="sys/", type="system", uuid="s", accessor="system_1")


class World:
    """A broker with devices that write to files."""

    def __init__(self, place: Path, headers: AuditedHeaders) -> None:
        self.place = place
        self.headers = headers
        self.clock = ManualClock()
        self.metrics = Metrics(self.clock)
        self.failures: list[str] = []
        self.broker = AuditBroker(
            self.clock, self.metrics, lambda path, error: self.failures.append(path)
        )

    def add(self, name: str = "file", **options: Any) -> Path:
        path = self.place / f"{name}.log"
        parsed = FileOptions(str(path), **options)
        hasher = RawHasher() if parsed.log_raw else Hasher("salt")
        writer = RecordWriter(hasher, parsed, "v1.16.3+builtin.vault", self.headers)
        self.broker.attach(AuditSink(f"{name}/", writer, FileDevice(parsed), Hasher("salt")))
        return path

    def both(
        self, made: Request, response: Response | None, view: AuthView = VIEW, error: str = ""
    ) -> None:
        self.broker.log_request(made, view, error)
        self.broker.log_response(made, response, view, error)


def lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def call(operation: str = "update", mount: MountEntry = KV, **more: Any) -> Request:
    return request(
        operation,
        mount.path + "x",
        more.pop("data", {"k": "v"}),
        mount=mount,
        client_token="hvs.token",
        policies=("app",),
        remote_address="127.0.0.1",
        **more,
    )


@pytest.fixture
async def world(tmp_path: Path) -> World:
    return World(tmp_path, AuditedHeaders(View(await fresh_barrier(), "sys/")))


def test_without_a_device_nothing_is_done_and_nothing_suspends(world: World) -> None:
    made = call()
    world.both(made, None)
    assert not world.broker.enabled
    assert made.audit is None


def test_a_write_is_recorded_before_it_runs(world: World) -> None:
    path = world.add()
    made = call()
    world.broker.log_request(made, VIEW)
    assert [record["type"] for record in lines(path)] == ["request"]
    world.broker.log_response(made, None, VIEW)
    assert [record["type"] for record in lines(path)] == ["request", "response"]
    assert len({record["request"]["id"] for record in lines(path)}) == 1


def test_both_records_of_a_kv_read_are_one_write_before_the_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = world.add()
    written: list[bytes] = []
    real = FileDevice.write

    def watch(self: FileDevice, data: bytes) -> None:
        written.append(data)
        real(self, data)

    monkeypatch.setattr(FileDevice, "write", watch)
    made = call("read")
    world.broker.log_request(made, VIEW)
    assert lines(path) == []
    world.broker.log_response(made, Response(data={"k": "v"}), VIEW)
    assert len(written) == 1
    assert [record["type"] for record in lines(path)] == ["request", "response"]


@pytest.mark.parametrize(
    "made",
    [
        call("read", SYS),
        call("read", wrap_ttl_seconds=5),
        call("read", token=TokenEntry(policies=("app",), num_uses=1)),
        call("delete"),
        call("patch"),
    ],
)
def test_whatever_may_change_something_is_recorded_before_it_runs(
    world: World, made: Request
) -> None:
    path = world.add()
    world.broker.log_request(made, VIEW)
    assert len(lines(path)) == 1


def test_a_refused_read_is_recorded_at_once_with_its_error(world: World) -> None:
    path = world.add()
    made = call("read")
    world.broker.log_request(made, REFUSED, "permission denied")
    (record,) = lines(path)
    assert record["error"] == "permission denied"
    assert record["auth"]["policy_results"] == {"allowed": False}
    world.broker.log_response(made, None, REFUSED, "permission denied")
    response = lines(path)[1]
    assert response["error"] == "permission denied"
    assert response["response"]["data"] == {"error": Hasher("salt").text("permission denied")}


def no_space(descriptor: int, data: bytes) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_request_is_refused_when_no_device_takes_its_record(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add()
    monkeypatch.setattr(file_device.os, "write", no_space)
    with pytest.raises(AuditFailedError) as caught:
        world.broker.log_request(call(), VIEW)
    assert caught.value.messages == ["1 error occurred:\n\t* internal error\n\n"]
    text = world.metrics.render_prometheus()
    assert "vault_audit_log_request_failure 1" in text
    assert "vault_audit_log_response_failure 0" in text


@pytest.mark.parametrize("operation", ["read", "update"])
def test_an_answer_is_held_back_when_no_device_takes_its_record(
    world: World, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    world.add()
    made = call(operation)
    world.broker.log_request(made, VIEW)
    monkeypatch.setattr(file_device.os, "write", no_space)
    with pytest.raises(AuditFailedError):
        world.broker.log_response(made, Response(data={"k": "v"}), VIEW)
    assert "vault_audit_log_response_failure 1" in world.metrics.render_prometheus()


def test_one_device_that_works_is_enough_and_the_other_is_named_once(
    world: World, tmp_path: Path
) -> None:
    good = world.add("good")
    bad = world.add("bad")
    bad.mkdir()
    for _ in range(3):
        world.both(call(), None)
    assert len(lines(good)) == 6
    assert world.failures == ["bad/"]
    assert world.broker.failing == {"bad/"}
    bad.rmdir()
    world.both(call(), None)
    assert len(lines(bad)) == 2
    assert not world.broker.failing


def test_a_device_enabled_by_the_request_itself_gets_its_response_only(world: World) -> None:
    made = call("update", SYS)
    world.broker.log_request(made, VIEW)
    path = world.add()
    world.broker.log_response(made, None, VIEW)
    assert [record["type"] for record in lines(path)] == ["response"]


def test_a_device_disabled_by_the_request_itself_gets_its_request_only(world: World) -> None:
    path = world.add()
    made = call("delete", SYS)
    world.broker.log_request(made, VIEW)
    world.broker.detach("file/")
    world.broker.log_response(made, None, VIEW)
    assert [record["type"] for record in lines(path)] == ["request"]
    assert not world.broker.enabled


def test_reopening_names_what_it_could_not_open(world: World) -> None:
    path, other = world.add("one"), world.add("two")
    world.both(call(), None)
    path.rename(path.with_suffix(".old"))
    other.unlink()
    other.mkdir()
    (error,) = world.broker.reopen()
    assert isinstance(error, AuditWriteError)
    assert "two.log" in error.message
    world.both(call(), None)
    assert len(lines(path)) == 2


def test_tokens_of_strangers_and_secrets_of_all_are_hashed_in_every_line(world: World) -> None:
    path = world.add()
    world.both(call(token=None, data={"password": "hunter2"}), None, REFUSED, "permission denied")
    world.both(
        call("update", MountEntry(path="approle/", table=AUTH, type="approle"), token=None),
        Response(auth=Auth(client_token="hvs.issued", accessor="fresh-accessor")),
        LOGIN,
    )
    text = path.read_text()
    for secret in ("hvs.token", "hvs.issued", "hunter2", "fresh-accessor"):
        assert secret not in text
        assert Hasher("salt").text(secret) in text


def test_the_options_of_a_device_change_its_lines_only(world: World) -> None:
    plain = world.add("plain")
    prefixed = world.add("prefixed", prefix="@cee: ")
    open_accessor = world.add("open", hmac_accessor=False)
    raw = world.add("raw", log_raw=True)
    big = 2**70
    world.both(call(data={"k": "hunter2", "n": big}), Response(data={"keys": ["a", "b"]}))
    assert prefixed.read_text().splitlines() == [
        "@cee: " + line for line in plain.read_text().splitlines()
    ]
    assert lines(open_accessor)[0]["auth"]["accessor"] == ROOT.accessor
    assert lines(raw)[0]["request"]["data"] == {"k": "hunter2", "n": big}
    assert lines(raw)[0]["request"]["client_token"] == "hvs.token"


def test_lists_can_be_shortened_to_their_lengths_in_responses_of_lists(world: World) -> None:
    path = world.add(elide_list_responses=True)
    data = {"keys": ["a", "b"], "key_info": {"a": {"x": "y"}}}
    world.both(call("list", data={}), Response(data=data))
    assert lines(path)[1]["response"]["data"] == {"keys": 2, "key_info": 1}
    world.both(call("read", data={}), Response(data=data))
    assert lines(path)[3]["response"]["data"]["keys"] == [
        Hasher("salt").text("a"),
        Hasher("salt").text("b"),
    ]


def test_a_mount_may_exempt_names_in_requests_and_responses(world: World) -> None:
    config = MountConfig(
        audit_non_hmac_request_keys=("shown",), audit_non_hmac_response_keys=("data",)
    )
    mount = MountEntry(path="kv/", type="kv", config=config)
    path = world.add()
    answer = EncodedData({"data": UserData({"pin": 1}), "metadata": {"t": "x"}}, b"")
    made = call("update", mount, data={"shown": {"a": "x"}, "hidden": "y"})
    world.both(made, Response(data=answer))
    request_data = lines(path)[0]["request"]["data"]
    assert request_data == {"shown": {"a": "x"}, "hidden": Hasher("salt").text("y")}
    assert lines(path)[1]["response"]["data"] == {
        "data": {"pin": 1},
        "metadata": {"t": Hasher("salt").text("x")},
    }
    assert answer.audited == {}


async def test_only_headers_that_were_named_are_recorded(world: World) -> None:
    path = world.add()
    headers = {"X-Request-From": ["laptop"], "X-Secret": ["s3cr3t"], "Authorization": ["Bearer t"]}
    world.both(call(headers=headers), None)
    assert "headers" not in lines(path)[0]["request"]
    await world.headers.set("x-request-from", hmac=False)
    await world.headers.set("X-Secret", hmac=True)
    world.both(call(headers=headers), None)
    assert lines(path)[2]["request"]["headers"] == {
        "x-request-from": ["laptop"],
        "x-secret": [Hasher("salt").text("s3cr3t")],
    }
    await world.headers.remove("X-SECRET")
    assert world.headers.all() == {"x-request-from": False}


def test_what_a_record_keeps_about_callers_never_mixes_them_up(world: World) -> None:
    path = world.add()
    for name, policies in (("a", ("app",)), ("b", ("app",)), ("a", ("app", "ops"))):
        token = TokenEntry(accessor=name, display_name=name, policies=policies)
        made = call(token=token)
        made.client_token, made.policies = f"hvs.{name}", policies
        world.both(made, None)
    shown = [(r["auth"]["display_name"], r["auth"]["policies"]) for r in lines(path)[::2]]
    assert shown == [("a", ["app"]), ("b", ["app"]), ("a", ["app", "ops"])]


def test_timings_of_devices_have_vaults_names(world: World) -> None:
    world.add()
    world.both(call(), None)
    text = world.metrics.render_prometheus()
    for name in (
        "vault_audit_log_request_count 1",
        "vault_audit_log_response_count 1",
        "vault_audit_file__log_request_count 1",
        "vault_audit_file__log_response_count 1",
    ):
        assert name in text


def test_a_number_too_long_for_a_fast_encoder_is_still_recorded(world: World) -> None:
    path = world.add(log_raw=True)
    data = gojson.loads_object('{"n":123456789012345678901234567890,"f":1.10}')
    world.both(call(data=data), Response(data={"x": UserData(data)}))
    assert '"n":123456789012345678901234567890' in path.read_text()
    assert '"f":1.10' in path.read_text()
    assert Operation.UPDATE.value == lines(path)[0]["request"]["operation"]
