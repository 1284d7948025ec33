"""Limits counted in Redis, for all gateways together.

What lives here: sending checks and reading decisions. What never does: what to do without Redis.
Invariants: one check is one call of one script, whatever number of limits it has; checks that come
while one is under way travel together; nobody waits longer than the time-out.
"""

import asyncio
import logging
from collections.abc import Sequence
from importlib.resources import files

from hiredis import pack_command
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoScriptError, ResponseError

from zakupai_gateway.limits.gcra import Charge, Decision

_log = logging.getLogger("zakupai.limits")
_SCRIPT = files("zakupai_gateway.limits").joinpath("gcra.lua").read_text("utf-8")
_PREFIX = "zakupai:limit:1:"
"""1: the form of what is stored, a time in microseconds."""
_TOGETHER = 64
_Waiting = tuple[Sequence[Charge], "asyncio.Future[Decision]"]


class LimitsUnavailableError(Exception):
    """Redis did not decide; whether it counted is unknown."""


class RedisLimits:
    """``timeout_seconds`` bounds one check as a whole, connecting included.

    It keeps one connection of ``redis`` for itself, and so spares a check the way through pool and
    pipeline: two thirds of its cost. ``redis.aclose()`` closes it.
    """

    def __init__(self, redis: Redis, timeout_seconds: float) -> None:
        self._redis = redis
        self._timeout = timeout_seconds
        self._connection: AbstractConnection | None = None
        self._digest = ""
        self._waiting: list[_Waiting] = []
        self._sender: asyncio.Task[None] | None = None

    async def check(self, charges: Sequence[Charge]) -> Decision:
        """Charge all or, when one refuses, none. Raises LimitsUnavailableError."""
        future: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        self._waiting.append((charges, future))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_all())
        return await future

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_TOGETHER], self._waiting[_TOGETHER:]
                try:
                    async with asyncio.timeout(self._timeout):
                        answers = await self._ask([charges for charges, _ in batch])
                except Exception as error:  # whatever it is, somebody waits for an answer
                    _log.warning("Redis did not decide: %s", type(error).__name__)
                    batch, self._waiting = batch + self._waiting, []
                    answers = [error] * len(batch)
                for (charges, future), answer in zip(batch, answers, strict=True):
                    _settle(charges, future, answer)
        finally:
            self._sender = None

    async def _ask(self, checks: list[Sequence[Charge]]) -> list[object]:
        connection = await self._connected()
        if self._digest:
            answers = await self._call(connection, checks)
            if not any(isinstance(answer, NoScriptError) for answer in answers):
                return answers
        # Redis was restarted: it did none of them, because it knows none of its scripts.
        self._digest = await self._redis.script_load(_SCRIPT)
        return await self._call(connection, checks)

    async def _connected(self) -> AbstractConnection:
        """Our connection, ready: none that Redis closed, none with an answer left in it."""
        pool, connection = self._redis.connection_pool, self._connection
        if connection is None:
            connection = self._connection = await pool.get_connection()  # type: ignore[no-untyped-call]
            connection.socket_timeout = None  # ours bounds everything; theirs costs a task a check
        elif not connection.is_connected or await connection.can_read():
            await pool.ensure_connection(connection)
        return connection

    async def _call(
        self, connection: AbstractConnection, checks: list[Sequence[Charge]]
    ) -> list[object]:
        commands = b"".join([self._command(charges) for charges in checks])
        await connection.send_packed_command(commands, check_health=False)
        return [await _answer(connection) for _ in checks]

    def _command(self, charges: Sequence[Charge]) -> bytes:
        keys = [_PREFIX + charge.key for charge in charges]
        numbers = [n for one in charges for n in (one.limit.interval, one.limit.span)]
        command = ("EVALSHA", self._digest, len(keys), *keys, *numbers)
        packed: bytes = pack_command(command)  # type: ignore[arg-type]  # its stub: tuples of one
        return packed


async def _answer(connection: AbstractConnection) -> object:
    """One answer; an error of Redis' own is one too. Whatever else it raises has closed it."""
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


def _settle(charges: Sequence[Charge], future: "asyncio.Future[Decision]", answer: object) -> None:
    if future.done():
        return  # its request went away
    if not isinstance(answer, list):
        future.set_exception(LimitsUnavailableError(type(answer).__name__))
        return
    refused, number, remaining, retry_after, reset = answer
    charge = charges[number - 1]
    future.set_result(Decision(not refused, charge, remaining, retry_after, reset))
