"""The barrier behaves like a dict, whatever rotates and reopens in between."""

import asyncio
import os
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from zvault.barrier.barrier import Barrier
from zvault.barrier.record import open_record, seal_record
from zvault.barrier.unseal import initialize_store, unseal_with_key
from zvault.base.clock import ManualClock
from zvault.crypto.aead import new_aead
from zvault.storage.api import Delete, Put
from zvault.storage.inmem import InMemStorage

KEYS = [f"logical/u/{name}" for name in ("a", "b", "c/d", "тендер")]
steps = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(KEYS), st.binary(max_size=40)),
    st.tuples(st.just("delete"), st.sampled_from(KEYS)),
    st.tuples(st.just("rotate")),
    st.tuples(st.just("count")),
    st.tuples(st.just("reopen")),
)


async def run(program: list[tuple[Any, ...]], family: str) -> None:
    storage, clock = InMemStorage(), ManualClock()
    result = await initialize_store(
        storage, 1, 1, family=family, random_bytes=os.urandom, clock=clock
    )
    barrier: Barrier = result.barrier
    model: dict[str, bytes] = {}
    terms = 1
    for step in program:
        match step:
            case ("put", key, value):
                await barrier.apply([Put(key, value)])
                model[key] = value
            case ("delete", key):
                await barrier.apply([Delete(key)])
                model.pop(key, None)
            case ("rotate",):
                terms += 1
                assert await barrier.rotate() == terms
            case ("count",):
                await barrier.persist_encryption_count()
            case ("reopen",):
                barrier = await unseal_with_key(storage, result.shares[0], clock=clock)
                assert barrier.family == family
        assert {key: await barrier.get(key) for key in KEYS} == {k: model.get(k) for k in KEYS}
    assert barrier.keyring.active.term == terms


@given(st.lists(steps, max_size=12), st.sampled_from(["vault", "openbao"]))
def test_the_barrier_is_a_dict_across_rotations_and_reopenings(
    program: list[tuple[Any, ...]], family: str
) -> None:
    asyncio.run(run(program, family))


@given(st.text(max_size=40), st.binary(max_size=200), st.integers(0, 2**32 - 1))
def test_a_record_opens_under_its_key_and_term(key: str, plaintext: bytes, term: int) -> None:
    aead = new_aead(b"k" * 32)
    encodable = key.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    record = seal_record(aead, term, encodable, plaintext, os.urandom(12))
    assert open_record({term: aead}, encodable, record) == plaintext
