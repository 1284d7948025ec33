"""Without a terminal a secret is a line on standard input, read without a word of warning."""

import json
import os
import subprocess

import pytest

from tests.support.cli import command, environment
from tests.support.golden import Golden, unpack


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Golden:
    return unpack("vault-file", tmp_path_factory.mktemp("asking"))


def asked(golden: Golden, typed: bytes | None) -> tuple[int, str, str]:
    """``zvault store verify`` in a session of its own, which has no terminal."""
    done = subprocess.run(
        command("store", "verify", f"file:{golden.data}", "--json"),
        env=environment(),
        input=typed or b"",
        capture_output=True,
        start_new_session=True,
        preexec_fn=None if typed is not None else lambda: os.close(0),
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_shares_on_standard_input_open_the_store_in_silence(golden: Golden) -> None:
    shares = "".join(share + "\n" for share in golden.expected["shares"][:3])
    code, out, said = asked(golden, shares.encode())
    assert code == 0, said
    assert json.loads(out)["ok"] is True
    assert "arning" not in said


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (b"", "0 of 3 shares came, and there is no terminal to ask at"),
        (None, "0 of 3 shares came, and there is no terminal to ask at"),
        (b"\xff\xfe\n", "standard input is no text"),
        (b"a" * 9000 + b"\n", "a line on standard input is longer than 8192 bytes"),
        (b"no share\n", "a share is neither hex nor base64"),
    ],
)
def test_what_is_no_share_is_one_sentence(
    golden: Golden, typed: bytes | None, sentence: str
) -> None:
    code, out, _ = asked(golden, typed)
    assert code == 2
    error = json.loads(out)["error"]
    assert sentence in error["message"]
    assert error["hint"]
