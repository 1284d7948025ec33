"""Rekey and generate-root over HTTP: no token, no envelope, one audit record each."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.memory_http import MemoryConnection
from tests.support.running import Running, fresh
from tests.support.shareholders import put
from tests.unit.server.test_app import ask
from zvault.engine.api import Operation
from zvault.engine.audit.batch import AuditFailedError
from zvault.engine.errors import InvalidRequestError


def send(connection: MemoryConnection, method: str, path: str, **body: Any) -> tuple[int, Any]:
    text = json.dumps(body).encode() if body else b""
    return ask(connection, method, f"/v1/sys/{path}", text)


@pytest.fixture
async def served() -> Any:
    async with fresh(shares=3, threshold=2) as server:
        yield server, MemoryConnection(server.core)


async def test_bodies_are_bare_and_nothing_is_204(served: Any) -> None:
    server, connection = served
    status, begun = send(connection, "PUT", "rekey/init", secret_shares=1, secret_threshold=1)
    assert status == 200
    assert "data" not in begun
    assert "request_id" not in begun
    for key in server.keys[:2]:
        status, body = send(connection, "POST", "rekey/update", key=key.hex(), nonce=begun["nonce"])
    assert (status, body["complete"], len(body["keys"])) == (200, True, 1)
    assert send(connection, "DELETE", "rekey/init") == (204, b"")
    assert send(connection, "GET", "generate-root/attempt")[1]["otp_length"] == 28
    status, body = send(connection, "PUT", "generate-root/attempt")
    assert (status, len(body["otp"])) == (200, 28)
    assert send(connection, "DELETE", "generate-root/attempt") == (204, b"")


async def test_names_count_in_any_case_and_null_is_absent(served: Any) -> None:
    _, connection = served
    wish = {"Secret_Shares": 3, "SECRET_THRESHOLD": 2, "pgp_keys": None, "backup": None}
    status, body = send(connection, "PUT", "rekey/init", **wish)
    assert (status, body["t"], body["n"]) == (200, 2, 3)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("LIST", "rekey/init", 405),
        ("PATCH", "rekey/verify", 405),
        ("HEAD", "generate-root/attempt", 405),
        ("GET", "rekey/update", 400),
        ("GET", "generate-root/update", 400),
        ("GET", "rekey/verify", 400),
        ("PUT", "rekey-recovery-key/init", 400),
        ("GET", "rekey/backup", 403),
        ("PUT", "rotate/root" + "/init", 403),
        ("PUT", "generate-root-token/attempt", 403),
        ("GET", "rekey/init/", 403),
        ("PUT", "rotate", 403),
        ("PUT", "rotate/keyring", 403),
    ],
)
async def test_other_methods_and_paths(served: Any, method: str, path: str, status: int) -> None:
    _, connection = served
    assert send(connection, method, path)[0] == status


async def test_a_sealed_server_says_503_to_all_of_it(served: Any) -> None:
    server, connection = served
    await server.core.seal()
    for path in ("rekey/init", "rekey/update", "rekey/verify", "generate-root/attempt"):
        status, body = send(connection, "PUT", path, key="00" * 33, nonce="x")
        assert (status, body) == (503, {"errors": ["Vault is sealed"]})


async def test_the_audit_log_has_each_step_and_no_share(tmp_path: Path) -> None:
    async with fresh(shares=3, threshold=2) as server:
        connection = MemoryConnection(server.core)
        log = tmp_path / "audit.log"
        await server.write("sys/audit/file", type="file", options={"file_path": str(log)})
        secrets = await _rekey_and_generate(server, connection)
        records = [json.loads(line) for line in log.read_text().splitlines()]
        text = log.read_text()
    told = [r["request"]["path"] for r in records if r["type"] == "response"]
    assert told.count("sys/rekey/update") == 2
    assert told.count("sys/rekey/init") == 1
    assert told.count("sys/generate-root/update") == 1
    for secret in secrets:
        assert secret not in text


async def _rekey_and_generate(server: Running, connection: MemoryConnection) -> list[str]:
    begun = send(connection, "PUT", "rekey/init", secret_shares=1, secret_threshold=1)[1]
    for key in server.keys[:2]:
        body = {"key": key.hex(), "nonce": begun["nonce"]}
        new = send(connection, "PUT", "rekey/update", **body)[1]
    root = send(connection, "PUT", "generate-root/attempt")[1]
    body = {"key": new["keys"][0], "nonce": root["nonce"]}
    done = send(connection, "PUT", "generate-root/update", **body)[1]
    return [
        *(key.hex() for key in server.keys[:2]),
        *new["keys"],
        *new["keys_base64"],
        root["otp"],
        done["encoded_token"],
    ]


async def test_raw_answers_are_not_wrapped_and_new_shares_never(served: Any) -> None:
    server, connection = served
    header = {"X_Vault_Wrap_TTL": "60"}
    body = json.dumps({"secret_shares": 1, "secret_threshold": 1}).encode()
    status, begun = ask(connection, "PUT", "/v1/sys/rekey/init", body, **header)
    assert (status, begun["started"]) == (200, True)
    given = {"key": server.keys[0].hex(), "nonce": begun["nonce"]}
    with pytest.raises(InvalidRequestError, match="their only copy"):
        await server.call(
            Operation.UPDATE, "sys/rotate/root" + "/update", given, wrap_ttl_seconds=60
        )
    assert send(connection, "GET", "rekey/init")[1]["progress"] == 0


@pytest.mark.parametrize("verified", [False, True])
async def test_shares_in_force_go_out_although_no_device_records_them(
    tmp_path: Path, verified: bool
) -> None:
    async with fresh(shares=3, threshold=2) as server:
        log = tmp_path / "audit.log"
        await server.write("sys/audit/file", type="file", options={"file_path": str(log)})
        begun = await put(
            server,
            "rekey/init",
            secret_shares=1,
            secret_threshold=1,
            require_verification=verified,
        )
        first, last = ({"key": key.hex(), "nonce": begun["nonce"]} for key in server.keys[:2])
        await put(server, "rekey/update", **first)
        lines = len(log.read_text().splitlines())
        _fail_responses(server)
        if verified:
            with pytest.raises(AuditFailedError):
                await put(server, "rekey/update", **last)
            assert (await server.core.seal_status()).shares == 3, "the old ones are in force"
        else:
            new = await put(server, "rekey/update", **last)
            assert (await server.core.seal_status()).shares == 1
            assert len(new["keys"]) == 1
        assert len(log.read_text().splitlines()) == lines + 1, "the request was recorded"


def _fail_responses(server: Running) -> None:
    def fail(*arguments: Any) -> None:
        raise AuditFailedError

    server.open.audit.log_response = fail  # type: ignore[method-assign]
