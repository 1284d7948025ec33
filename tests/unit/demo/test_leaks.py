"""The leak search finds what is there and nothing else."""

import base64
import io
import secrets
import tarfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.leaks.canaries import Canaries
from demo.leaks.files import search_bytes, search_files
from demo.leaks.needles import needles
from demo.leaks.processes import ProcessSampler

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
        assert search_bytes(content, needles("it", secret), "here")


@given(st.binary(max_size=2000))
def test_another_secret_is_not_found(content: bytes) -> None:
    secret = b"\x00never-in-the-examples\xff\xfe\xfd"
    assert not search_bytes(content.replace(secret, b""), needles("it", secret), "here")


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


def test_an_archive_that_is_none_stops_the_search(tmp_path: Path) -> None:
    (tmp_path / "x.tar.zst").write_bytes(b"no archive")
    with pytest.raises(Exception, match=r"."):
        search_files(tmp_path, [], [])
