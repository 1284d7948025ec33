"""S3 that fails at the n-th request, for every n of a copy and every kind of failure."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import s3_standin
from tests.support.s3_standin import FAULTS, S3StandIn
from zvault.base.errors import ZvaultError
from zvault.base.secret import Secret
from zvault.storage.api import Put
from zvault.storage.compare import compare_stores
from zvault.storage.copy import CopyReport, copy_store, sync_store
from zvault.storage.errors import CopyProofError, StorageError
from zvault.storage.inmem import InMemStorage
from zvault.storage.keys import LAST_KEYS
from zvault.storage.s3 import S3Storage
from zvault.storage.s3_options import RetryPolicy, S3Credentials, S3Options

VALUES = {
    "core/seal-config": b"{}",
    "core/keyring": b"keyring",
    "core/lock": b"lock",
    "logical/1/a b+c": b"v" * 3000,
    "logical/1/a b+c/d": b"w" * 10,
    "sys/token/id/ü": b"",
}
COPIED = {key: value for key, value in VALUES.items() if key != "core/lock"}
HABITS = {"aws": s3_standin.AWS, "b2": s3_standin.B2, "generic": s3_standin.GENERIC}


async def no_wait(seconds: float) -> None:
    await asyncio.sleep(0)


def connect(standin: S3StandIn, provider: str, attempts: int = 4) -> S3Storage:
    options = S3Options(
        "vault",
        S3Credentials("id", Secret("secret")),
        prefix="p",
        endpoint=standin.endpoint,
        provider=provider,
        timeout_seconds=0.3,
        retry=RetryPolicy(attempts=attempts),
    )
    return S3Storage.open(options, sleep=no_wait, cache_bytes=0)


def held(standin: S3StandIn) -> dict[str, bytes]:
    return {name.removeprefix("p/"): body for name, body in standin.objects.items()}


async def attempt(source: InMemStorage, store: S3Storage, journal: Path) -> object:
    """The copy's report or the error that ended it."""
    try:
        return await copy_store(source, store, journal=journal, parallel=1)
    except ZvaultError as error:
        return error


async def count_requests(provider: str, *, upload: bool) -> int:
    async with s3_standin.running(habits=HABITS[provider]) as standin:
        if upload:
            await copy_store(InMemStorage(VALUES), connect(standin, provider), parallel=1)
        else:
            standin.objects = {"p/" + key: value for key, value in VALUES.items()}
            await copy_store(connect(standin, provider), InMemStorage(), parallel=1)
        return standin.requests


@pytest.mark.parametrize("provider", ["aws", "b2", "generic"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_one_failure_at_any_request_of_an_upload_ends_proven_or_named(
    tmp_path: Path, fault: str, provider: str
) -> None:
    total = await count_requests(provider, upload=True)
    assert total >= len(COPIED) + 2
    step = 3 if fault == "hang" else 1
    for at in range(1, total + 1, step):
        async with s3_standin.running(habits=HABITS[provider], faults={at: fault}) as standin:
            source, journal = InMemStorage(VALUES), tmp_path / f"{at}.journal"
            outcome = await attempt(source, connect(standin, provider), journal)
            if isinstance(outcome, CopyReport):
                assert held(standin) == COPIED, f"request {at}"
                assert outcome.entries == len(COPIED)
            else:
                assert fault == "silent-drop", f"{at}: one failure is retried, not {outcome}"
                assert isinstance(outcome, CopyProofError)
                assert held(standin) != COPIED


@pytest.mark.parametrize("provider", ["aws", "generic"])
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "silent-drop"])
async def test_one_failure_at_any_request_of_a_download_ends_proven(
    fault: str, provider: str
) -> None:
    total = await count_requests(provider, upload=False)
    step = 3 if fault == "hang" else 1
    for at in range(1, total + 1, step):
        async with s3_standin.running(habits=HABITS[provider], faults={at: fault}) as standin:
            standin.objects = {"p/" + key: value for key, value in VALUES.items()}
            destination = InMemStorage()
            await copy_store(connect(standin, provider), destination, parallel=1)
            found = {i.key: await destination.get(i.key) async for i in destination.list_objects()}
            assert found == COPIED, f"request {at}"


@pytest.mark.parametrize(
    "fault", [fault for fault in FAULTS if fault not in ("hang", "wrong-etag")]
)
async def test_a_provider_that_stays_broken_ends_the_copy_named_and_resumable(
    tmp_path: Path, fault: str
) -> None:
    total = await count_requests("b2", upload=True)
    for at in range(1, total + 1):
        async with s3_standin.running(habits=s3_standin.B2) as standin:
            standin.faults = dict.fromkeys(range(at, at + 500), fault)
            source, journal = InMemStorage(VALUES), tmp_path / f"{at}.journal"
            broken = connect(standin, "b2", attempts=2)
            outcome = await attempt(source, broken, journal)
            if isinstance(outcome, CopyReport):
                assert held(standin) == COPIED
            else:
                assert isinstance(outcome, StorageError | CopyProofError)
                assert outcome.hint
                assert "vault" in outcome.message
            standin.faults = {}
            if held(standin) != COPIED or "done" not in journal.read_text():
                await _resume(source, connect(standin, "b2"), journal)
            assert held(standin) == COPIED


async def _resume(source: InMemStorage, store: S3Storage, journal: Path) -> None:
    try:
        await copy_store(source, store, journal=journal)
    except CopyProofError:  # all puts were acknowledged and some dropped: only a delta may write
        await sync_store(source, store)


async def test_a_dropped_put_is_found_by_the_proof_and_by_a_delta() -> None:
    async with s3_standin.running(habits=s3_standin.B2, faults={3: "silent-drop"}) as standin:
        source = InMemStorage(VALUES)
        with pytest.raises(CopyProofError, match="1 missing"):
            await copy_store(source, connect(standin, "b2"), parallel=1)
        report = await sync_store(source, connect(standin, "b2"))
        assert (report.written, held(standin)) == (1, COPIED)


async def test_a_delta_reads_back_each_write_so_a_dropped_one_is_an_error() -> None:
    async with s3_standin.running(habits=s3_standin.B2) as standin:
        standin.objects = {"p/" + key: value for key, value in COPIED.items()}
        source = InMemStorage({**VALUES, "new": b"1"})
        standin.always = lambda request: (
            s3_standin.Answer(200, headers={"ETag": standin.etag(request.body)})
            if request.method == "PUT"
            else None
        )
        with pytest.raises(CopyProofError, match="'new'"):
            await sync_store(source, connect(standin, "b2"))


async def test_equality_that_was_listed_is_not_said_to_have_been_read() -> None:
    async with s3_standin.running() as standin:
        source = InMemStorage(VALUES)
        await copy_store(source, connect(standin, "aws"))
        report = await sync_store(source, connect(standin, "aws"))
        read = sum(key in COPIED for key in LAST_KEYS)
        assert (report.kept, report.read_back) == (len(COPIED), read)
        assert report.proof == "md5-listing+read-back"


async def test_a_delta_reads_back_each_deletion_so_a_dropped_one_is_an_error() -> None:
    async with s3_standin.running(habits=s3_standin.B2) as standin:
        standin.objects = {"p/" + key: value for key, value in {**COPIED, "old": b"1"}.items()}
        source = InMemStorage(VALUES)
        standin.always = lambda request: (
            s3_standin.Answer(204) if request.method == "DELETE" else None
        )
        with pytest.raises(CopyProofError, match="'old'"):
            await sync_store(source, connect(standin, "b2"))


@pytest.mark.parametrize("etag", ["opaque", "multipart", "md5"])
async def test_equality_without_an_md5_is_read_back(etag: str) -> None:
    habits = replace(s3_standin.AWS, etag=etag)
    async with s3_standin.running(habits=habits) as standin:
        report = await copy_store(InMemStorage(VALUES), connect(standin, "aws"))
        read_back = 0 if etag == "md5" else len(COPIED)
        proof = "md5-listing" if etag == "md5" else "read-back"
        assert (report.read_back, report.proof) == (read_back, proof)


async def test_an_object_altered_behind_our_back_is_found_whatever_its_tag_says() -> None:
    for etag in ("opaque", "multipart", "md5"):
        async with s3_standin.running(habits=replace(s3_standin.AWS, etag=etag)) as standin:
            source, store = InMemStorage(VALUES), connect(standin, "aws")
            await copy_store(source, store)
            standin.objects["p/core/keyring"] = b"kEyring"
            comparison = await compare_stores(source, store)
            assert comparison.differing == ("core/keyring",)


async def test_b2_sees_no_checksum_header_no_bulk_delete_and_no_condition() -> None:
    async with s3_standin.running(habits=s3_standin.B2) as standin:
        store = connect(standin, "b2")
        await store.apply([Put("a", b"1")])
        assert await store.check_access() == ("list", "put", "get", "delete")
        assert {method for method, _ in standin.log} == {"GET", "PUT", "DELETE"}


async def test_pages_of_a_listing_are_fetched_and_repeated_one_by_one() -> None:
    for provider, habits in HABITS.items():
        paged = replace(habits, page=7)
        async with s3_standin.running(habits=paged, faults={2: "503", 4: "drop-before"}) as standin:
            standin.objects = {f"p/k/{number:03}": b"x" for number in range(50)}
            if paged.shuffled:
                standin.faults = {2: "503"}
            store = connect(standin, provider)
            found = [info.key async for info in store.list_objects()]
            assert found == [f"k/{number:03}" for number in range(50)], provider
            assert store.retries >= 1
