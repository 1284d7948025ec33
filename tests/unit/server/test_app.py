"""The raw endpoints and the checks before the engine, over a connection without a socket."""

import json
from typing import Any

import pytest

from tests.support.fake_core import FakeCore
from tests.support.memory_http import MemoryConnection
from zvault.base.errors import (
    BusyError,
    SealedError,
    UnreachableError,
    ZvaultError,
)
from zvault.engine import errors
from zvault.server.app import ListenerPolicy
from zvault.server.errors import STATUS, answer_of


def ask(
    connection: MemoryConnection, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[int, Any]:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    connection.feed(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
    status, text = connection.answers()[-1]
    return status, json.loads(text) if text.startswith((b"{", b"[")) else text


async def test_health_tells_the_state_by_its_status() -> None:
    for initialized, sealed, status in [(False, True, 501), (True, True, 503), (True, False, 200)]:
        connection = MemoryConnection(FakeCore(initialized=initialized, sealed=sealed))
        found, body = ask(connection, "GET", "/v1/sys/health")
        assert found == status
        assert (body["initialized"], body["sealed"]) == (initialized, sealed)
        assert body["standby"] is (sealed or not initialized)
        mode = "disabled" if status == 200 else "unknown"
        assert body["replication_dr_mode"] == body["replication_performance_mode"] == mode


async def test_health_codes_can_be_asked_for() -> None:
    connection = MemoryConnection(FakeCore(sealed=True))
    assert ask(connection, "GET", "/v1/sys/health?sealedcode=299&standbyok=true")[0] == 299
    assert ask(connection, "GET", "/v1/sys/health?sealedcode=abc") == (400, {"errors": []})
    assert ask(connection, "GET", "/v1/sys/health?sealedcode=99")[0] == 400
    assert ask(connection, "GET", "/v1/sys/health?standbyok=perhaps") == (400, {"errors": []})


async def test_health_says_503_while_draining_and_other_requests_are_served() -> None:
    connection = MemoryConnection()
    connection.connections.draining = True
    status, body = ask(connection, "GET", "/v1/sys/health")
    assert status == 503
    assert body["sealed"] is False, "the body stays true"
    other = MemoryConnection()
    other.connections.draining = True
    assert ask(other, "GET", "/v1/kv/a")[0] == 200
    assert b"Connection: close" in other.sent


async def test_seal_status_has_vaults_fields_in_order() -> None:
    _, body = ask(MemoryConnection(), "GET", "/v1/sys/seal-status")
    assert list(body) == [
        "type",
        "initialized",
        "sealed",
        "t",
        "n",
        "progress",
        "nonce",
        "version",
        "build_date",
        "migration",
        "recovery_seal",
        "storage_type",
    ]


async def test_init_gives_each_key_in_hex_and_base64_in_one_order() -> None:
    connection = MemoryConnection(FakeCore(initialized=False))
    assert ask(connection, "GET", "/v1/sys/init") == (200, {"initialized": False})
    parameters = b'{"Secret_Shares":2,"secret_threshold":2,"pgp_keys":null}'
    status, body = ask(connection, "PUT", "/v1/sys/init", parameters)
    assert status == 200
    assert body["keys"] == ["00" * 33, "01" * 33]
    assert body["keys_base64"][1].startswith("AQEB")
    assert body["root_token"] == "hvs.root"
    status, body = ask(connection, "PUT", "/v1/sys/init", parameters)
    assert (status, body) == (400, {"errors": ["Vault is already initialized"]})


@pytest.mark.parametrize(
    "body",
    [
        b'{"secret_shares":"5","secret_threshold":3}',
        b'{"secret_shares":true,"secret_threshold":1}',
        b'{"secret_shares":5,"secret_threshold":3,"recovery_shares":5}',
        b'{"secret_shares":1,"secret_threshold":1,"pgp_keys":["x"]}',
        b'{"secret_shares":1',
    ],
)
async def test_init_refuses_what_it_cannot_do(body: bytes) -> None:
    core = FakeCore(initialized=False)
    assert ask(MemoryConnection(core), "PUT", "/v1/sys/init", body)[0] == 400
    assert not core.initialized


@pytest.mark.parametrize("key", ["ab" * 33, "AB" * 16, "q" * 44, "YWJj" * 11])
async def test_a_share_is_taken_in_hex_or_base64(key: str) -> None:
    connection = MemoryConnection(FakeCore(sealed=True))
    status, body = ask(connection, "PUT", "/v1/sys/unseal", json.dumps({"key": key}).encode())
    assert (status, body["progress"]) == (200, 1)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{}", "'key' must be specified"),
        (b"", "'key' must be specified"),
        (b'{"key":""}', "'key' must be specified"),
        (b'{"key":5}', "'key' must be specified"),
        (b'{"key":"not a key!"}', "'key' must be a valid hex or base64 string"),
        (b'{"migrate":true,"key":"00"}', "can't perform a seal migration"),
    ],
)
async def test_unseal_refuses_in_vaults_words_and_never_repeats_the_key(
    body: bytes, words: str
) -> None:
    status, found = ask(MemoryConnection(FakeCore(sealed=True)), "PUT", "/v1/sys/unseal", body)
    assert status == 400
    assert words in found["errors"][0]
    assert "not a key!" not in found["errors"][0]


async def test_reset_forgets_progress() -> None:
    connection = MemoryConnection(FakeCore(sealed=True, progress=2))
    _, body = ask(connection, "PUT", "/v1/sys/unseal", b'{"reset":true,"key":null}')
    assert body["progress"] == 0


async def test_seal_asks_the_engine_whether_it_may_and_then_seals() -> None:
    core = FakeCore()
    connection = MemoryConnection(core)
    assert ask(connection, "GET", "/v1/sys/seal")[0] == 405
    assert ask(connection, "PUT", "/v1/sys/seal", X_Vault_Token="t")[0] == 204
    assert core.sealed
    assert [(r.path, r.client_token) for r in core.seen] == [("sys/seal", "t")]
    assert ask(connection, "PUT", "/v1/sys/seal")[0] == 204, "sealed already"


async def test_a_seal_that_does_not_take_is_no_success() -> None:
    class Stuck(FakeCore):
        async def seal(self) -> None:
            pass

    assert ask(MemoryConnection(Stuck()), "PUT", "/v1/sys/seal")[0] == 500


async def test_sealed_is_503_in_vaults_words() -> None:
    found = ask(MemoryConnection(FakeCore(sealed=True)), "GET", "/v1/kv/a")
    assert found == (503, {"errors": ["Vault is sealed"]})


@pytest.mark.parametrize("path", ["/", "/ui/", "/v2/x", "/v1", "/metrics"])
async def test_outside_of_v1_there_is_nothing(path: str) -> None:
    assert ask(MemoryConnection(), "GET", path) == (404, {"errors": []})


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "health"), ("DELETE", "init"), ("POST", "leader"), ("GET", "unseal")],
)
async def test_a_raw_endpoint_knows_its_verbs(method: str, path: str) -> None:
    assert ask(MemoryConnection(), method, f"/v1/sys/{path}") == (405, {"errors": []})


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/v1//kv/a", 301, b'<a href="/v1/kv/a">Moved Permanently</a>.\n\n'),
        ("GET", "/v1/kv/../kv/a", 301, b'<a href="/v1/kv/a">Moved Permanently</a>.\n\n'),
        ("PUT", "/v1//kv/a", 307, b""),
        ("PUT", "/v1/x/../kv/a", 400, {"errors": ["relative paths not supported"]}),
        ("LIST", "/v1/x/../kv/a", 400, {"errors": ["relative paths not supported"]}),
    ],
)
async def test_an_untidy_path_is_not_served_and_a_write_never_becomes_a_read(
    method: str, path: str, status: int, body: object
) -> None:
    connection = MemoryConnection()
    assert ask(connection, method, path) == (status, body)
    assert (b"Location: /v1/kv/a\r\n" in connection.sent) == (status < 400)
    assert connection.core.seen == []


async def test_metrics_need_a_token_unless_the_listener_says_otherwise() -> None:
    guarded = MemoryConnection()
    assert ask(guarded, "GET", "/v1/sys/metrics?format=prometheus")[1] == b"vault_core_unsealed 1\n"
    assert [r.path for r in guarded.core.seen] == ["sys/metrics"], "the engine was asked"
    sealed = MemoryConnection(FakeCore(sealed=True))
    assert ask(sealed, "GET", "/v1/sys/metrics")[0] == 503
    policy = ListenerPolicy(unauthenticated_metrics=True)
    opened = MemoryConnection(FakeCore(sealed=True), policy=policy)
    assert ask(opened, "GET", "/v1/sys/metrics?format=prometheus")[0] == 200
    assert b"Content-Type: text/plain; version=0.0.4" in opened.sent
    assert ask(opened, "GET", "/v1/sys/metrics") == (200, {"Gauges": []})
    assert ask(opened, "GET", "/v1/sys/metrics?format=xx")[0] == 400
    off = MemoryConnection(policy=ListenerPolicy(unauthenticated_metrics=True, prometheus=False))
    found = ask(off, "GET", "/v1/sys/metrics", Accept="application/openmetrics-text")
    assert found == (400, b"prometheus is not enabled")


async def test_the_request_header_is_demanded_when_the_listener_says_so() -> None:
    connection = MemoryConnection(policy=ListenerPolicy(require_request_header=True))
    assert ask(connection, "GET", "/v1/kv/a")[0] == 412
    assert ask(connection, "GET", "/v1/kv/a", X_Vault_Request="true")[0] == 200


async def test_a_ceremony_that_the_listener_closes_reaches_no_engine() -> None:
    policy = ListenerPolicy(closed_paths=("sys/rekey/", "sys/generate-root/"))
    connection = MemoryConnection(policy=policy)
    for path in ("rekey/init", "rekey/update", "generate-root/attempt", "generate-root/update"):
        for method in ("GET", "PUT", "DELETE"):
            assert ask(connection, method, f"/v1/sys/{path}")[0] == 405, path
    assert connection.core.seen == []
    assert ask(connection, "GET", "/v1/sys/rekey/backup", X_Vault_Token="t")[0] == 200


async def test_another_namespace_is_refused_not_served_from_the_root() -> None:
    connection = MemoryConnection()
    assert ask(connection, "GET", "/v1/kv/a", X_Vault_Namespace="team/")[0] == 403
    assert connection.core.seen == []
    assert ask(connection, "GET", "/v1/kv/a", X_Vault_Namespace="root")[0] == 200


async def test_what_the_client_sent_reaches_the_engine() -> None:
    connection = MemoryConnection()
    ask(connection, "GET", "/v1/kv/a?version=2", X_Vault_Token="t", X_Vault_Wrap_TTL="5m")
    request = connection.core.seen[0]
    assert (request.client_token, request.wrap_ttl_seconds) == ("t", 300)
    assert request.data == {"version": "2"}
    assert (request.remote_address, request.remote_port) == ("127.0.0.1", 40_000)
    assert request.headers["x-vault-token"] == ["t"]


def test_every_kind_of_engine_error_has_a_status() -> None:
    """Its own, or that of the kind it is a case of."""
    kinds = {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.EngineError)
    }
    cases = {kind for kind in kinds - {*STATUS} if kind.__base__ is not errors.EngineError}
    assert kinds - cases == {*STATUS, errors.CodedError} - cases
    assert {kind.__base__ for kind in cases} <= {*STATUS}


@pytest.mark.parametrize(
    ("error", "status", "messages"),
    [
        (errors.InvalidRequestError("a", "b"), 400, ["a", "b"]),
        (errors.permission_denied(), 403, ["1 error occurred:\n\t* permission denied\n\n"]),
        (errors.NotFoundInEngineError(), 404, []),
        (errors.CodedError(412, "x"), 412, ["x"]),
        (errors.EngineSealedError("Vault is sealed"), 503, ["Vault is sealed"]),
        (SealedError("x"), 503, ["Vault is sealed"]),
        (UnreachableError("disk gone"), 500, ["1 error occurred:\n\t* disk gone\n\n"]),
        (BusyError("x"), 500, ["1 error occurred:\n\t* x\n\n"]),
    ],
)
def test_errors_become_status_and_list(
    error: ZvaultError, status: int, messages: list[str]
) -> None:
    answer = answer_of(error)
    assert (answer.status, json.loads(answer.body)) == (status, {"errors": messages})


def test_an_error_with_data_carries_both() -> None:
    answer = answer_of(errors.InvalidRequestError("bad", data={"k": 1}))
    assert json.loads(answer.body) == {"errors": ["bad"], "data": {"k": 1}}
