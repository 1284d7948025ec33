"""Transit as a real Vault had it: its recorded answers are ours, its ciphertexts open."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.running import Running, fresh, golden
from zvault.engine.api import Operation
from zvault.engine.errors import EngineError
from zvault.server.envelope import answer_for
from zvault.server.errors import status_of

TRANSCRIPT = Path(__file__).parent / "transcripts" / "transit.json"
STORES = [
    "vault-file",
    "vault-audited",
    "vault-rotated-rekeyed",
    "vault-s3",
    "openbao-file",
    "openbao-raft",
]
OPERATIONS = {"GET": Operation.READ, "LIST": Operation.LIST, "DELETE": Operation.DELETE}
VOLATILE = {"request_id", "creation_time", "random_bytes"}
NOISE = [
    (re.compile(r"-----BEGIN [^-]+-----[^-]+-----END [^-]+-----\n?"), "<pem>"),
    (re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{43}=(?![A-Za-z0-9=])"), "<b64-32>"),
    (re.compile(r"vault:v(\d+):[A-Za-z0-9+/=_-]+"), r"vault:v\1:<ct>"),
]


def normal(value: Any) -> Any:
    """An answer as the transcript has it."""
    if isinstance(value, dict):
        return {k: "<v>" if k in VOLATILE and v else normal(v) for k, v in value.items()}
    if isinstance(value, list):
        return [normal(item) for item in value]
    if isinstance(value, str):
        for pattern, stand_in in NOISE:
            value = pattern.sub(stand_in, value)
    elif isinstance(value, int) and not isinstance(value, bool) and value > 1_600_000_000:
        return "<epoch>"
    return value


def filled(value: Any, captured: dict[str, str]) -> Any:
    """A body with the values of earlier answers."""
    if isinstance(value, str):
        return re.sub(r"\{(\w[\w-]*)\}", lambda m: captured.get(m[1], m[0]), value)
    if isinstance(value, dict):
        return {key: filled(item, captured) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, captured) for item in value]
    return value


async def played(server: Running, step: dict[str, Any], captured: dict[str, str]) -> Any:
    """Status and body of one step."""
    operation = OPERATIONS.get(step["method"], Operation.UPDATE)
    path = step["path"] + ("/" if operation is Operation.LIST else "")
    try:
        response = await server.call(operation, path, filled(step["body"] or {}, captured))
    except EngineError as error:
        return status_of(error), {"errors": error.messages}
    answer = answer_for("id", operation, path, response)
    return answer.status, json.loads(answer.body) if answer.body else None


async def test_every_recorded_answer_is_ours_too() -> None:
    differences, compared, captured = [], 0, {}
    async with fresh() as server:
        for step in json.loads(TRANSCRIPT.read_text())["steps"]:
            status, body = await played(server, step, captured)
            for name, where in step["capture"].items():
                value: Any = body
                for part in where.split("."):
                    value = (value or {}).get(part)
                if value is not None:
                    captured[name] = value
            if "status" in step:
                compared += 1
                ours, theirs = (status, normal(body)), (step["status"], step["answer"])
                if ours != theirs:
                    differences.append((step["method"], step["path"], ours, theirs))
    assert not differences
    assert compared == 41


@pytest.mark.parametrize("store", STORES)
async def test_the_ciphertext_of_a_golden_store_opens(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the audited store's device names a relative file
    async with golden(store, tmp_path) as (server, found):
        wanted = found.expected["transit"]
        key, ciphertext = wanted["key"], wanted["ciphertext"]
        opened = await server.write(f"transit/decrypt/{key}", ciphertext=ciphertext)
        assert opened is not None
        assert opened.data is not None
        plaintext = base64.b64decode(opened.data["plaintext"]).decode()
        assert plaintext == wanted["plaintext"]
        again = await server.write(f"transit/rewrap/{key}", ciphertext=ciphertext)
        assert again is not None
        assert again.data is not None
        assert again.data["key_version"] == 2
        with pytest.raises(EngineError, match="message authentication failed"):
            await server.write(
                f"transit/decrypt/{key}", ciphertext=ciphertext.replace("vault:v2", "vault:v1")
            )
