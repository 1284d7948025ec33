"""``zvault keyfile`` as a user runs it, on a store that a real Vault wrote."""

import base64
import json
import subprocess
from pathlib import Path

import pytest

from tests.support.cli import Ran, zvault
from tests.support.golden import Golden, unpack

GOOD_PASSWORD = "a password of more than thirty-two characters\n"


@pytest.fixture
def golden(tmp_path: Path) -> Golden:
    return unpack("vault-file", tmp_path)


@pytest.fixture
def home(tmp_path: Path, golden: Golden) -> Path:
    private(tmp_path / "password", GOOD_PASSWORD)
    private(tmp_path / "new-password", GOOD_PASSWORD.upper())
    private(tmp_path / "shares.json", json.dumps(golden.expected["shares"][1:4]))
    return tmp_path


def private(path: Path, content: str) -> Path:
    path.write_text(content)
    path.chmod(0o600)
    return path


def keyfile(home: Path, golden: Golden, action: str, *more: str) -> Ran:
    arguments = ["keyfile", action, "--key-file", "key.enc", "--json"]
    if action in ("create", "verify", "rotate"):
        arguments += ["--store", f"file:{golden.data}"]
        if not any(option.startswith("--password") for option in more):
            arguments += ["--password-file", "password"]
    if action in ("create", "rotate"):
        arguments += ["--iterations", "250000"]
    done = zvault(*arguments, *more, cwd=home)
    assert "Traceback" not in done.err
    for share in golden.expected["shares"]:
        raw = base64.b64decode(share)
        assert not {share, raw.hex()} & set(done.out.replace('"', " ").split())
    return done


def create(home: Path, golden: Golden) -> None:
    made = keyfile(home, golden, "create", "--shares-file", "shares.json", "--name", "prod")
    assert made.code == 0, made.err


@pytest.mark.row("A4.3")
def test_create_verify_show_rotate_destroy(home: Path, golden: Golden) -> None:
    create(home, golden)
    assert (home / "key.enc").stat().st_mode & 0o777 == 0o600
    shown = keyfile(home, golden, "show").json()["header"]
    assert shown["shares"] == {"held": 3, "threshold": 3, "total": 5}
    assert (shown["kdf"]["iterations"], shown["vault"]["name"]) == (250000, "prod")
    assert keyfile(home, golden, "verify").code == 0
    rotated = keyfile(home, golden, "rotate", "--new-password-file", "new-password")
    assert rotated.code == 0, rotated.err
    old = keyfile(home, golden, "verify")
    assert (old.code, old.json()["error"]["code"]) == (4, "key-file-wrong-password")
    assert keyfile(home, golden, "verify", "--password-file", "new-password").code == 0
    assert keyfile(home, golden, "destroy", "--yes", "other").code == 3
    assert keyfile(home, golden, "destroy", "--yes", "key.enc").code == 0
    assert not (home / "key.enc").exists()


def damage(home: Path, how: str) -> None:
    path = home / "key.enc"
    content = path.read_bytes()
    match how:
        case "password":
            private(home / "password", "another password of good length, too\n")
        case "bit":
            path.write_bytes(content[:-150] + bytes([content[-150] ^ 2]) + content[-149:])
        case "cut":
            path.write_bytes(content[:-30])
        case "iterations":
            path.write_bytes(content.replace(b'"iterations": 250000', b'"iterations": 10000', 1))
        case "mode":
            path.chmod(0o644)
        case "missing":
            path.unlink()
        case "other":
            path.write_bytes(b"hello\n")


@pytest.mark.parametrize(
    ("how", "exit_code", "code"),
    [
        ("password", 4, "key-file-wrong-password"),
        ("bit", 4, "key-file-corrupt"),
        ("cut", 4, "key-file-truncated"),
        ("iterations", 4, "key-file-iterations-lowered"),
        ("other", 4, "key-file-format"),
        ("mode", 3, "precondition"),
        ("missing", 3, "precondition"),
    ],
)
def test_every_damage_is_one_sentence_one_hint_and_its_code(
    home: Path, golden: Golden, how: str, exit_code: int, code: str
) -> None:
    create(home, golden)
    damage(home, how)
    done = keyfile(home, golden, "verify")
    assert (done.code, done.json()["error"]["code"]) == (exit_code, code)
    sentence, hint = done.err.splitlines()
    assert sentence.startswith("zvault: ")
    assert hint.startswith("hint: ")


def test_shares_of_another_vault_and_a_wrong_store_make_no_file(
    home: Path, golden: Golden, tmp_path: Path
) -> None:
    other = unpack("openbao-file", tmp_path)
    private(home / "shares.json", json.dumps(other.expected["shares"][:3]))
    assert keyfile(home, golden, "create", "--shares-file", "shares.json").code == 4
    (home / "empty").mkdir()
    wrong = zvault(
        *("keyfile", "create", "--key-file", "key.enc", "--store", "file:empty"),
        *("--shares-file", "shares.json", "--password-file", "password"),
        cwd=home,
    )
    assert wrong.code == 4
    assert "core/seal-config" in wrong.err
    assert not list(home.glob("*key.enc*"))


def test_too_few_iterations_and_a_short_password_are_refused(home: Path, golden: Golden) -> None:
    weak = zvault(
        *("keyfile", "create", "--key-file", "key.enc", "--store", f"file:{golden.data}"),
        *("--shares-file", "shares.json", "--password-file", "password"),
        *("--iterations", "100000"),
        cwd=home,
    )
    assert (weak.code, "250000" in weak.err) == (4, True)
    private(home / "password", "short\n")
    short = keyfile(home, golden, "create", "--shares-file", "shares.json")
    assert (short.code, short.json()["error"]["code"]) == (3, "password-source")
    assert not list(home.glob("*key.enc*"))


def test_the_predecessors_file_becomes_a_new_one(home: Path, golden: Golden) -> None:
    plain = "\n".join(golden.expected["shares"][:3]) + "\n"
    options = "enc -aes-256-cbc -pbkdf2 -iter 250000 -salt -out old.enc -pass file:password"
    subprocess.run(
        ["openssl", *options.split()],
        input=plain,
        text=True,
        cwd=home,
        check=True,
        capture_output=True,
    )
    (home / "old.enc").chmod(0o600)
    old = ("--from-old", "old.enc", "--old-password-file")
    refused = keyfile(home, golden, "create", *old, "new-password")
    assert (refused.code, refused.json()["error"]["code"]) == (4, "key-file-wrong-password")
    made = keyfile(home, golden, "create", *old, "password", "--password-file", "new-password")
    assert made.code == 0, made.err
    assert keyfile(home, golden, "verify", "--password-file", "new-password").code == 0


def test_secrets_are_no_options(home: Path, golden: Golden) -> None:
    for option in ("--password", "--share", "--shares"):
        done = keyfile(home, golden, "verify", option, "x")
        assert done.code == 2
