"""An ``audit`` stanza means the same to OpenBao and to the engine, over one store."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from launcher.ports import free_port
from tests.support.engine_server import EngineServer
from tests.support.openbao import OpenBao
from tests.support.real import require
from zvault.base.clock import SystemClock
from zvault.engine.api import Operation, Request
from zvault.engine.audit.declared import DeclaredDevice
from zvault.engine.core import Core
from zvault.engine.settings import CoreSettings
from zvault.storage.file import FileStorage

pytestmark = pytest.mark.real("openbao-2.6.2")


async def asked(core: Core, token: str, path: str, **data: Any) -> dict[str, Any]:
    operation = Operation.UPDATE if data else Operation.READ
    request = Request("id", operation, path, data, client_token=token, remote_address="127.0.0.1")
    response = await core.handle(request)
    assert response is not None
    return dict(response.data or {})


async def test_a_declared_device_goes_to_and_fro_with_its_salt(tmp_path: Path) -> None:
    require("openbao-2.6.2")
    data, log = tmp_path / "data", tmp_path / "audit.log"
    data.mkdir()
    stanza = {"audit": [{"type": "file", "path": "main/", "options": {"file_path": str(log)}}]}
    bao = OpenBao(tmp_path, data, free_port(), more=stanza)
    bao.start()
    try:
        assert bao.process is not None
        server = EngineServer(tmp_path, bao.address, bao.process)
        server.initialize()
        theirs = server.request("POST", "sys/audit-hash/main", {"input": "x"})[1]["data"]["hash"]
    finally:
        bao.stop()
    declared = DeclaredDevice("main/", "file", "", {"file_path": str(log)})
    settings = CoreSettings(family="openbao", audit=(declared,))
    for audit, expected in (((declared,), ["main/"]), ((), [])):
        core = Core(FileStorage.open(data), replace(settings, audit=audit), clock=SystemClock())
        await core.start()
        await core.submit_share(bytes.fromhex(server.keys[0]))
        assert sorted(await asked(core, server.token, "sys/audit")) == expected
        if audit:
            ours = await asked(core, server.token, "sys/audit-hash/main", input="x")
            assert ours["hash"] == theirs
        await core.shutdown()
    paths = [json.loads(line)["request"]["path"] for line in log.read_text().splitlines()]
    assert paths.count("sys/audit/test") == 1, "it was there when the engine came"
    core = Core(FileStorage.open(data), settings, clock=SystemClock())
    await core.start()
    await core.submit_share(bytes.fromhex(server.keys[0]))
    ours = await asked(core, server.token, "sys/audit-hash/main", input="x")
    assert ours["hash"] != theirs, "a new device has a new salt"
    await core.shutdown()
    bao.start()
    try:
        again = EngineServer(tmp_path, bao.address, bao.process, server.keys, server.token)
        again.unseal()
        status, listed = again.request("GET", "sys/audit")
        assert (status, list(listed["data"])) == (200, ["main/"])
        hashed = again.request("POST", "sys/audit-hash/main", {"input": "x"})[1]["data"]["hash"]
        assert hashed == ours["hash"], "what the engine made OpenBao goes on with"
    finally:
        bao.stop()
