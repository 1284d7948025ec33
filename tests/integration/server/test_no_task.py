"""The real engine behind the real protocol: a read that caches can answer makes no task."""

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.support.memory_http import MemoryConnection
from tests.support.running import fresh


async def test_a_cached_kv_read_makes_no_task_also_with_an_audit_device(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    made: list[Any] = []

    def factory(loop: asyncio.AbstractEventLoop, coro: Any) -> "asyncio.Task[Any]":
        made.append(coro)
        return asyncio.Task(coro, loop=loop)

    async with fresh() as running:
        await running.write("sys/mounts/kv", type="kv", options={"version": "2"})
        await running.write("sys/mounts/old", type="kv")
        await running.write("kv/data/a", data={"k": "v"})
        await running.write("old/a", k="v")
        await running.policy("reader", 'path "kv/data/*" { capabilities = ["read"] }')
        token = await running.token(policies=["reader"], ttl="1h")
        await running.write(
            "sys/audit/file", type="file", options={"file_path": str(tmp_path / "audit.log")}
        )
        connection = MemoryConnection(running.core)  # type: ignore[arg-type]
        asked = [("kv/data/a", token), ("kv/data/a", running.root), ("old/a", running.root)]
        requests = [
            f"GET /v1/{path} HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {who}\r\n\r\n".encode()
            for path, who in asked
        ]
        for request in requests:
            connection.feed(request)
            await asyncio.sleep(0.01)
        loop.set_task_factory(factory)
        try:
            for request in requests * 10:
                connection.feed(request)
                await asyncio.sleep(0)
        finally:
            loop.set_task_factory(None)
        assert made == []
        answers = connection.answers()
        assert [status for status, _ in answers] == [200] * 33
        assert json.loads(answers[-3][1])["data"]["data"] == {"k": "v"}
        records = (tmp_path / "audit.log").read_text().splitlines()
        assert len([r for r in records if '"path":"kv/data/a"' in r]) == 2 * 22
