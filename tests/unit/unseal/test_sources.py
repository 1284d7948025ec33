"""Where passwords and shares come from: private, whole, and never repeated in a message."""

import base64
import json
import os
from pathlib import Path

import pytest

from tests.support.keyfiles import make_shares
from zvault.base.errors import PreconditionError, UsageError, ZvaultError
from zvault.base.secret import Secret
from zvault.cli.unseal_options import password_source
from zvault.ops.unseal.errors import PasswordSourceError, SharesSourceError
from zvault.ops.unseal.passwords import (
    DescriptorPassword,
    FilePassword,
    PromptPassword,
    check_new_password,
    credential_password,
)
from zvault.ops.unseal.shares import check_shares, decode_share, prompt_shares, read_shares_file


def private(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("content", [b"secret words", b"secret words\n", b"secret words\r\n"])
def test_a_password_file_is_one_line_without_its_end(tmp_path: Path, content: bytes) -> None:
    assert FilePassword(private(tmp_path / "p", content)).read() == Secret("secret words")


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines\n", b"nul\0", b"x" * 5000])
def test_a_password_file_of_another_shape_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(PasswordSourceError):
        FilePassword(private(tmp_path / "p", content)).read()


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o644, 0o777, 0o601])
def test_a_secret_file_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(PreconditionError, match=f"{mode:04o}"):
        FilePassword(private(tmp_path / "p", b"secret words", mode)).read()
    with pytest.raises(PreconditionError, match=f"{mode:04o}"):
        read_shares_file(private(tmp_path / "s", b"[]", mode))


def test_a_fifo_or_a_folder_is_no_password_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    (tmp_path / "folder").mkdir(mode=0o700)
    for name in ("fifo", "folder", "missing"):
        with pytest.raises(PreconditionError, match=name):
            FilePassword(tmp_path / name).read()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another owner")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = private(tmp_path / "p", b"secret words")
    os.chown(path, 65534, 65534)
    with pytest.raises(PreconditionError, match="uid 65534"):
        FilePassword(path).read()


def test_a_descriptor_is_read_once_and_kept() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"secret words\n")
    os.close(writer)
    source = DescriptorPassword(reader)
    assert source.read() == source.read() == Secret("secret words")
    assert "secret" not in repr(source)
    with pytest.raises(PasswordSourceError, match="descriptor"):
        DescriptorPassword(9999).read()


def test_a_credential_is_found_by_name_below_systemds_folder(tmp_path: Path) -> None:
    private(tmp_path / "vault", b"secret words", 0o440)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert credential_password("vault", environ).read() == Secret("secret words")
    (tmp_path / "vault").chmod(0o444)
    with pytest.raises(PreconditionError, match="0444"):
        credential_password("vault", environ).read()
    for name in ("../vault", "a/b", "", ".."):
        with pytest.raises(PasswordSourceError):
            credential_password(name, environ)
    with pytest.raises(PasswordSourceError, match="CREDENTIALS_DIRECTORY"):
        credential_password("vault", {})


def test_a_prompt_asks_twice_for_a_new_password_and_wants_both_alike() -> None:
    answers = iter(["secret words", "secret words"])
    assert PromptPassword(True, lambda _: next(answers)).read() == Secret("secret words")
    differing = iter(["secret words", "other words"])
    with pytest.raises(PasswordSourceError, match="differ"):
        PromptPassword(True, lambda _: next(differing)).read()


def test_two_sources_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        password_source(tmp_path, 3, None)


def test_a_new_password_is_judged() -> None:
    with pytest.raises(PasswordSourceError):
        check_new_password(Secret("short"))
    assert "32" in check_new_password(Secret("x" * 20))
    assert check_new_password(Secret("x" * 32)) == ""


def test_a_shares_file_is_a_list_of_base64_or_hex(tmp_path: Path) -> None:
    shares = make_shares(3)
    texts = [base64.b64encode(shares[0].reveal()).decode()]
    texts += [share.reveal().hex() for share in shares[1:]]
    assert read_shares_file(private(tmp_path / "s", json.dumps(texts).encode())) == shares


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"[1]", b'["x"]', b'"a"', b"[" * 100_000, b'["AAAA"]', b"\xff"],
)
def test_a_shares_file_of_another_shape_is_one_error(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(SharesSourceError):
        read_shares_file(private(tmp_path / "s", content))


def test_no_message_repeats_what_was_given(tmp_path: Path) -> None:
    for text in ("hunter2hunter2", base64.b64encode(bytes(40)).decode(), "zz" * 33):
        with pytest.raises(ZvaultError) as refusal:
            decode_share(text)
        assert text not in refusal.value.message + refusal.value.hint
        with pytest.raises(ZvaultError) as refusal:
            read_shares_file(private(tmp_path / "s", json.dumps([text]).encode()))
        assert text not in refusal.value.message + refusal.value.hint


def test_shares_with_one_number_or_two_lengths_do_not_belong_together() -> None:
    share = make_shares(1)[0]
    other = Secret(bytes(32) + share.reveal()[-1:])
    with pytest.raises(SharesSourceError, match="twice"):
        check_shares([share, other])
    with pytest.raises(SharesSourceError, match="lengths"):
        check_shares([share, Secret(bytes(20))])


def test_a_prompt_asks_for_each_share_and_refuses_a_repeated_one() -> None:
    shares = [share.reveal().hex() for share in make_shares(3)]
    answers = iter(shares)
    assert prompt_shares(3, lambda _: next(answers)) == make_shares(3)
    repeated = iter([shares[0], shares[0]])
    with pytest.raises(SharesSourceError):
        prompt_shares(3, lambda _: next(repeated))
