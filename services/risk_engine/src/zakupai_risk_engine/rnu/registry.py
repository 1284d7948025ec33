"""Asking goszakup for a supplier's state.

What lives here: the one request and what its outcome means. What never does: a cache.
"""

import datetime
from collections.abc import Callable

from zakupai_common.goszakup import Goszakup, NotFoundError
from zakupai_risk_engine.rnu.states import State, read_answer

ENDPOINT = "rnu"


class Registry:
    """The external registry."""

    def __init__(self, goszakup: Goszakup, clock: Callable[[], datetime.datetime]) -> None:
        self._goszakup = goszakup
        self._clock = clock

    async def state(self, number: str) -> State:
        """The state now; UNKNOWN for a BIN that is not there. Raises GoszakupError."""
        try:
            answer = await self._goszakup.get(ENDPOINT, f"/v3/rnu/{number}")
        except NotFoundError:
            return State.UNKNOWN
        try:
            return read_answer(number, answer, self._clock().date())
        except ValueError:
            raise self._goszakup.not_understood(ENDPOINT) from None
