"""Migrations over real S3 requests, with a fault at the n-th of them.

The bucket is the stand-in of tests/support; the program talks to it through the product's own S3
storage. Whatever happens, the run ends in the new stage or in the old one, and nothing is lost.
"""

import asyncio
from collections.abc import Mapping

import pytest

from tests.faults.migration.test_matrix import require_stage_again
from tests.faults.migration.world import (
    S3_URL,
    Killer,
    Site,
    connect,
    end_state,
    new_site,
    require_nothing_lost,
)
from tests.support.s3_standin import FAULTS, S3StandIn, error, running
from zvault.base.errors import ZvaultError
from zvault.base.secret import Secret
from zvault.ops.migration.errors import MigrationInterruptedError, MigrationRolledBackError
from zvault.ops.migration.ledger import open_run
from zvault.ops.migration.model import Options
from zvault.storage.api import Storage
from zvault.storage.inmem import InMemStorage
from zvault.storage.s3 import S3Storage
from zvault.storage.s3_options import RetryPolicy, S3Credentials, S3Options

PREFIX = "vault/"
FEW = RetryPolicy(attempts=3, first_seconds=0.001, cap_seconds=0.002, deadline_seconds=5)


class Bucket(InMemStorage):
    """What the stand-in holds, as the server in memory sees it."""

    def __init__(self, standin: S3StandIn) -> None:
        self._standin = standin
        super().__init__(url=S3_URL)

    @property
    def _values(self) -> Mapping[str, bytes]:
        objects = self._standin.objects
        return {name.removeprefix(PREFIX): value for name, value in objects.items()}

    @_values.setter
    def _values(self, _: object) -> None:
        """The base's own memory is not used."""

    def _put(self, key: str, value: bytes) -> None:
        self._standin.objects[PREFIX + key] = value

    def _delete(self, key: str) -> None:
        self._standin.objects.pop(PREFIX + key, None)


def over_http(site: Site, standin: S3StandIn) -> None:
    """Move the site's bucket into the stand-in and let the program reach it over HTTP."""
    options = S3Options(
        bucket=standin.bucket,
        prefix=PREFIX.rstrip("/"),
        credentials=S3Credentials("id", Secret("secret")),
        endpoint=standin.endpoint,
        region="us-east-1",
        provider="generic",
        retry=FEW,
        timeout_seconds=0.3,
    )
    before = site.stores.get(S3_URL)
    for key, value in (dict(before._values) if before else {}).items():
        standin.objects[PREFIX + key] = value
    site.stores[S3_URL] = Bucket(standin)

    def opener(read_only: bool) -> Storage:
        return S3Storage.open(options, read_only=read_only)

    site.openers[S3_URL] = opener


async def migrate(site: Site, to_stage: int) -> None:
    operator = connect(site, Killer())[1]()
    proposal = await operator.propose(to_stage, Options())
    assert proposal.refusals == ()
    await operator.migrate(proposal, proposal.id)


async def uninterrupted(origin: int, to_stage: int) -> tuple[int, Site]:
    """How many requests the direction makes, and where it ends."""
    async with running() as standin:
        site = new_site(origin)
        over_http(site, standin)
        await migrate(site, to_stage)
        require_nothing_lost(site)
        return standin.requests, site


async def one_fault(origin: int, to_stage: int, n: int, fault: str, model: Site) -> None:
    async with running() as standin:
        site = new_site(origin)
        over_http(site, standin)
        standin.faults[n] = fault
        where = f"{fault} at request {n}"
        try:
            await migrate(site, to_stage)
        except MigrationRolledBackError:
            require_stage_again(new_site(origin), site, committed=False, where=where)
        except (ZvaultError, AssertionError):
            # Refused while planning: nothing was begun.
            if site.journal:
                raise
        else:
            assert end_state(site) == end_state(model), where
        require_nothing_lost(site)


@pytest.mark.parametrize(("origin", "to_stage"), [(8, 9), (9, 8)])
async def test_a_fault_at_every_request_ends_in_the_new_stage_or_the_old_one(
    origin: int, to_stage: int
) -> None:
    count, model = await uninterrupted(origin, to_stage)
    assert count > 30
    for n in range(1, count + 1):
        await one_fault(origin, to_stage, n, FAULTS[n % len(FAULTS)], model)


@pytest.mark.soak
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("origin", "to_stage"), [(8, 9), (9, 8)])
async def test_every_fault_at_every_request(origin: int, to_stage: int, fault: str) -> None:
    count, model = await uninterrupted(origin, to_stage)
    for n in range(1, count + 1):
        await one_fault(origin, to_stage, n, fault, model)


@pytest.mark.parametrize(("origin", "to_stage"), [(8, 9), (9, 8)])
async def test_a_bucket_that_dies_and_comes_back_lets_the_run_be_put_back(
    origin: int, to_stage: int
) -> None:
    count, _ = await uninterrupted(origin, to_stage)
    for n in range(1, count + 1, 3):
        async with running() as standin:
            site = new_site(origin)
            over_http(site, standin)
            standin.always = lambda _, at=n, s=standin: (  # type: ignore[misc]
                error(500, "InternalError") if s.requests >= at else None
            )
            with pytest.raises((ZvaultError, AssertionError)) as caught:
                await migrate(site, to_stage)
            if origin == 8:  # its own store is a file, so it serves again at once
                assert site.serving(), f"dead from request {n} on: nobody serves ({caught.value})"
            standin.always = None
            operator = connect(site, Killer())[1]()
            if isinstance(caught.value, MigrationInterruptedError):
                assert await operator.turn_back() is not None
            assert open_run(operator.journal.records) is None
            for _ in range(3):
                await site.tick()
            where = f"dead from request {n} on"
            require_stage_again(new_site(origin), site, committed=False, where=where)
            require_nothing_lost(site)


async def test_the_stand_in_is_reached_over_http() -> None:
    async with running() as standin:
        site = new_site(8)
        over_http(site, standin)
        await migrate(site, 9)
        assert standin.requests > 30
        assert PREFIX + "core/keyring" in standin.objects
        await asyncio.sleep(0)
