"""A real writer process, really killed: what it reported as durable is there, whole."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zvault.storage.digest import read_entries
from zvault.storage.file import FileStorage

WRITER = """
import asyncio, sys
from pathlib import Path
from zvault.storage.api import Put, Delete
from zvault.storage.file import FileStorage
from zvault.storage.file_writing import LogOptions

async def write(store, writer):
    number = 0
    while True:
        key = f"w/{writer}/{number:06}"
        await store.apply([Put(f"{key}/a", b"x" * 700), Put(f"{key}/b", b"y")])
        print(writer, number, flush=True)
        if number:
            await store.apply([Delete(f"w/{writer}/{number - 1:06}/a")])
        number += 1

async def main():
    log = LogOptions(segment_bytes=1 << 17) if sys.argv[2] == "log" else None
    store = FileStorage.open(Path(sys.argv[1]), log=log)
    await asyncio.gather(*(write(store, n) for n in range(8)))

asyncio.run(main())
"""


@pytest.mark.parametrize("mode", ["log", "plain"])
def test_kill_nine_loses_nothing_acknowledged_and_the_next_writer_opens(
    tmp_path: Path, mode: str
) -> None:
    data = tmp_path / "data"
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(data), mode], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(200)]
    time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    lines += process.stdout.read().splitlines(keepends=True)
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    acknowledged = [tuple(map(int, line.split())) for line in lines if line.endswith("\n")]
    assert len(acknowledged) >= 200

    async def check() -> None:
        store = FileStorage.open(data)
        found = {entry.key: entry.value async for entry in read_entries(store)}
        await store.close()
        assert set(found.values()) <= {b"x" * 700, b"y"}
        for writer, number in acknowledged:
            assert found[f"w/{writer}/{number:06}/b"] == b"y"

    asyncio.run(check())
    assert not (data / ".zvault-tmp").exists()
