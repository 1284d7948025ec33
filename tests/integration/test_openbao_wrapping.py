"""Wrapped by one server, unwrapped by the other: the engine and OpenBao 2.6.2 on one store."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_openbao_interop import engine, ok, opened, unseal
from tests.support.openbao import OpenBao, running
from tests.support.running import Running
from zvault.base.clock import SystemClock
from zvault.engine.api import Operation

pytestmark = pytest.mark.real("openbao-2.6.2")
UNWRAP = "sys/wrapping/unwrap"


async def engine_wraps(server: Running) -> dict[str, str]:
    """Tokens around a secret, a login's secret id, a token, a list and a deleted version."""
    call, update = server.call, Operation.UPDATE
    await server.write("sys/mounts/secret", type="kv-v2")
    await server.write("sys/auth/approle", type="approle")
    await server.write("auth/approle/role/web", token_policies=["default"])
    for name in ("a", "gone"):
        await server.write(f"secret/data/{name}", data={"v": name})
    await server.delete("secret/data/gone")
    asked = {
        "secret": (Operation.READ, "secret/data/a", {}),
        "gone": (Operation.READ, "secret/data/gone", {}),
        "secret_id": (update, "auth/approle/role/web/secret-id", {}),
        "token": (update, "auth/token/create", {"policies": ["default"]}),
        "list": (Operation.LIST, "secret/metadata/", {}),
        "own": (update, "sys/wrapping/wrap", {"a": 1}),
        "looked_up": (update, "sys/wrapping/wrap", {"b": 2}),
    }
    made = {}
    for name, (operation, path, data) in asked.items():
        response = await call(operation, path, data, wrap_ttl_seconds=600)
        assert response is not None
        assert response.wrap_info is not None
        made[name] = response.wrap_info.token
    return made


def openbao_unwraps(bao: OpenBao, made: dict[str, str], root: str) -> None:
    """OpenBao gives out what the engine has put away, each once."""
    for path in ("sys/wrapping/lookup",):
        found = ok(bao.request("POST", path, {"token": made["looked_up"]}))["data"]
        assert (found["creation_path"], found["creation_ttl"]) == ("sys/wrapping/wrap", 600)
    secret = ok(bao.request("POST", UNWRAP, {}, token=made["secret"]))
    assert secret["data"]["data"] == {"v": "a"}
    status, gone = bao.request("POST", UNWRAP, {"token": made["gone"]}, token=root)
    assert (status, gone["data"]["data"]) == (404, None)
    assert ok(bao.request("POST", UNWRAP, {}, token=made["secret_id"]))["data"]["secret_id"]
    auth = ok(bao.request("POST", UNWRAP, {}, token=made["token"]))["auth"]
    assert ok(bao.request("GET", "auth/token/lookup-self", token=auth["client_token"]))
    assert ok(bao.request("POST", UNWRAP, {}, token=made["list"]))["data"]["keys"] == ["a", "gone"]
    assert ok(bao.request("POST", UNWRAP, {}, token=made["own"]))["data"] == {"a": 1}
    assert bao.request("POST", UNWRAP, {}, token=made["own"])[0] == 400


def openbao_wraps(bao: OpenBao, root: str) -> dict[str, str]:
    """The same requests, to OpenBao."""
    import urllib.request

    def wrapped(method: str, path: str, body: Any = None) -> str:
        request = urllib.request.Request(
            f"{bao.address}/v1/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-Vault-Token": root, "X-Vault-Wrap-TTL": "600"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return str(json.loads(answer.read())["wrap_info"]["token"])

    made = {
        "secret": wrapped("GET", "secret/data/a"),
        "gone": wrapped("GET", "secret/data/gone"),
        "token": wrapped("POST", "auth/token/create", {"policies": ["default"]}),
        "own": wrapped("POST", "sys/wrapping/wrap", {"a": 1}),
    }
    first = wrapped("POST", "sys/wrapping/wrap", {"twice": 1})
    made["twice"] = wrapped("POST", UNWRAP, {"token": first})
    return made


async def test_wrapped_by_one_and_unwrapped_by_the_other(tmp_path: Path) -> None:
    data = tmp_path / "data"
    core = await engine(data)
    outcome = await core.initialize(1, 1)
    keys = [key.reveal() for key in outcome.keys]
    root = outcome.root_token.reveal_text()
    server = Running(core, SystemClock(), keys, root)  # type: ignore[arg-type]
    await server.unseal()
    made = await engine_wraps(server)
    await core.shutdown()
    with running(tmp_path, data) as bao:
        unseal(bao, keys)
        openbao_unwraps(bao, made, root)
        theirs = openbao_wraps(bao, root)
        bao.stop()
    server = await opened(data, keys, root)
    try:
        await engine_unwraps(server, theirs)
        own = await server.call(Operation.UPDATE, UNWRAP, {"token": made["looked_up"]})
        assert own is not None
    finally:
        await server.core.shutdown()


async def engine_unwraps(server: Running, made: dict[str, str]) -> None:
    """The engine gives out what OpenBao has put away."""
    bodies = {}
    for name, token in made.items():
        response = await server.write(UNWRAP, token)
        assert response is not None
        assert response.raw_body is not None
        bodies[name] = (response.status or 200, json.loads(response.raw_body))
    assert bodies["secret"][1]["data"]["data"] == {"v": "a"}
    assert bodies["gone"][0] == 404
    assert bodies["own"][1]["data"] == {"a": 1}
    assert bodies["twice"][1]["data"] == {"twice": 1}
    assert await server.alive(bodies["token"][1]["auth"]["client_token"])
