"""A write load on an engine in this process, and what its clients were told; then the judgement."""

import asyncio
import random
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.test_openbao_interop import unseal
from tests.support import openbao
from tests.support.running import Running
from zvault.base.secret import Secret
from zvault.engine.errors import EngineError
from zvault.offline.verify import verify_store
from zvault.storage.api import Storage

WORKERS = 6
POLICY = """
path "kv/data/*" { capabilities = ["create", "read", "update"] }
path "auth/token/create" { capabilities = ["update"] }
"""


@dataclass
class Told:
    """What was acknowledged. ``sent`` is what may or may not have happened."""

    values: dict[str, int] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)
    live: set[str] = field(default_factory=set)
    dead: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    acknowledged: int = 0


async def prepare(server: Running) -> dict[str, str]:
    """Mounts, policy and role; the credentials of a login."""
    await server.write("sys/mounts/kv", type="kv", options={"version": "2"})
    await server.write("sys/auth/approle", type="approle")
    await server.policy("load", POLICY)
    await server.write("auth/approle/role/r", token_policies=["load"], token_ttl="10h")
    role = await server.read("auth/approle/role/r/role-id")
    secret = await server.write("auth/approle/role/r/secret-id")
    assert role is not None
    assert secret is not None
    assert secret.data is not None
    while True:  # the KV mount is being set up
        try:
            await server.write("kv/data/ready", data={"n": 0})
            break
        except EngineError:
            await asyncio.sleep(0.01)
    return {"role_id": role["role_id"], "secret_id": secret.data["secret_id"]}


async def load(server: Running, login: dict[str, str], told: Told, seed: int) -> None:
    """Workers write until the store dies under them."""
    await asyncio.gather(
        *(_work(server, login, told, random.Random(seed * 100 + n), n) for n in range(WORKERS))
    )


async def _work(
    server: Running, login: dict[str, str], told: Told, rng: random.Random, worker: int
) -> None:
    mine: list[str] = []
    number = 0
    try:
        while True:
            number += 1
            act = rng.choice(("kv", "kv", "login", "create", "revoke", "renew"))
            if act == "kv":
                path = f"kv/data/w{worker}/{rng.randrange(3)}"
                told.sent[path] = number
                await server.write(path, data={"n": number})
                told.values[path] = number
            elif act == "login":
                response = await server.write("auth/approle/login", "", **login)
                assert response is not None
                assert response.auth is not None
                mine.append(response.auth.client_token)
                told.live.add(mine[-1])
            elif act == "create":
                mine.append(await server.token(policies=["load"], ttl="5h"))
                told.live.add(mine[-1])
            elif mine and act == "renew":
                await server.write("auth/token/renew-self", rng.choice(mine))
            elif mine:
                token = mine.pop(rng.randrange(len(mine)))
                told.live.discard(token)
                told.unsure.add(token)
                await server.revoke(token)
                told.unsure.discard(token)
                told.dead.add(token)
            told.acknowledged += 1
    except EngineError:
        return


async def judge(server: Running, told: Told) -> None:
    """Everything acknowledged is so; what was not may be either way."""
    for token in told.live:
        assert await server.alive(token)
    for token in told.dead:
        assert not await server.alive(token)
    for path, last in told.sent.items():
        data = await server.read(path)
        found = 0 if data is None else data["data"]["n"]
        assert told.values.get(path, 0) <= found <= last, path
    for token in told.unsure | told.live:
        await server.revoke(token)
        assert not await server.alive(token)
    await server.open.settled()
    assert not server.open.leases.unreadable


async def prove(storage: Storage, keys: list[bytes]) -> None:
    """Every entry opens, none that a client relies on is missing."""
    report = await verify_store(storage, [Secret(key) for key in keys])
    assert report.unopened_count == 0, report.unopened
    assert not report.losses, report.findings
    assert not [key async for key in _leftovers(storage)]


def openbao_finds(place: Path, data: Path, keys: list[bytes], root: str, told: Told) -> None:
    """The same judgement by the real server on the store at ``data``, as far as it can tell."""
    with openbao.running(place, data) as bao:
        unseal(bao, keys)
        for token in sorted(told.live)[:10]:
            assert bao.request("GET", "auth/token/lookup-self", token=token)[0] == 200
        for token in sorted(told.dead)[:10]:
            assert bao.request("GET", "auth/token/lookup-self", token=token)[0] == 403
        for path, last in told.sent.items():
            status, body = bao.request("GET", path, token=root)
            found = body["data"]["data"]["n"] if status == 200 else 0
            assert told.values.get(path, 0) <= found <= last, path


async def _leftovers(storage: Storage):  # type: ignore[no-untyped-def]
    from zvault.storage.walk import walk

    async for key in walk(storage):
        if await storage.get(key) is None:
            yield key
