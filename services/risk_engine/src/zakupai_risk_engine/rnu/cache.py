"""States in Redis: quick, and never older than they may be.

What lives here: one key a supplier. What never does: an error for the caller; without Redis nothing
is found and nothing kept.
Invariants: a key ends when the check it came from is ``age`` old, however late it was written; a
Redis that fails three times in a row is left alone for five seconds, so a hung one does not cost
its time-out on every request.
"""

import datetime
import json
import logging
from dataclasses import dataclass

import redis.exceptions
from redis.asyncio import Redis

from zakupai_common.breaker import Breaker
from zakupai_risk_engine.rnu.states import State

_log = logging.getLogger("zakupai.risk.cache")
_FAILURES, _OPEN_SECONDS = 3, 5.0


@dataclass(frozen=True)
class Checked:
    """A state, and when the registry said so."""

    state: State
    checked_at: datetime.datetime


class RnuCache:
    """``age``: how old a check may become."""

    def __init__(self, client: "Redis", age: datetime.timedelta) -> None:
        self._redis = client
        self._age = age
        self._breaker = Breaker(_FAILURES, _OPEN_SECONDS)

    async def get(self, number: str, now: datetime.datetime) -> Checked | None:
        """What is kept and young enough."""
        if not self._breaker.admit():
            return None
        try:
            kept = await self._redis.get(_key(number))
        except (redis.exceptions.RedisError, OSError) as error:
            self._failed(error)
            return None
        except BaseException:
            self._breaker.abandoned()
            raise
        self._breaker.succeeded()
        found = None if kept is None else _read(kept)
        return found if found and now - found.checked_at < self._age else None

    async def put(self, number: str, checked: Checked, now: datetime.datetime) -> None:
        """Keep it for what is left of its age."""
        left = int((checked.checked_at + self._age - now).total_seconds())
        if left < 1 or not self._breaker.admit():
            return
        kept = {"state": checked.state.value, "checked_at": checked.checked_at.isoformat()}
        try:
            await self._redis.set(_key(number), json.dumps(kept), ex=left)
        except (redis.exceptions.RedisError, OSError) as error:
            self._failed(error)
        except BaseException:
            self._breaker.abandoned()
            raise
        else:
            self._breaker.succeeded()

    def _failed(self, error: Exception) -> None:
        self._breaker.failed()
        _log.warning("Redis: %s", type(error).__name__)


def _key(number: str) -> str:
    return f"risk:rnu:v1:{number}"


def _read(kept: bytes | str) -> Checked | None:
    try:
        told = json.loads(kept)
        moment = datetime.datetime.fromisoformat(told["checked_at"])
        return Checked(State(told["state"]), moment.astimezone(datetime.UTC))
    except (ValueError, KeyError, TypeError):
        return None
