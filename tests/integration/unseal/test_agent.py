"""The agent and the manual unseal against a real server."""

import base64
import contextlib
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import environment
from tests.support.golden import Golden, unpack
from tests.support.keyfiles import PASSWORD, make_key_file, make_shares
from tests.support.openbao import OpenBao, running
from zvault.base.secret import Secret
from zvault.vaultapi.client import VaultApi

UNSEAL_SHIM = (
    "import typer; from zvault.cli import unseal_agent; app = typer.Typer();"
    "unseal_agent.register(app); app()"
)
"""The two commands alone, so that this test needs no other group to load."""
AGENT = [sys.executable, "-c", UNSEAL_SHIM, "unseal-agent"]
OPENSSL = ["openssl", "enc", "-aes-256-cbc", "-pbkdf2", "-iter", "250000", "-salt"]


@pytest.fixture
def golden(tmp_path: Path) -> Golden:
    return unpack("openbao-file", tmp_path)


@pytest.fixture
def server(tmp_path: Path, golden: Golden) -> Iterator[OpenBao]:
    (tmp_path / "bao").mkdir()
    with running(tmp_path / "bao", golden.data) as started:
        yield started


def private(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def shares_of(golden: Golden) -> list[Secret]:
    return [Secret(base64.b64decode(share)) for share in golden.expected["shares"]]


def arguments(tmp_path: Path, server: OpenBao, shares: list[Secret]) -> list[str]:
    key_file = private(tmp_path / "key", make_key_file(shares))
    password = private(tmp_path / "password", PASSWORD.reveal() + b"\n")
    return [
        f"--address={server.address}",
        f"--key-file={key_file}",
        f"--password-file={password}",
        f"--run-dir={tmp_path / 'run'}",
    ]


def run(*command: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", UNSEAL_SHIM, *command],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@contextmanager
def agent(*command: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*AGENT, *command],
            env=environment(),
            stdout=stream,
            stderr=stream,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def await_unsealed(server: OpenBao, seconds: float = 30) -> float:
    begin = time.monotonic()
    api = VaultApi(server.address, timeout=2)
    while time.monotonic() - begin < seconds:
        try:
            if not api.seal_status().sealed:
                return time.monotonic() - begin
        except Exception:
            pass
        time.sleep(0.02)
    raise AssertionError("not unsealed in time")


def await_counted(tmp_path: Path, unseals: int) -> dict[str, Any]:
    """The agent's status once it has counted so many; killed sooner, two outages are one to it."""
    deadline = time.monotonic() + 30
    status: dict[str, Any] = {}
    while status.get("unseals") != unseals and time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError):
            status = json.loads((tmp_path / "run" / "unseal-agent.json").read_text())
        time.sleep(0.05)
    assert status["unseals"] == unseals
    return status


@pytest.mark.row("A2")
@pytest.mark.row("C3")
def test_a_killed_server_comes_back_unsealed_unattended_and_again_after_a_manual_seal(
    tmp_path: Path, server: OpenBao, golden: Golden
) -> None:
    log = tmp_path / "agent.log"
    with agent(*arguments(tmp_path, server, shares_of(golden)[1:4]), log=log) as process:
        await_unsealed(server)
        await_counted(tmp_path, 1)
        for times in (2, 3):
            server.kill()
            server.start()
            assert await_unsealed(server) < 30
            await_counted(tmp_path, times)
        root = VaultApi(server.address, token=Secret(golden.expected["root_token"]))
        root.seal()
        await_unsealed(server)
        status = await_counted(tmp_path, 4)
        assert not status["sealed"]
        assert 0 < status["last_unseal_seconds"] < 30
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    said = log.read_text()
    assert said.count("read back: sealed=false") == 4
    for share in golden.expected["shares"]:
        assert share not in said
        assert base64.b64decode(share).hex() not in said


def test_a_wrong_key_file_is_given_once_and_then_no_more(
    tmp_path: Path, server: OpenBao, golden: Golden
) -> None:
    options = arguments(tmp_path, server, make_shares(3, seed=99))
    log = tmp_path / "agent.log"
    with agent(*options, log=log):
        deadline = time.monotonic() + 20
        while "gives no more shares" not in log.read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1.5)
        said = log.read_text()
        assert said.count("gives no more shares") == 1
        assert VaultApi(server.address).seal_status().progress == 0
        (tmp_path / "key").unlink()
        private(tmp_path / "key", make_key_file(shares_of(golden)[:3]))
        await_unsealed(server)


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        ("password", "key-file-wrong-password"),
        ("bit", "key-file-corrupt"),
        ("cut", "key-file-truncated"),
        ("iterations", "key-file-iterations-lowered"),
    ],
)
def test_four_damages_are_four_errors_and_nothing_is_submitted(
    tmp_path: Path, server: OpenBao, golden: Golden, damage: str, code: str
) -> None:
    options = arguments(tmp_path, server, shares_of(golden)[:3])
    content = (tmp_path / "key").read_bytes()
    match damage:
        case "password":
            private(tmp_path / "password", b"quite another password of good length\n")
        case "bit":
            private(tmp_path / "key", content[:-100] + bytes([content[-100] ^ 4]) + content[-99:])
        case "cut":
            private(tmp_path / "key", content[: len(content) // 2])
        case "iterations":
            lowered = content.replace(b'"iterations": 250000', b'"iterations": 100000', 1)
            private(tmp_path / "key", lowered)
    done = run("unseal-agent", *options, "--once", "--json")
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (4, code)
    assert VaultApi(server.address).seal_status().nonce == ""


def test_once_ends_with_success_only_when_unsealed(
    tmp_path: Path, server: OpenBao, golden: Golden
) -> None:
    options = arguments(tmp_path, server, shares_of(golden)[:3])
    done = run("unseal-agent", *options, "--once", "--json")
    assert (done.returncode, json.loads(done.stdout)["sealed"]) == (0, False)
    assert not VaultApi(server.address).seal_status().sealed
    server.stop()
    done = run("unseal-agent", *options, "--once", "--timeout=1")
    assert done.returncode == 8
    assert "Traceback" not in done.stderr


@pytest.mark.row("A1")
def test_manual_unseal_reads_back_and_says_when_it_was_unsealed_already(
    tmp_path: Path, server: OpenBao, golden: Golden
) -> None:
    texts = json.dumps(golden.expected["shares"][:3]).encode()
    shares = private(tmp_path / "shares.json", texts)
    first = run("unseal", f"--address={server.address}", f"--shares-file={shares}", "--json")
    assert (first.returncode, json.loads(first.stdout)["submitted"]) == (0, 3)
    again = run("unseal", f"--address={server.address}", f"--shares-file={shares}")
    assert "already unsealed; the shares were not tried" in again.stdout
    wrong = private(
        tmp_path / "wrong.json",
        json.dumps([share.reveal().hex() for share in make_shares(3, seed=5)]).encode(),
    )
    VaultApi(server.address, token=Secret(golden.expected["root_token"])).seal()
    refused = run("unseal", f"--address={server.address}", f"--shares-file={wrong}")
    assert (refused.returncode, refused.stderr.count("\n")) == (4, 2)
    assert VaultApi(server.address).seal_status().sealed


@pytest.mark.parametrize(
    ("content", "mode"), [(b"{}", 0o600), (b"[1]", 0o600), (b'["x"]', 0o600), (b"[]", 0o644)]
)
def test_a_shares_file_of_another_shape_or_mode_is_one_sentence_and_a_hint(
    tmp_path: Path, server: OpenBao, content: bytes, mode: int
) -> None:
    shares = private(tmp_path / "shares.json", content)
    shares.chmod(mode)
    done = run("unseal", f"--address={server.address}", f"--shares-file={shares}")
    assert done.returncode == (2 if mode == 0o600 else 3)
    assert done.stderr.splitlines()[0].startswith("zvault: ")
    assert done.stderr.splitlines()[1].startswith("hint: ")


def test_the_predecessors_openssl_file_unseals(
    tmp_path: Path, server: OpenBao, golden: Golden
) -> None:
    options = arguments(tmp_path, server, shares_of(golden)[:3])
    plain = "\n".join(golden.expected["shares"][:3]) + "\n"
    old = subprocess.run(
        [*OPENSSL, "-pass", f"file:{tmp_path / 'password'}"],
        input=plain.encode(),
        capture_output=True,
        check=True,
    ).stdout
    private(tmp_path / "key", old)
    assert run("unseal-agent", *options, "--once").returncode == 0
    private(tmp_path / "password", b"not the password\n")
    VaultApi(server.address, token=Secret(golden.expected["root_token"])).seal()
    wrong = run("unseal-agent", *options, "--once", "--json")
    assert json.loads(wrong.stdout)["error"]["code"] == "key-file-wrong-password"


def test_sigterm_ends_the_agent_also_while_a_server_does_not_answer_a_share(
    tmp_path: Path,
) -> None:
    """The first share reaches a server that then hangs; the agent would wait for minutes."""
    body = b'{"initialized":true,"sealed":true,"t":3,"n":5,"progress":0}'
    asked = threading.Event()

    class Hanging(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_PUT(self) -> None:
            asked.set()
            time.sleep(20)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    hanging = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hanging)
    hanging.daemon_threads, hanging.block_on_close = True, False
    thread = threading.Thread(target=hanging.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    server = OpenBao(tmp_path, tmp_path, hanging.server_address[1])
    try:
        with agent(*arguments(tmp_path, server, make_shares(3)), log=tmp_path / "log") as process:
            assert asked.wait(20)
            process.send_signal(signal.SIGTERM)
            assert process.wait(5) == 0
    finally:
        hanging.shutdown()
        thread.join()
        hanging.server_close()


def test_a_password_comes_from_a_descriptor_too(
    tmp_path: Path, server: OpenBao, golden: Golden
) -> None:
    options = [
        option
        for option in arguments(tmp_path, server, shares_of(golden)[:3])
        if not option.startswith("--password-file")
    ]
    reader, writer = os.pipe()
    os.write(writer, PASSWORD.reveal())
    os.close(writer)
    done = subprocess.run(
        [*AGENT, *options, "--once", f"--password-fd={reader}"],
        env=environment(),
        pass_fds=(reader,),
        capture_output=True,
        timeout=60,
        check=False,
    )
    os.close(reader)
    assert done.returncode == 0


def test_a_password_comes_from_a_systemd_credential_too(
    tmp_path: Path, server: OpenBao, golden: Golden
) -> None:
    options = [
        option
        for option in arguments(tmp_path, server, shares_of(golden)[:3])
        if not option.startswith("--password-file")
    ]
    (tmp_path / "credentials").mkdir()
    private(tmp_path / "credentials" / "vault", PASSWORD.reveal()).chmod(0o440)
    done = subprocess.run(
        [*AGENT, *options, "--once", "--password-credential=vault"],
        env=environment() | {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
