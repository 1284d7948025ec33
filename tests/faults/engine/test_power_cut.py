"""The engine under write load on a file store whose machine dies at a random moment.

With the kill alone, and with the loss of everything that was not synced. Then the store is opened
again by the engine, proven offline, and opened by a real OpenBao.
"""

import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.engine.load import Told, judge, load, openbao_finds, prepare, prove
from tests.support.faulty_storage import CrashingFileSystem
from tests.support.running import Running, fresh
from zvault.base.clock import SystemClock
from zvault.engine.core import Core
from zvault.engine.settings import CoreSettings
from zvault.storage.file import FileStorage
from zvault.storage.file_writing import LogOptions

ROUNDS, SOAK_PARTS, SOAK_ROUNDS = 8, 20, 10
OPENBAO_EVERY = 4
MOST_EFFECTS = 1_500


@dataclass(frozen=True)
class Store:
    """A filled store, and how to get in."""

    data: Path
    keys: list[bytes]
    root: str
    login: dict[str, str]


@pytest.fixture
async def store(tmp_path: Path) -> Store:
    data = tmp_path / "fresh"
    storage = FileStorage.open(data, fsync=False)
    async with fresh(storage) as server:
        login = await prepare(server)
        made = Store(data, server.keys, server.root, login)
    await storage.close()
    for name in (".zvault-tmp", ".zvault-log"):  # known to the model of the disk from the start
        (data / name).mkdir()
    return made


async def unsealed(storage: FileStorage, store: Store) -> Running:
    core = Core(storage, CoreSettings(), clock=SystemClock())
    await core.start()
    server = Running(core, SystemClock(), store.keys, store.root)  # type: ignore[arg-type]
    await server.unseal()
    return server


async def die_under_load(store: Store, place: Path, seed: int) -> tuple[Path, Told]:
    """One life; the data directory that its death left, and what clients were told."""
    rng = random.Random(seed)
    alive, rest = place / "alive", place / "rest"
    shutil.copytree(store.data, alive)
    files = CrashingFileSystem(alive)
    log = LogOptions(
        segment_bytes=rng.choice((1 << 13, 1 << 16, 1 << 24)),
        quiet_seconds=rng.choice((0.001, 5)),
    )
    storage = FileStorage.open(alive, files=files, log=log, cache_bytes=1 << 20)
    server = await unsealed(storage, store)
    files.at = files.effects + rng.randrange(1, MOST_EFFECTS)
    files.after_effect = rng.random() < 0.5
    told = Told()
    await load(server, store.login, told, seed)
    await server.core.seal()
    assert storage._writer is not None
    storage._writer.let_go()
    if rng.random() < 0.75:
        files.power_cut(rest)
        return rest, told
    return alive, told


async def one_round(store: Store, place: Path, seed: int, *, with_openbao: bool) -> int:
    data, told = await die_under_load(store, place, seed)
    if with_openbao:
        await FileStorage.open(data).close()
        await prove(FileStorage.open(data, read_only=True), store.keys)
        openbao_finds(place, data, store.keys, store.root, told)
    else:
        storage = FileStorage.open(data, log=LogOptions())
        await prove(storage, store.keys)
        server = await unsealed(storage, store)
        await judge(server, told)
        await server.core.shutdown()
        await prove(FileStorage.open(data, read_only=True), store.keys)
    shutil.rmtree(place)
    return told.acknowledged


async def rounds(store: Store, place: Path, seeds: range) -> None:
    acknowledged = 0
    for seed in seeds:
        with_openbao = seed % OPENBAO_EVERY == 0
        try:
            acknowledged += await one_round(
                store, place / f"round-{seed}", seed, with_openbao=with_openbao
            )
        except BaseException as error:
            error.add_note(f"round {seed}")
            raise
    assert acknowledged > len(seeds) * 5


@pytest.mark.real("openbao-2.6.2")
async def test_a_death_under_load_costs_nothing_that_was_acknowledged(
    store: Store, tmp_path: Path
) -> None:
    await rounds(store, tmp_path, range(ROUNDS))


@pytest.mark.soak
@pytest.mark.parametrize("part", range(SOAK_PARTS))
@pytest.mark.real("openbao-2.6.2")
async def test_two_hundred_deaths_under_load_cost_nothing_that_was_acknowledged(
    store: Store, tmp_path: Path, part: int
) -> None:
    await rounds(store, tmp_path, range(part * SOAK_ROUNDS, (part + 1) * SOAK_ROUNDS))
