"""The leak search finds what is there and nothing else."""

import base64
import io
import secrets
import tarfile
import time
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from demo.leaks.canaries import Canaries
from demo.leaks.files import search_files
from demo.leaks.needles import Needle, needles
from demo.leaks.processes import ProcessSampler
from demo.leaks.search import Search, Sieve

SECRET = st.binary(min_size=8, max_size=80)


@given(SECRET, st.binary(max_size=7), st.binary(max_size=7))
def test_a_secret_is_found_in_every_spelling_and_inside_longer_base64(
    secret: bytes, before: bytes, after: bytes
) -> None:
    hay = [
        before + secret + after,
        (before + secret + after).hex().encode(),
        (before + secret + after).hex().upper().encode(),
        base64.b64encode(before + secret + after),
        base64.urlsafe_b64encode(before + secret + after),
        base64.urlsafe_b64encode(before + secret + after).rstrip(b"="),
    ]
    for content in hay:
        assert Search(needles("it", secret)).inside(content, "here")


@given(st.binary(max_size=2000))
def test_another_secret_is_not_found(content: bytes) -> None:
    secret = b"\x00never-in-the-examples\xff\xfe\xfd"
    assert not Search(needles("it", secret)).inside(content.replace(secret, b""), "here")


@given(
    st.lists(st.binary(min_size=1, max_size=3), min_size=1, max_size=12),
    st.binary(max_size=60),
    st.integers(1, 9),
)
def test_every_needle_is_found_however_they_overlap_and_wherever_a_stream_is_cut(
    patterns: list[bytes], content: bytes, size: int
) -> None:
    wanted = [Needle(str(n), "as it is", pattern) for n, pattern in enumerate(patterns)]
    there = {needle.of for needle in wanted if needle.pattern in content}
    search = Search(wanted)
    assert {leak.of for leak in search.inside(content, "here")} == there
    sieve = Sieve(io.BytesIO(content), search, "here")
    while sieve.read(size):
        pass
    assert {leak.of for leak in sieve.leaks} == there
    assert (len(sieve.leaks), sieve.size) == (len(there), len(content))


def test_a_secret_too_short_to_look_for_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        needles("it", b"1234567")


def test_planted_canaries_are_found_in_files_archives_and_processes(tmp_path: Path) -> None:
    canaries = Canaries(tmp_path / "canary")
    sampler = ProcessSampler()
    canaries.plant_files()
    canaries.plant_process()
    try:
        deadline = time.monotonic() + 10
        while len(sampler.leaks(canaries.needles)) < 2 and time.monotonic() < deadline:
            sampler.look()
    finally:
        canaries.remove()
    found = search_files(tmp_path, canaries.needles, [])
    assert canaries.missing([*found.leaks, *sampler.leaks(canaries.needles)]) == []
    assert canaries.missing([]) != []
    assert found.archive_members == 2


def test_a_named_input_is_left_out_and_named_when_others_can_read_it(tmp_path: Path) -> None:
    secret = secrets.token_bytes(20)
    allowed, other = tmp_path / "input", tmp_path / "other"
    allowed.write_bytes(secret)
    other.write_bytes(secret)
    allowed.chmod(0o640)
    found = search_files(tmp_path, needles("it", secret), [allowed])
    assert [leak.where for leak in found.leaks] == [str(other)]
    assert found.wide_inputs == (str(allowed),)


def test_a_secret_in_a_gzipped_archive_or_a_file_name_is_found(tmp_path: Path) -> None:
    secret = secrets.token_hex(10).encode()
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("inner")
        member.size = len(secret)
        archive.addfile(member, io.BytesIO(secret))
    (tmp_path / f"log-{secret.decode()}").touch()
    found = {leak.where for leak in search_files(tmp_path, needles("it", secret), []).leaks}
    assert f"{tmp_path / 'x.tar.gz'} (inner)" in found
    assert any("the name of" in where for where in found)


def packed(members: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, body in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return content.getvalue()


def test_a_secret_deep_in_a_large_archive_is_found_and_its_member_is_named(tmp_path: Path) -> None:
    secret = secrets.token_bytes(24)
    noise = secrets.token_bytes(700_001)
    bodies = {"first": noise, "second": noise + secret + noise, "third": noise}
    (tmp_path / "x.tar.zst").write_bytes(zstandard.ZstdCompressor().compress(packed(bodies)))
    found = search_files(tmp_path, needles("it", secret), [])
    inside = {leak.where.partition(" ")[2] for leak in found.leaks}
    assert inside - {""} == {"(decompressed)", "(second)"}
    assert (found.files, found.archive_members) == (1, 4)
    assert found.bytes_searched > 4 * len(noise)


def test_what_follows_the_end_of_an_archive_is_searched_too(tmp_path: Path) -> None:
    secret = secrets.token_bytes(24)
    compress = zstandard.ZstdCompressor().compress
    frames = compress(packed({"a": b"1"})), compress(b"hidden " + secret)
    (tmp_path / "x.tar.zst").write_bytes(b"".join(frames))
    (tmp_path / "y.zst").write_bytes(b"".join(frames))
    where = {leak.where for leak in search_files(tmp_path, needles("it", secret), []).leaks}
    assert where >= {f"{tmp_path / name} (decompressed)" for name in ("x.tar.zst", "y.zst")}


def test_an_archive_that_is_none_stops_the_search(tmp_path: Path) -> None:
    (tmp_path / "x.tar.zst").write_bytes(b"no archive")
    with pytest.raises(Exception, match=r"."):
        search_files(tmp_path, [], [])
