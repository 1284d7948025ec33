"""Uses of secret ids against a model: logins at once, expiry, destruction, sweeps, restarts."""

import asyncio
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.opened import context_for, fresh_barrier, request
from zvault.base.clock import ManualClock
from zvault.engine.backends.approle import backend as approle
from zvault.engine.errors import InvalidRequestError
from zvault.engine.identity.lockout import Lockout, LockoutConfig
from zvault.records.mounts import AUTH, MountEntry

ENTRY = MountEntry(path="approle/", type="approle", table=AUTH, uuid="u")


@dataclass
class Modelled:
    secret_id: str
    accessor: str
    uses: int | None
    dies_at: int | None
    is_dead: bool = False

    def logins(self, tries: int, now: int) -> int:
        """How many of ``tries`` logins must succeed, and the count afterwards."""
        if self.is_dead or (self.dies_at is not None and self.dies_at <= now):
            return 0
        if self.uses is None:
            return tries
        won = min(tries, self.uses)
        self.uses -= won
        self.is_dead = self.uses == 0
        return won


which = st.integers(0, 5)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("make"), st.integers(0, 3), st.integers(0, 3)),
        st.tuples(st.just("login"), which, st.integers(1, 4)),
        st.tuples(st.just("destroy"), which),
        st.tuples(st.just("destroy-accessor"), which),
        st.tuples(st.just("sweep")),
        st.tuples(st.just("restart")),
        st.tuples(st.just("wait"), st.integers(1, 2)),
    ),
    max_size=25,
)


@settings(max_examples=80, deadline=None)
@given(steps)
def test_a_secret_id_logs_in_as_often_as_it_may_and_never_more(run: list[tuple[Any, ...]]) -> None:
    asyncio.run(_play(run))


async def _play(run: list[tuple[Any, ...]]) -> None:
    clock = ManualClock()
    context = replace(
        context_for(await fresh_barrier(clock=clock), ENTRY, clock),
        lockout=Lockout(clock, lambda: LockoutConfig(disabled=True)),  # a law of its own
    )
    backend = approle.make(context)
    await backend.handle(request("create", "role/r", {"role_id": "rid"}))
    known: list[Modelled] = []
    for step in run:
        if step[0] == "wait":
            clock.advance(step[1])
        elif step[0] == "restart":
            backend = approle.make(context)
        elif step[0] == "sweep":
            await backend.sweep()
        elif step[0] == "make":
            known.append(await _make(backend, clock, uses=step[1], ttl=step[2]))
        elif step[1] < len(known):
            await _use(backend, clock, known[step[1]], step)
    await backend.sweep()
    alive = [
        one
        for one in known
        if not one.is_dead and (one.dies_at is None or one.dies_at > clock.now_ns())
    ]
    listed = await backend.handle(request("list", "role/r/secret-id/"))
    keys = [] if listed is None or listed.data is None else listed.data["keys"]
    assert sorted(keys) == sorted(one.accessor for one in alive)
    assert len(await context.view.list("accessor/")) == len(alive)


async def _make(backend: approle.AppRole, clock: ManualClock, *, uses: int, ttl: int) -> Modelled:
    answer = await backend.handle(
        request("update", "role/r/secret-id", {"num_uses": uses, "ttl": ttl})
    )
    assert answer is not None
    assert answer.data is not None
    dies_at = clock.now_ns() + ttl * 10**9 if ttl else None
    data = answer.data
    return Modelled(data["secret_id"], data["secret_id_accessor"], uses or None, dies_at)


async def _use(
    backend: approle.AppRole, clock: ManualClock, one: Modelled, step: tuple[Any, ...]
) -> None:
    if step[0] == "login":
        body = {"role_id": "rid", "secret_id": one.secret_id}
        results = await asyncio.gather(
            *(backend.handle(request("update", "login", body)) for _ in range(step[2])),
            return_exceptions=True,
        )
        for result in results:
            assert not isinstance(result, BaseException) or isinstance(result, InvalidRequestError)
        won = sum(not isinstance(result, BaseException) for result in results)
        assert won == one.logins(step[2], clock.now_ns())
    elif step[0] == "destroy":
        await backend.handle(
            request("update", "role/r/secret-id/destroy", {"secret_id": one.secret_id})
        )
        one.is_dead = True
    elif not one.is_dead and (one.dies_at is None or one.dies_at > clock.now_ns()):
        path, body = "role/r/secret-id-accessor/destroy", {"secret_id_accessor": one.accessor}
        await backend.handle(request("update", path, body))
        one.is_dead = True
