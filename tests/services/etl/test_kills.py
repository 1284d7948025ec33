"""A run that is cut off anywhere goes on without loss, and counts nothing twice."""

import contextlib
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from launcher.goszakup import record
from launcher.outside import Act, Outside, World, hang
from launcher.programs import Programs, beside_python
from tests.services.etl.conftest import NOW, empty
from tests.services.etl.running import begin, counted, kept, state, until, worker_of
from tests.support.service_stand import Provided, Stand, standing
from zakupai_common.db import Database
from zakupai_etl.engine import LOOK_OPTION, Engine
from zakupai_etl.entities import PAGE_SIZE
from zakupai_etl.runs.store import WORKER_LOCK

ASKED = ["trd_buy", "lots"]


class Killed(BaseException):
    """The process is gone: nothing handles this."""


class Faults:
    """Lets ``allowed`` operations happen; before or after the next one the process is gone."""

    def __init__(self, allowed: int, *, after: bool) -> None:
        self.left, self.after = allowed, after

    def before_it(self) -> None:
        if self.left == 0 and not self.after:
            raise Killed

    def after_it(self) -> None:
        if self.left == 0 and self.after:
            raise Killed
        self.left -= 1


class MortalDatabase:
    """A database whose user dies around a transaction."""

    def __init__(self, real: Database, faults: Faults) -> None:
        self._real, self._faults = real, faults
        self.try_lock = real.try_lock

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        async with self._real.begin() as connection:
            yield connection
            self._faults.before_it()  # everything is written and nothing is committed
        self._faults.after_it()


async def is_free(stand: Stand) -> bool:
    """PostgreSQL has noticed that whoever held the lock is gone."""
    async with stand.parts.database.try_lock(WORKER_LOCK) as free:
        return free


async def run_with_faults(stand: Stand, faults: Faults) -> bool:
    """Work as a process that dies; whether it did."""
    worker, goszakup = worker_of(stand), stand.parts.own(Engine).goszakup
    ask = goszakup.post

    async def mortal(*asked: Any) -> Any:
        faults.before_it()
        answer = await ask(*asked)
        faults.after_it()
        return answer

    worker._database = MortalDatabase(stand.parts.database, faults)  # type: ignore[assignment]
    goszakup.post = mortal  # type: ignore[method-assign]
    try:
        await worker.once()
    except Killed:
        await until(lambda: is_free(stand))
        return True
    finally:
        goszakup.post = ask  # type: ignore[method-assign]
    return False


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_run_killed_at_each_operation_resumes_without_loss_or_double_counting(
    etl: Stand, world: World, after: bool
) -> None:
    world.records["Lots"][1]["lotNumber"] = None
    killed = 0
    for number in range(200):
        await empty(etl)
        run = await begin(etl, entities=ASKED)
        if not await run_with_faults(etl, Faults(number, after=after)):
            break
        killed += 1
        await worker_of(etl).once()
        found = await state(etl, run)
        assert found["status"] == "partial_success", number
        assert counted(found, "trd_buy") == (7, 7, 0, 0, 0), number
        assert counted(found, "lots") == (4, 3, 0, 0, 1), number
        assert await kept(etl, "trd_buy") == [10, 20, 30, 40, 50, 60, 70]
        assert await kept(etl, "lots") == [10, 30, 40]
        refusals = (await etl.call("GET", f"/runs/{run['run_id']}/refused/lots")).json()["items"]
        assert [(one["number"], one["record_id"]) for one in refusals] == [(1, "20")]
    else:
        pytest.fail("the run never came to its end")
    # 5 pages with three operations each, and what is around them.
    assert killed >= 20


async def test_a_run_killed_after_every_operation_of_its_own_still_ends(
    etl: Stand, world: World
) -> None:
    """Each process gets one page further and no more."""
    run = await begin(etl, entities=ASKED)
    lives = 0
    while await run_with_faults(etl, Faults(6, after=True)):
        lives += 1
        assert lives < 50
    assert lives > 3
    found = await state(etl, run)
    assert found["status"] == "success"
    assert counted(found, "trd_buy") == (7, 7, 0, 0, 0)
    assert await kept(etl, "lots") == [10, 20, 30, 40]


async def test_a_process_that_is_killed_at_every_page_is_followed_by_one_that_goes_on(
    provided: Provided, abroad: Outside, world: World, tmp_path: Path
) -> None:
    """kill -9 of the real command, in the middle of each page's request."""
    pages = 3
    count = PAGE_SIZE * (pages - 1) + 7
    world.records = {"Lots": [record("Lots", key, NOW) for key in range(1, count + 1)]}
    told = replace(
        provided,
        settings=replace(
            provided.settings,
            urls={"goszakup": abroad.url},
            options={**provided.settings.options, LOOK_OPTION: "1"},
        ),
    )
    programs, address = Programs(tmp_path / "run"), f"http://127.0.0.1:{told.settings.port}"

    async def up() -> None:
        programs.start("etl", [beside_python("zakupai-etl"), "serve"], told.environment())
        async with httpx.AsyncClient() as client:

            async def ready() -> bool:
                with contextlib.suppress(httpx.TransportError):
                    return (await client.get(f"{address}/ready")).status_code == 200
                return False

            await until(ready)

    ordinary: Act = lambda handler: handler.answer(*handler.ordinary())  # noqa: E731
    async with standing(told, options={**told.settings.options, LOOK_OPTION: "0"}) as stand:
        await empty(stand)
        stand.parts.clock = lambda: NOW
        run = await begin(stand, entities=["lots"])
        try:
            for page in range(pages):
                # The page that the last process did not get, and one more.
                world.acts.extend([hang] if page == 0 else [ordinary, hang])
                asked = len(world.asked) + (1 if page == 0 else 2)
                await up()

                async def in_the_middle(wanted: int = asked) -> bool:
                    return len(world.asked) >= wanted

                await until(in_the_middle)
                assert programs.stop("etl", signal.SIGKILL)
                found = await state(stand, run)
                assert (found["status"], found["totals"]["read"]) == ("running", page * PAGE_SIZE)
            await up()

            async def ended() -> bool:
                return bool((await state(stand, run))["status"] != "running")

            await until(ended)
        finally:
            programs.stop("etl")
        found = await state(stand, run)
        assert found["status"] == "success"
        assert counted(found, "lots") == (count, count, 0, 0, 0)
        assert await kept(stand, "lots") == list(range(1, count + 1))
        cursors = [json.loads(one.body)["variables"]["after"] for one in world.asked]
        assert cursors == [0, 0, 200, 200, 400, 400]
        assert_no_secret(provided, programs.log("etl").read_text())


def assert_no_secret(provided: Provided, log: str) -> None:
    texts = [str(value) for values in provided.values.values() for value in values.values()]
    assert not [text for text in texts if len(text) > 20 and text in log]
