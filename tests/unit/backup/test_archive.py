"""Archives: what is written is read, and everything else is refused with its own reason."""

import io
import subprocess
import tarfile
import zlib
from pathlib import Path

import pytest
import zstandard

from tests.support.backups import (
    ENTRIES,
    make_archive,
    make_manifest,
    members,
    pack,
)
from zvault.ops.backup.archive_read import read_archive
from zvault.ops.backup.errors import (
    BackupDamagedError,
    BackupError,
    BackupFormatError,
    BackupTruncatedError,
    UnsafeArchiveError,
)
from zvault.ops.backup.manifest import decode_manifest, encode_manifest
from zvault.ops.backup.spool import Spool
from zvault.storage.file_layout import encode_entry, entry_path

FREE = 1 << 30
GOOD = make_archive()


def read(content: bytes, free_bytes: int = FREE) -> Spool:
    spool = Spool()
    try:
        read_archive(io.BytesIO(content), spool, free_bytes=free_bytes)
    except BaseException:
        spool.close()
        raise
    return spool


def tampered(change: str) -> bytes:
    """A good archive with one member changed."""
    found = members()
    info, content = found[3]
    match change:
        case "symlink":
            info.type, info.linkname, info.size = tarfile.SYMTYPE, "/etc/passwd", 0
        case "hardlink":
            info.type, info.linkname, info.size = tarfile.LNKTYPE, "data/_a", 0
        case "device":
            info.type, info.size = tarfile.CHRTYPE, 0
        case "fifo":
            info.type, info.size = tarfile.FIFOTYPE, 0
        case "absolute":
            info.name = "/etc/cron.d/x"
        case "dots":
            info.name = "data/../../x"
        case "twice":
            found.insert(4, found[2])
        case "folder":
            info.type, info.size = tarfile.DIRTYPE, 0
        case "extra":
            extra = tarfile.TarInfo("data/_zzz")
            extra.size = len(content)
            found.append((extra, content))
        case "missing":
            del found[3]
        case "last missing":
            del found[-1]
        case "other content":
            other = encode_entry(b"3" * 100)
            found[3] = (info, other)
        case "no json":
            found[3] = (info, b"x" * len(content))
        case "longer":
            longer = encode_entry(b"2" * 101)
            info.size = len(longer)
            found[3] = (info, longer)
        case "order":
            found[2], found[3] = found[3], found[2]
        case "no manifest":
            del found[0]
    return pack(found)


@pytest.mark.parametrize("archive_format", ["tar.zst", "tar.gz"])
def test_what_is_written_is_read(archive_format: str) -> None:
    spool = read(make_archive(archive_format=archive_format))
    assert {key: spool.read(key) for key in spool.keys()} == ENTRIES  # noqa: SIM118
    spool.close()


def test_an_archive_packed_by_hand_is_read_too() -> None:
    read(pack(members())).close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("symlink", "a link"),
        ("hardlink", "a link"),
        ("device", "neither file nor folder"),
        ("fifo", "neither file nor folder"),
        ("absolute", "absolute path"),
        ("dots", r"with '\.\.'"),
        ("twice", "twice"),
    ],
)
def test_what_no_backup_holds_is_refused_by_name(change: str, said: str) -> None:
    with pytest.raises(UnsafeArchiveError, match=said):
        read(tampered(change))


@pytest.mark.parametrize(
    "change",
    ["extra", "missing", "last missing", "other content", "no json", "longer", "order", "folder"],
)
def test_what_differs_from_the_manifest_is_damaged(change: str) -> None:
    with pytest.raises(BackupDamagedError):
        read(tampered(change))


def test_an_archive_without_a_manifest_first_is_no_backup() -> None:
    with pytest.raises(BackupFormatError, match=r"manifest\.json"):
        read(tampered("no manifest"))


def test_every_truncation_is_named_a_truncation() -> None:
    for length in range(1, len(GOOD)):
        with pytest.raises(BackupTruncatedError):
            read(GOOD[:length])


def test_no_flipped_bit_changes_what_is_read() -> None:
    """Some bits of a compressed stream mean nothing; the file's recorded digest covers them."""
    refused = 0
    for position in range(len(GOOD)):
        broken = bytearray(GOOD)
        broken[position] ^= 1 << (position % 8)
        try:
            spool = read(bytes(broken))
        except BackupError:
            refused += 1
            continue
        assert {key: spool.read(key) for key in ENTRIES} == ENTRIES
        spool.close()
    assert refused > 0.95 * len(GOOD)


@pytest.mark.parametrize("content", [b"", b"hello", b"Salted__", b"age-encryption.org/v1\n"])
def test_something_else_is_no_backup(content: bytes) -> None:
    with pytest.raises(BackupFormatError):
        read(content)


@pytest.mark.parametrize("tail", [b"x", GOOD, b"\0" * 600])
def test_what_follows_the_archive_is_noticed(tail: bytes) -> None:
    with pytest.raises(BackupDamagedError):
        read(GOOD + tail)


def test_a_bomb_of_zeros_stops_at_what_is_allowed() -> None:
    packer = zstandard.ZstdCompressor(level=19).compressobj()
    bomb = b"".join(packer.compress(b"\0" * (1 << 20)) for _ in range(600)) + packer.flush()
    assert len(bomb) < 1 << 20
    with pytest.raises((UnsafeArchiveError, BackupFormatError, BackupDamagedError)):
        read(bomb)


def test_a_manifest_that_is_a_bomb_stops_at_what_is_allowed() -> None:
    head = tarfile.TarInfo("manifest.json")
    head.size = 1 << 40
    packer = zlib.compressobj(9, wbits=31)
    bomb = packer.compress(head.tobuf(tarfile.PAX_FORMAT))
    bomb += b"".join(packer.compress(b" " * (1 << 20)) for _ in range(200))
    with pytest.raises(UnsafeArchiveError, match="more than"):
        read(bomb + packer.flush())


def test_more_than_is_free_is_not_unpacked() -> None:
    with pytest.raises(UnsafeArchiveError, match="are free"):
        read(GOOD, free_bytes=1000)


def test_a_newer_format_is_refused_with_that_reason() -> None:
    newer = encode_manifest(make_manifest()).replace(b'"version":1', b'"version":2', 1)
    with pytest.raises(BackupFormatError, match="version 2"):
        decode_manifest(newer)


@pytest.mark.parametrize("key", ["a/../b", "/a", "a//b", "", "core/lock", "core/leader/x"])
def test_a_manifest_with_a_key_that_no_backup_holds_is_refused(key: str) -> None:
    text = encode_manifest(make_manifest({"a": b"1"})).decode()
    with pytest.raises((UnsafeArchiveError, BackupFormatError)):
        decode_manifest(text.replace('["a",', f'["{key}",').encode())


def test_a_manifest_whose_entries_do_not_make_up_its_digest_is_refused() -> None:
    text = encode_manifest(make_manifest()).replace(b'["a",1,', b'["a",2,')
    with pytest.raises(BackupDamagedError, match="digest"):
        decode_manifest(text)


@pytest.mark.parametrize("archive_format", ["tar.zst", "tar.gz"])
def test_tar_alone_unpacks_it_to_vaults_own_layout(tmp_path: Path, archive_format: str) -> None:
    name = tmp_path / f"backup.{archive_format}"
    name.write_bytes(make_archive(archive_format=archive_format))
    packer = ["-I", "zstd"] if archive_format == "tar.zst" else ["-z"]
    done = subprocess.run(
        ["tar", *packer, "-xf", str(name), "-C", str(tmp_path)], check=False, capture_output=True
    )
    if done.returncode and b"zstd" in done.stderr:
        pytest.skip("the zstd program is missing")
    assert done.returncode == 0, done.stderr
    for key, value in ENTRIES.items():
        assert (tmp_path / "data" / entry_path(key)).read_bytes() == encode_entry(value)


def test_two_archives_of_the_same_content_are_the_same_bytes() -> None:
    assert make_archive() == GOOD
