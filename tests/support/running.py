"""The engine in this process: unsealed, asked without HTTP, under a clock that tests move."""

import asyncio
import base64
import itertools
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.golden import Golden, unpack
from tests.support.golden_storage import FILE_STORES, in_memory
from zvault.base.clock import ManualClock
from zvault.base.gotime import parse_time
from zvault.engine.api import Operation, Request, Response
from zvault.engine.core import Core
from zvault.engine.errors import EngineError
from zvault.engine.settings import CoreSettings
from zvault.engine.unsealed import Unsealed
from zvault.storage.api import Storage
from zvault.storage.file import FileStorage
from zvault.storage.inmem import InMemStorage

GOLDEN_NOW = "2026-11-22T00:00:00Z"
GOLDEN_MAX_TTL_NS = 87_600 * 3600 * 10**9
_numbers = itertools.count(1)


@dataclass
class Running:
    """One core and what a test needs to talk to it."""

    core: Core
    clock: ManualClock
    keys: list[bytes] = field(default_factory=list)
    root: str = ""

    @property
    def open(self) -> Unsealed:
        """The unsealed store."""
        assert self.core.unsealed is not None
        return self.core.unsealed

    async def call(
        self,
        operation: Operation,
        path: str,
        data: dict[str, Any] | None = None,
        token: str | None = None,
        **more: Any,
    ) -> Response | None:
        """One request; ``token`` None means root."""
        request = Request(
            f"request-{next(_numbers)}",
            operation,
            path,
            dict(data or {}),
            client_token=self.root if token is None else token,
            remote_address=more.pop("address", "127.0.0.1"),
            **more,
        )
        return await self.core.handle(request)

    async def read(self, path: str, token: str | None = None) -> dict[str, Any] | None:
        """The data of a read."""
        response = await self.call(Operation.READ, path, token=token)
        return None if response is None else response.data

    async def call_read_version(self, path: str, version: int) -> dict[str, Any] | None:
        """One version of a KV v2 secret."""
        response = await self.call(Operation.READ, path, {"version": str(version)})
        return None if response is None else response.data

    async def write(self, path: str, token: str | None = None, **data: Any) -> Response | None:
        """One write."""
        return await self.call(Operation.UPDATE, path, data, token)

    async def call_update(
        self, path: str, data: dict[str, Any], token: str | None = None
    ) -> Response | None:
        """One write whose data may have any key."""
        return await self.call(Operation.UPDATE, path, data, token)

    async def delete(self, path: str, token: str | None = None) -> Response | None:
        """One delete."""
        return await self.call(Operation.DELETE, path, token=token)

    async def list(self, path: str, token: str | None = None) -> list[str]:
        """The keys of a LIST."""
        response = await self.call(Operation.LIST, path, token=token)
        return [] if response is None or not response.data else list(response.data["keys"])

    async def token(self, by: str | None = None, path: str = "create", **wish: Any) -> str:
        """A new token's id."""
        response = await self.write(f"auth/token/{path}", by, **wish)
        assert response is not None
        assert response.auth is not None
        return response.auth.client_token

    async def policy(self, name: str, text: str) -> None:
        """Write a policy."""
        await self.write(f"sys/policies/acl/{name}", policy=text)

    async def revoke(self, token: str, by: str | None = None) -> None:
        """Revoke a token and its children."""
        await self.call(Operation.UPDATE, "auth/token/revoke", {"token": token}, by)

    async def alive(self, token: str) -> bool:
        """The token can look at itself."""
        try:
            await self.read("auth/token/lookup-self", token)
        except EngineError:
            return False
        return True

    async def unseal(self) -> None:
        """Submit all shares."""
        for key in self.keys:
            if not (await self.core.submit_share(key)).sealed:
                return
        raise AssertionError("stayed sealed")

    async def tick(self, seconds: float = 0) -> int:
        """Move on and end what is due."""
        self.clock.advance(seconds)
        return await self.core.tick()


async def restarted(running: Running, storage: Storage | None = None) -> Running:
    """A new core over the same storage, as after a kill: nothing of the old one is asked."""
    core = Core(storage or running.core.storage, running.core.settings, clock=running.clock)
    await core.start()
    again = Running(core, running.clock, running.keys, running.root)
    await again.unseal()
    return again


@asynccontextmanager
async def fresh(
    storage: Storage | None = None,
    *,
    shares: int = 1,
    threshold: int = 1,
    random_bytes: Callable[[int], bytes] | None = None,
    **settings: Any,
) -> AsyncIterator[Running]:
    """An initialised, unsealed engine in memory (or over ``storage``)."""
    clock = ManualClock()
    options = {} if random_bytes is None else {"random_bytes": random_bytes}
    core = Core(
        storage or InMemStorage(),
        CoreSettings(storage_type="inmem", **settings),
        clock=clock,
        **options,
    )
    await core.start()
    made = await core.initialize(shares, threshold)
    running = Running(
        core, clock, [key.reveal() for key in made.keys], made.root_token.reveal_text()
    )
    await running.unseal()
    try:
        yield running
    finally:
        await core.seal()


@asynccontextmanager
async def golden(name: str, directory: Path) -> AsyncIterator[tuple[Running, Golden]]:
    """A golden store served by the engine, on the day after it was written.

    File stores are served from their files, the others (objects, a snapshot) from memory.
    """
    storage: Storage
    if name in FILE_STORES:
        store = unpack(name, directory)
        storage = FileStorage.open(store.data)
    else:
        store, storage = await in_memory(name, directory)
    clock = ManualClock(parse_time(GOLDEN_NOW))
    core = Core(storage, CoreSettings(max_lease_ttl_ns=GOLDEN_MAX_TTL_NS), clock=clock)
    await core.start()
    shares = store.expected["shares"][: store.expected["threshold"]]
    keys = [base64.b64decode(share) for share in shares]
    running = Running(core, clock, keys, store.expected["root_token"])
    await running.unseal()
    try:
        yield running, store
    finally:
        await core.shutdown()


def slow_down(server: Running) -> None:
    """Storage calls take their time, as on a disk, and not always the same."""
    storage = server.open.barrier.storage
    get, apply = storage.get, storage.apply
    luck = random.Random(7)

    async def pause() -> None:
        for _ in range(luck.randrange(8)):
            await asyncio.sleep(0)

    async def slow_get(key: str) -> bytes | None:
        await pause()
        return await get(key)

    async def slow_apply(operations: Any) -> None:
        await pause()
        await apply(operations)
        await pause()

    storage.get = slow_get  # type: ignore[method-assign]
    storage.apply = slow_apply  # type: ignore[method-assign]
