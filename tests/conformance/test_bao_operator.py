"""What OpenBao's own command line does with keys, against the embedded server."""

import json
from pathlib import Path

import pytest

from tests.conformance.test_bao_cli import Bao, bao  # noqa: F401 - a fixture

pytestmark = pytest.mark.real("openbao-2.6.2")


def words(command: Bao, *arguments: str) -> str:
    done = command.run("operator", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def test_rotate_rekey_and_generate_root(bao: Bao, tmp_path: Path) -> None:  # noqa: F811
    bao.server.initialize(3, 2)
    words(bao, "rotate")
    assert bao.json("operator", "key-status")["term"] == 2

    begun = bao.json("operator", "rekey", "-init", "-key-shares=3", "-key-threshold=2", "-verify")
    for key in bao.server.keys[:2]:
        answer = bao.json("operator", "rekey", f"-nonce={begun['nonce']}", key)
    for key in answer["keys"][:2]:
        nonce = f"-nonce={answer['verification_nonce']}"
        said = words(bao, "rekey", "-verify", nonce, key)
    assert "verification successful" in said
    bao.server.keys = answer["keys"]

    begun = bao.json("operator", "rotate-keys", "-init", "-key-shares=1", "-key-threshold=1")
    for key in bao.server.keys[:2]:
        answer = bao.json("operator", "rotate-keys", f"-nonce={begun['nonce']}", key)
    assert answer["complete"] is True
    bao.server.keys = answer["keys"]

    begun = bao.json("operator", "generate-root", "-init")
    key = bao.server.keys[0]
    done = bao.json("operator", "generate-root", f"-nonce={begun['nonce']}", key)
    token = json.loads(
        words(bao, "generate-root", f"-decode={done['encoded_token']}", f"-otp={begun['otp']}")
    )["token"]
    found = bao.run("token", "lookup", token=token)
    assert json.loads(found.stdout)["data"]["policies"] == ["root"]

    words(bao, "step-down")
    words(bao, "seal")
    bao.server.unseal()
