"""A copy killed at every call to its source or destination, then resumed; reality decides."""

import json
import os
from pathlib import Path

import pytest

from tests.support.faulty_storage import FaultyStorage, Killed
from zvault.storage.api import Delete, Put
from zvault.storage.compare import compare_stores
from zvault.storage.copy import copy_store, sync_store
from zvault.storage.copy_journal import CopyJournal
from zvault.storage.errors import (
    CopyJournalError,
    CopyProofError,
    DestinationNotEmptyError,
    StoreLockedError,
)
from zvault.storage.inmem import InMemStorage

VALUES = {
    "core/seal-config": b"{}",
    "core/keyring": b"keyring",
    "core/lock": b"lock",
    "core/migration": b"{}",
    **{f"logical/{number:02}/entry": b"v" * number for number in range(12)},
    "a": b"1",
    "a/b": b"2",
}
COPIED = {key: value for key, value in VALUES.items() if key not in ("core/lock", "core/migration")}


async def content(store: InMemStorage) -> dict[str, bytes]:
    return {info.key: await store.get(info.key) or b"" async for info in store.list_objects()}


async def count_calls(parallel: int, tmp_path: Path) -> tuple[int, int]:
    source, destination = FaultyStorage(InMemStorage(VALUES)), FaultyStorage(InMemStorage())
    journal = tmp_path / "count.journal"
    await copy_store(source, destination, journal=journal, parallel=parallel)
    return source.calls, destination.calls


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("parallel", [1, 4])
async def test_a_copy_killed_anywhere_resumes_to_the_same_end(
    tmp_path: Path, parallel: int, after_effect: bool
) -> None:
    of_source, of_destination = await count_calls(parallel, tmp_path)
    assert of_source > 15
    assert of_destination > 15
    cases = [("source", at) for at in range(1, of_source + 1)]
    cases += [("destination", at) for at in range(1, of_destination + 1)]
    for side, at in cases:
        journal = tmp_path / f"{side}-{at}.journal"
        source, destination = InMemStorage(VALUES, url="inmem:a"), InMemStorage(url="inmem:b")
        wrapped = FaultyStorage(
            source if side == "source" else destination, at, after_effect=after_effect
        )
        with pytest.raises(Killed):
            await copy_store(
                wrapped if side == "source" else source,
                wrapped if side == "destination" else destination,
                journal=journal,
                parallel=parallel,
            )
        if (await destination.get("core/keyring")) is not None:
            assert await content(destination) == COPIED, "the keyring comes last"
        if not journal.exists() or not journal.read_bytes():
            assert await content(destination) == {}, "nothing is written before the journal says so"
        report = await copy_store(source, destination, journal=journal, parallel=parallel)
        assert await content(destination) == COPIED
        assert report.entries == len(COPIED)


async def test_a_resumed_copy_repairs_what_the_journal_claims_and_the_destination_lacks(
    tmp_path: Path,
) -> None:
    journal = tmp_path / "journal"
    source, destination = InMemStorage(VALUES, url="inmem:a"), InMemStorage(url="inmem:b")
    with pytest.raises(Killed):
        await copy_store(source, FaultyStorage(destination, 12), journal=journal, parallel=1)
    await destination.apply([Put("logical/01/entry", b"torn"), Delete("logical/02/entry")])
    await destination.apply([Put("logical/03/deleted-in-source-since", b"x")])
    report = await copy_store(source, destination, journal=journal)
    assert report.resumed
    assert await content(destination) == COPIED


async def test_a_destination_that_holds_anything_is_refused_and_untouched(tmp_path: Path) -> None:
    source, destination = InMemStorage(VALUES, url="inmem:a"), InMemStorage({"x/y": b"foreign"})
    for journal in (None, tmp_path / "journal"):
        with pytest.raises(DestinationNotEmptyError, match="x/y"):
            await copy_store(source, destination, journal=journal)
    assert await content(destination) == {"x/y": b"foreign"}


async def test_a_finished_journal_gives_no_permission_any_more(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    source, destination = InMemStorage(VALUES, url="inmem:a"), InMemStorage(url="inmem:b")
    await copy_store(source, destination, journal=journal)
    await destination.apply([Put("written/since", b"precious")])
    with pytest.raises(DestinationNotEmptyError):
        await copy_store(source, destination, journal=journal)
    assert await destination.get("written/since") == b"precious"


async def test_a_destination_initialised_by_others_since_the_interruption_is_refused(
    tmp_path: Path,
) -> None:
    journal = tmp_path / "journal"
    source, destination = InMemStorage(VALUES, url="inmem:a"), InMemStorage(url="inmem:b")
    with pytest.raises(Killed):
        await copy_store(source, FaultyStorage(destination, 8), journal=journal, parallel=1)
    await destination.apply([Put("core/keyring", b"of another vault")])
    with pytest.raises(DestinationNotEmptyError, match="initialised"):
        await copy_store(source, destination, journal=journal)
    assert await destination.get("core/keyring") == b"of another vault"


async def test_a_copy_killed_during_its_proof_only_looks_when_it_resumes(tmp_path: Path) -> None:
    """All was written; a server may serve the destination by now, so nothing may be put back."""
    journal = tmp_path / "journal"
    source, destination = InMemStorage(VALUES, url="inmem:a"), InMemStorage(url="inmem:b")
    calls = (await count_calls(1, tmp_path))[1]
    with pytest.raises(Killed):
        await copy_store(source, FaultyStorage(destination, calls), journal=journal, parallel=1)
    await destination.apply([Put("written/since", b"precious")])
    with pytest.raises(CopyProofError, match="written/since"):
        await copy_store(source, destination, journal=journal)
    assert await destination.get("written/since") == b"precious"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"zvault_copy_journal": 2, "source": "inmem:a", "destination": "inmem:b"}\n', "version"),
        ('{"zvault_copy_journal": 1, "source": "inmem:x", "destination": "inmem:b"}\n', "source"),
        ('{"something": "else"}\n', "no copy journal"),
        (
            '{"zvault_copy_journal": 1, "source": "inmem:a", "destination": "inmem:b"}\nxx\n{}\n',
            "2",
        ),
    ],
)
async def test_a_journal_that_is_not_this_copys_is_refused(
    tmp_path: Path, text: str, said: str
) -> None:
    journal = tmp_path / "journal"
    journal.write_text(text)
    source, destination = InMemStorage(VALUES, url="inmem:a"), InMemStorage(url="inmem:b")
    with pytest.raises(CopyJournalError, match=said):
        await copy_store(source, destination, journal=journal)
    assert await content(destination) == {}
    assert journal.read_text() == text


@pytest.mark.parametrize(
    "text", ['["a share"]', "notes\nwithout an end", '{"zvault_copy_journal": 1}', "\n", "x\n"]
)
async def test_a_file_that_is_no_journal_is_refused_and_left_as_it_is(
    tmp_path: Path, text: str
) -> None:
    precious = tmp_path / "precious"
    precious.write_text(text)
    source, destination = InMemStorage(VALUES, url="inmem:a"), InMemStorage(url="inmem:b")
    with pytest.raises(CopyJournalError, match="is no copy journal"):
        await copy_store(source, destination, journal=precious)
    assert precious.read_text() == text
    assert await content(destination) == {}


async def test_a_pipe_is_no_journal(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    source, destination = InMemStorage(VALUES, url="inmem:a"), InMemStorage(url="inmem:b")
    with pytest.raises(CopyJournalError, match="is no copy journal"):
        await copy_store(source, destination, journal=tmp_path / "pipe")


async def test_a_header_cut_off_anywhere_is_an_empty_journal(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    source = InMemStorage(VALUES, url="inmem:a")
    await copy_store(source, InMemStorage(url="inmem:b"), journal=journal)
    header = journal.read_bytes().splitlines()[0]
    for cut in range(len(header) + 1):
        journal.write_bytes(header[:cut])
        destination = InMemStorage(url="inmem:b")
        assert not (await copy_store(source, destination, journal=journal)).resumed
        assert await content(destination) == COPIED


async def test_a_journal_serves_one_copy_after_the_other(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    source = InMemStorage(VALUES, url="inmem:a")
    for _ in range(2):
        destination = InMemStorage(url="inmem:b")
        assert not (await copy_store(source, destination, journal=journal)).resumed
    destination = InMemStorage(url="inmem:b")
    with pytest.raises(Killed):
        await copy_store(source, FaultyStorage(destination, 12), journal=journal, parallel=1)
    assert (await copy_store(source, destination, journal=journal)).resumed
    assert await content(destination) == COPIED


async def test_a_journal_cut_off_anywhere_still_leads_to_the_same_end(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    source, destination = InMemStorage(VALUES, url="inmem:a"), InMemStorage(url="inmem:b")
    with pytest.raises(Killed):
        await copy_store(source, FaultyStorage(destination, 12), journal=journal, parallel=1)
    whole = journal.read_bytes()
    state = await content(destination)
    for cut in range(len(whole.splitlines()[0]) + 1, len(whole) + 1):
        journal.write_bytes(whole[:cut] + b'{"cursor": "lo')
        copy = InMemStorage(state, url="inmem:b")
        await copy_store(source, copy, journal=journal)
        assert await content(copy) == COPIED


@pytest.mark.parametrize(
    "line",
    ["[]", '{"cursor": 1, "entries": 2}', '{"cursor": "a", "entries": "x"}', "{}", "[" * 9999],
)
async def test_a_line_that_no_copy_writes_is_damage(tmp_path: Path, line: str) -> None:
    journal = tmp_path / "journal"
    header = '{"zvault_copy_journal": 1, "source": "inmem:a", "destination": "inmem:b"}'
    journal.write_text(f"{header}\n{line}\n")
    with pytest.raises(CopyJournalError, match="line 2"):
        await copy_store(
            InMemStorage(VALUES, url="inmem:a"), InMemStorage(url="inmem:b"), journal=journal
        )


async def test_a_journal_that_cannot_be_opened_or_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, destination = InMemStorage(VALUES, url="inmem:a"), InMemStorage(url="inmem:b")
    with pytest.raises(CopyJournalError, match="cannot be opened"):
        await copy_store(source, destination, journal=tmp_path / "no" / "journal")
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:5]))
    with pytest.raises(CopyJournalError, match="No space left"):
        await copy_store(source, destination, journal=tmp_path / "journal")
    monkeypatch.undo()
    assert (tmp_path / "journal").read_bytes() == b""
    assert await content(destination) == {}


async def test_two_copies_cannot_share_a_journal(tmp_path: Path) -> None:
    held = CopyJournal.open(tmp_path / "journal", source="inmem:a", destination="inmem:b")
    with pytest.raises(StoreLockedError):
        await copy_store(
            InMemStorage(VALUES, url="inmem:a"),
            InMemStorage(url="inmem:b"),
            journal=tmp_path / "journal",
        )
    held.close()


async def test_a_journal_says_what_happened_and_nothing_secret(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    source, destination = InMemStorage(VALUES, url="inmem:a"), InMemStorage(url="inmem:b")
    await copy_store(source, destination, journal=journal)
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert lines[0] == {"zvault_copy_journal": 1, "source": "inmem:a", "destination": "inmem:b"}
    assert {"finishing": True} in lines
    assert lines[-1] == {
        "done": True, "entries": len(COPIED), "bytes": sum(map(len, COPIED.values()))
    }  # fmt: skip
    assert journal.stat().st_mode & 0o777 == 0o600


async def test_a_delta_killed_anywhere_runs_again_to_the_same_end() -> None:
    changed = {**VALUES, "logical/01/entry": b"changed", "new": b"n", "core/keyring": b"rotated"}
    for key in ("logical/05/entry", "a/b"):
        del changed[key]
    wanted = {k: v for k, v in changed.items() if k not in ("core/lock", "core/migration")}
    source = InMemStorage(changed, url="inmem:a")
    counted = FaultyStorage(InMemStorage(COPIED, url="inmem:b"))
    report = await sync_store(source, counted)
    assert (report.written, report.deleted, report.entries) == (3, 2, len(wanted))
    for at in range(1, counted.calls + 1):
        for after_effect in (False, True):
            destination = InMemStorage(COPIED, url="inmem:b")
            with pytest.raises(Killed):
                await sync_store(source, FaultyStorage(destination, at, after_effect=after_effect))
            await sync_store(source, destination)
            assert await content(destination) == wanted
            assert (await compare_stores(source, destination)).equal
