"""Whatever the archive: our errors only, and what is read is what the manifest announces."""

import contextlib
import io
import tarfile

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.backups import make_archive, members, pack
from zvault.ops.backup.archive_read import read_archive
from zvault.ops.backup.errors import BackupError
from zvault.ops.backup.spool import Spool

PART = st.text(
    st.characters(whitelist_categories=["L", "N"], whitelist_characters=" +%-_"),
    min_size=1,
    max_size=12,
)
KEY = st.lists(PART, min_size=1, max_size=4).map("/".join)


def read(content: bytes) -> dict[str, bytes]:
    with contextlib.closing(Spool()) as spool:
        read_archive(io.BytesIO(content), spool, free_bytes=1 << 30)
        return {key: spool.read(key) or b"" for key in spool.keys()}  # noqa: SIM118


@settings(deadline=None)
@given(
    st.dictionaries(KEY, st.binary(max_size=200), max_size=20),
    st.sampled_from(["tar.zst", "tar.gz"]),
)
def test_every_store_comes_back_as_it_went_in(
    entries: dict[str, bytes], archive_format: str
) -> None:
    assert read(make_archive(entries, archive_format)) == entries  # type: ignore[arg-type]


@settings(deadline=None)
@given(st.binary(max_size=600), st.sampled_from([b"", b"\x28\xb5\x2f\xfd", b"\x1f\x8b"]))
def test_rubbish_is_refused(rubbish: bytes, magic: bytes) -> None:
    with pytest.raises(BackupError):
        read(magic + rubbish)


@settings(deadline=None)
@given(st.binary(max_size=4000))
def test_rubbish_inside_good_compression_is_refused(rubbish: bytes) -> None:
    with pytest.raises(BackupError):
        read(zstandard.ZstdCompressor().compress(rubbish))


@settings(deadline=None)
@given(
    st.permutations(range(7)),
    st.sets(st.integers(0, 6)),
    st.sampled_from([tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE]),
    st.integers(0, 6),
)
def test_any_shuffle_of_members_is_refused_or_the_archive_itself(
    order: list[int], dropped: set[int], kind: bytes, position: int
) -> None:
    good = members()
    original = good[position][0].type
    good[position][0].type = kind
    if kind != tarfile.REGTYPE:
        good[position][0].size = 0
    shuffled = [good[index] for index in order if index not in dropped]
    if order == list(range(7)) and not dropped and kind == original:
        read(pack(shuffled))
        return
    with pytest.raises(BackupError):
        read(pack(shuffled))
