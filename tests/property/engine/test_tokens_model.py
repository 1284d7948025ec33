"""The life of tokens against a slow model: random families, renewals, uses, revocations, time.

The model is a list of records and one rule a line; it knows no cache, no storage, no lease.
"""

import asyncio
from dataclasses import dataclass

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.running import Running, fresh, restarted
from zvault.engine.errors import EngineError

MAKER = (
    'path "auth/token/create" { capabilities = ["update"] }\n'
    'path "auth/token/create-orphan" { capabilities = ["update"] }'
)


@dataclass
class Modelled:
    """What the model knows of one token."""

    parent: int | None
    ends: float
    ttl: float
    uses: int
    dead: bool = False


class Model:
    """All tokens by number; number 0 is the root token."""

    def __init__(self) -> None:
        self.now = 0.0
        self.tokens = [Modelled(None, float("inf"), 0, 0)]

    def alive(self, number: int) -> bool:
        token = self.tokens[number]
        return not token.dead and token.ends > self.now

    def end_what_is_due(self) -> None:
        for number, token in enumerate(self.tokens):
            if token.ends <= self.now:
                self.revoke(number)

    def revoke(self, number: int) -> None:
        self.tokens[number].dead = True
        for child, token in enumerate(self.tokens):
            if token.parent == number and not token.dead:
                self.revoke(child)

    def orphan_children(self, number: int) -> None:
        for token in self.tokens:
            if token.parent == number and not token.dead:
                token.parent = None
        self.tokens[number].dead = True


numbers = st.integers(0, 5)
creations = st.tuples(st.just("create"), numbers, st.sampled_from([60, 600, 3600]), st.booleans())
looks = st.tuples(st.just("look"), numbers, st.just(0), st.just(False))
operations = st.one_of(
    creations,
    creations,
    creations,
    looks,
    looks,
    st.tuples(st.just("limited"), numbers, st.integers(1, 2), st.just(False)),
    st.tuples(st.just("revoke"), numbers, st.just(0), st.just(False)),
    st.tuples(st.just("orphan"), numbers, st.just(0), st.just(False)),
    st.tuples(st.just("renew"), numbers, st.just(0), st.just(False)),
    st.tuples(st.just("wait"), st.just(0), st.sampled_from([30, 61, 700, 4000]), st.booleans()),
    st.tuples(st.just("restart"), st.just(0), st.just(0), st.just(False)),
)


def chosen(model: Model, kind: str, number: int) -> int:
    """The token meant, counted from the newest back; mostly one that lives, for what needs one."""
    everything = range(len(model.tokens))
    wanted = list(everything)
    if kind in ("create", "revoke", "orphan", "renew") and number < 5:
        lives = [n for n in everything if model.alive(n) and not model.tokens[n].uses]
        wanted = lives if kind == "create" else lives[1:]
    return wanted[-1 - number % len(wanted)] if wanted else 0


async def act(
    server: Running,
    model: Model,
    ids: list[str],
    step: tuple[str, int, int, bool],
) -> Running:
    kind, number, amount, flag = step
    number = chosen(model, kind, number)
    token = model.tokens[number]
    if kind == "create" and not token.uses:
        path = "create-orphan" if flag else "create"
        could = model.alive(number)
        made = None
        try:
            made = await server.token(ids[number], path=path, policies=["m"], ttl=amount)
        except EngineError:
            assert not could
        if made is not None:
            assert could
            ids.append(made)
            parent = None if flag else number
            model.tokens.append(Modelled(parent, model.now + amount, amount, 0))
    elif kind == "limited":
        ids.append(await server.token(policies=["m"], num_uses=amount, ttl=600))
        model.tokens.append(Modelled(0, model.now + 600, 600, amount))
    elif kind == "revoke" and number:
        await server.revoke(ids[number])
        model.revoke(number)
    elif kind == "orphan" and number:
        was_there = not token.dead
        try:
            await server.call_update("auth/token/revoke-orphan", {"token": ids[number]})
        except EngineError:
            assert not was_there
        else:
            model.orphan_children(number)
    elif kind == "renew" and number and not token.uses:
        try:
            await server.write("auth/token/renew-self", ids[number])
        except EngineError:
            assert not model.alive(number)
        else:
            assert model.alive(number)
            token.ends = model.now + token.ttl
    elif kind == "look":
        expected = model.alive(number)
        assert await server.alive(ids[number]) is expected
        if expected and token.uses:
            token.uses -= 1
            if not token.uses:
                token.uses = -1
                model.revoke(number)
    elif kind == "wait":
        server.clock.advance(amount)
        model.now += amount
        if flag:
            await server.core.tick()
            model.end_what_is_due()
    elif kind == "restart":
        await server.core.seal()
        server = await restarted(server)
        await server.open.settled()
    return server


async def run(steps: list[tuple[str, int, int, bool]]) -> None:
    async with fresh() as first:
        await first.policy(
            "m", MAKER + '\npath "auth/token/*" { capabilities = ["update", "read"] }'
        )
        server, model, ids = first, Model(), [first.root]
        for step in steps:
            server = await act(server, model, ids, step)
        for number, token in enumerate(ids):
            if not model.tokens[number].uses:
                assert await server.alive(token) is model.alive(number), number
        await server.core.seal()


@settings(max_examples=40, deadline=None)
@given(st.lists(operations, min_size=20, max_size=60))
@example(
    [
        ("create", 0, 3600, False),
        ("create", 0, 3600, False),
        ("create", 0, 3600, False),
        ("revoke", 2, 0, False),
        ("look", 0, 0, False),
    ]
)
@example(
    [
        ("create", 0, 600, False),
        ("create", 0, 3600, False),
        ("wait", 0, 700, True),
        ("restart", 0, 0, False),
        ("look", 0, 0, False),
    ]
)
def test_tokens_live_and_die_as_the_model_says(steps: list[tuple[str, int, int, bool]]) -> None:
    asyncio.run(run(steps))
