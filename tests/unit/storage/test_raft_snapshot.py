"""Raft snapshots: a real one is read, a damaged one is named."""

import gzip
import hashlib
import io
import json
import random
import tarfile
from pathlib import Path

import pytest

from tests.support.golden import unpack
from zvault.storage.api import Put
from zvault.storage.errors import ReadOnlyStoreError, SnapshotError, StoreNotFoundError
from zvault.storage.raft_snapshot import RaftSnapshotStorage
from zvault.storage.walk import walk

ENTRIES = {"core/keyring": b"k" * 300, "a//unclean": b"1", "logical/ü/x": b""}


def state(entries: dict[str, bytes]) -> bytes:
    out = b""
    for key, value in entries.items():
        raw = key.encode()
        message = (
            b"\x0a" + varint(len(raw)) + raw + (b"\x12" + varint(len(value)) + value) * bool(value)
        )
        out += varint(len(message)) + message
    return out


def varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def build(path: Path, body: bytes, **changes: bytes) -> Path:
    meta = json.dumps({"Version": 1, "ID": "bolt-snapshot", "Size": len(body)}).encode()
    files = {"meta.json": meta, "state.bin": body} | {
        name: value for name, value in changes.items() if name in ("meta.json", "state.bin")
    }
    sums = "".join(f"{hashlib.sha256(v).hexdigest()}  {n}\n" for n, v in files.items()).encode()
    files = {**files, "SHA256SUMS": sums} | changes
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


async def test_a_snapshot_of_a_real_server_opens_and_walks(tmp_path: Path) -> None:
    golden = unpack("openbao-raft", tmp_path)
    store = RaftSnapshotStorage.open(golden.root / "snapshot.tar.gz")
    keys = [key async for key in walk(store)]
    assert keys == sorted(keys)
    assert len(keys) > 100
    assert {"core/keyring", "core/seal-config"} <= set(keys)
    assert "keyring" in await store.list("core/")
    assert (await store.get("core/seal-config") or b"").startswith(b"{")
    with pytest.raises(ReadOnlyStoreError):
        await store.apply([Put("a", b"1")])


async def test_keys_come_as_they_are_even_when_no_other_store_could_hold_them(
    tmp_path: Path,
) -> None:
    store = RaftSnapshotStorage.open(build(tmp_path / "s", state(ENTRIES)))
    assert {key: await store.get(key) for key in ENTRIES} == ENTRIES
    assert [key async for key in walk(store)] == sorted(ENTRIES)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"SHA256SUMS": b""}, "checksum of meta.json"),
        ({"SHA256SUMS": b"00  meta.json\n00  state.bin\n"}, "checksum"),
        ({"evil.sh": b"x"}, "evil.sh"),
        ({"../state.bin": b"x"}, "state.bin"),
        ({"meta.json": b'{"Version": 2, "Size": 1}'}, "version is 2"),
        ({"meta.json": b'{"Version": 1, "Size": 1}'}, "says 1 bytes"),
        ({"meta.json": b"[]"}, "meta.json"),
        ({"meta.json": b"{"}, "meta.json"),
    ],
)
def test_each_kind_of_damage_has_its_sentence(
    tmp_path: Path, changes: dict[str, bytes], said: str
) -> None:
    with pytest.raises(SnapshotError, match=said) as caught:
        RaftSnapshotStorage.open(build(tmp_path / "s", state(ENTRIES), **changes))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (state(ENTRIES)[:-3], "ends inside"),
        (state(ENTRIES) + b"\xff", "no length"),
        (b"\xff" * 20, "no length"),
        (b"\x03\x0a\x63a", "no entry"),
        (state({"a": b"1"}) * 2, "twice"),
    ],
)
def test_a_stream_that_breaks_off_is_never_a_shorter_store(
    tmp_path: Path, body: bytes, said: str
) -> None:
    with pytest.raises(SnapshotError, match=said):
        RaftSnapshotStorage.open(build(tmp_path / "s", body))


def test_a_cut_or_flipped_file_is_never_read_as_a_store(tmp_path: Path) -> None:
    whole = build(tmp_path / "s", state(ENTRIES)).read_bytes()
    chance = random.Random(7)
    file = tmp_path / "broken"
    for cut in range(0, len(whole) - 1, 7):
        file.write_bytes(whole[:cut])
        with pytest.raises(SnapshotError):
            RaftSnapshotStorage.open(file)
    for _ in range(200):
        position = chance.randrange(10, len(whole))
        flipped = bytearray(whole)
        flipped[position] ^= 1 << chance.randrange(8)
        file.write_bytes(bytes(flipped))
        try:
            store = RaftSnapshotStorage.open(file)
        except SnapshotError:
            continue
        assert store._values == ENTRIES, "a flip in the tar's padding or a header's unused field"


def test_what_is_no_snapshot_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError):
        RaftSnapshotStorage.open(tmp_path / "absent")
    with pytest.raises(StoreNotFoundError):
        RaftSnapshotStorage.open(tmp_path)
    for content in (b"", b"hello", gzip.compress(b"hello"), gzip.compress(b"")):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(SnapshotError):
            RaftSnapshotStorage.open(tmp_path / "file")
