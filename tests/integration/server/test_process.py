"""`zvault server` as a process: its stores, its refusals, its end."""

import contextlib
import http.client
import json
import os
import signal
import ssl
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from demo.seaweed import Seaweed
from launcher.ports import free_port
from tests.support.certificates import make_pki
from tests.support.engine_server import COMMAND, EngineServer, start_server
from tests.support.golden import unpack
from tests.support.seaweed import fresh_bucket
from tests.support.seaweed import seaweed as seaweed  # a fixture
from zvault.storage.keys import MIGRATION_KEY

FILE = 'storage "file" { path = "data" }'
MINIMUM = 'storage "inmem" {}\nlistener "tcp" { tls_disable = 1 address = "127.0.0.1:%d" }\n'


def refused(directory: Path, config: str) -> "subprocess.CompletedProcess[str]":
    """A server that does not start."""
    directory.mkdir(exist_ok=True)
    (directory / "refused.hcl").write_text(config)
    done = subprocess.run(
        [*COMMAND, "-config=refused.hcl"],
        cwd=directory,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "hint: " in done.stderr
    return done


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_acknowledged_is_there_after_a_restart(tmp_path: Path, number: int) -> None:
    server = start_server(tmp_path, storage=FILE)
    server.initialize(3, 2)
    assert server.request("POST", "sys/mounts/kv", {"type": "kv"})[0] == 204
    for count in range(20):
        assert server.request("PUT", f"kv/{count}", {"n": count})[0] == 204
    assert server.stop(number) == (0 if number == signal.SIGTERM else -signal.SIGKILL)
    again = start_server(tmp_path, storage=FILE)
    try:
        again.keys, again.token = server.keys, server.token
        assert again.request("GET", "kv/1")[0] == 503, "sealed after a restart"
        again.unseal()
        found = [again.request("GET", f"kv/{count}")[1]["data"]["n"] for count in range(20)]
        assert found == list(range(20))
    finally:
        assert again.stop() == 0


def test_a_second_server_on_one_directory_is_refused(tmp_path: Path) -> None:
    server = start_server(tmp_path, storage=FILE)
    try:
        listener = f'listener "tcp" {{ address = "127.0.0.1:{free_port()}" tls_disable = 1 }}\n'
        done = refused(tmp_path, f"{FILE}\n{listener}")
        assert done.returncode == 9
        assert str(tmp_path / "data") in done.stderr
    finally:
        server.stop()


def test_a_store_that_is_being_migrated_is_refused(tmp_path: Path) -> None:
    golden = unpack("vault-file", tmp_path)
    mark = golden.data / "core" / "_migration"
    assert MIGRATION_KEY == "core/migration"
    mark.write_text(json.dumps({"Value": "e30="}))
    done = refused(
        tmp_path,
        f'storage "file" {{ path = "{golden.data}" }}\n'
        f'listener "tcp" {{ address = "127.0.0.1:{free_port()}" tls_disable = 1 }}\n',
    )
    assert done.returncode == 3
    assert "mark of a migration" in done.stderr


@pytest.mark.parametrize(
    ("config", "code", "words"),
    [
        ("nonsense", 2, "error loading configuration from refused.hcl: At 1:"),
        ('storage "inmem" {}', 2, "no listener is configured"),
        (MINIMUM % 1 + 'seal "awskms" {}', 2, "line 3: seal"),
        ('storage "s3" { bucket = "abc" }\n' + MINIMUM.partition("\n")[2] % 1, 2, "credentials"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_one_sentence(
    tmp_path: Path, config: str, code: int, words: str
) -> None:
    done = refused(tmp_path, config)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr


def test_an_address_in_use_is_one_sentence(tmp_path: Path) -> None:
    server = start_server(tmp_path / "first")
    try:
        port = int(server.address.rpartition(":")[2])
        done = refused(tmp_path, MINIMUM % port)
        assert done.returncode == 3
        assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    finally:
        server.stop()


def test_a_real_vaults_store_is_served_with_its_own_tokens(tmp_path: Path) -> None:
    golden = unpack("vault-file", tmp_path)
    server = start_server(tmp_path, storage=f'storage "file" {{ path = "{golden.data}" }}')
    try:
        for share in golden.expected["shares"][:3]:
            server.request("PUT", "sys/unseal", {"key": share})
        assert server.request("GET", "sys/seal-status")[1]["sealed"] is False
        gateway = golden.expected["tokens"][0]
        path = "zakupai/data/services/gateway/config"
        status, body = server.request("GET", path, token=gateway["token"])
        expected = golden.expected["kv2"]["services/gateway/config"]
        newest = max(expected["readable"], key=int)
        assert (status, body["data"]["data"]) == (200, expected["readable"][newest])
    finally:
        assert server.stop() == 0


@pytest.mark.real("seaweedfs")
def test_an_s3_store_lives_through_a_restart(tmp_path: Path, seaweed: Seaweed) -> None:
    storage = (
        f'storage "s3" {{\n bucket = "{fresh_bucket(seaweed)}"\n path = "a/b"\n'
        f' endpoint = "{seaweed.endpoint}"\n region = "{seaweed.region}"\n'
        ' s3_force_path_style = "true"\n}'
    )
    file = tmp_path / "credentials"
    file.touch(mode=0o600)
    file.write_text(
        f"[default]\naws_access_key_id = {seaweed.access_key_id}\n"
        f"aws_secret_access_key = {seaweed.secret_access_key}\n"
    )
    environment = {"AWS_SHARED_CREDENTIALS_FILE": str(file)}
    server = start_server(tmp_path, storage=storage, environment=environment)
    server.initialize()
    assert server.request("POST", "sys/mounts/kv", {"type": "kv"})[0] == 204
    assert server.request("PUT", "kv/a", {"k": "v"})[0] == 204
    assert server.stop() == 0
    again = start_server(tmp_path, storage=storage, environment=environment)
    try:
        again.keys, again.token = server.keys, server.token
        again.unseal()
        assert again.request("GET", "kv/a")[1]["data"] == {"k": "v"}
        assert again.request("GET", "sys/seal-status")[1]["storage_type"] == "s3"
        assert seaweed.secret_access_key not in again.log
    finally:
        assert again.stop() == 0


def test_tls_is_served_and_sighup_changes_the_certificate_of_the_process(tmp_path: Path) -> None:
    live, other = make_pki(tmp_path / "live"), make_pki(tmp_path / "other")
    server = start_server(
        tmp_path, listener=f'tls_cert_file = "{live.certificate}"\n tls_key_file = "{live.key}"'
    )
    try:
        assert seal_status(server, live.ca) == 200
        live.certificate.write_bytes(other.certificate.read_bytes())
        live.key.write_bytes(other.key.read_bytes())
        server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 20
        while "reloaded" not in server.log and time.monotonic() < deadline:
            time.sleep(0.02)
        assert seal_status(server, other.ca) == 200
    finally:
        assert server.stop() == 0


def test_sighup_rereads_the_log_level_and_opens_declared_audit_files_anew(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    stanza = f'audit "file" "main" {{ options {{ file_path = "{log}" }} }}'
    server = start_server(tmp_path, extra=stanza)
    config = tmp_path / "config.hcl"
    try:
        server.initialize()
        assert list(server.request("GET", "sys/audit")[1]["data"]) == ["main/"]
        assert server.request("DELETE", "sys/audit/main")[0] == 400
        log.rename(tmp_path / "old.log")
        hang_up(server, 1)
        assert server.request("GET", "sys/mounts")[0] == 200
        assert "sys/mounts" in log.read_text()
        assert "sys/mounts" not in (tmp_path / "old.log").read_text()
        good = config.read_text()
        config.write_text(good + "nonsense {")
        hang_up(server, 2)
        assert "the log level stays as it was" in server.log
        config.write_text(good + 'log_level = "error"\n')
        server.process.send_signal(signal.SIGHUP)
        log.rename(tmp_path / "older.log")
        deadline = time.monotonic() + 20
        while not log.exists() and time.monotonic() < deadline:
            server.process.send_signal(signal.SIGHUP)
            time.sleep(0.05)
        assert server.log.count("reloaded") == 2, "that is said at a level that is now off"
    finally:
        assert server.stop() == 0


def hang_up(server: EngineServer, times: int) -> None:
    """SIGHUP, and wait until the server has said so for the n-th time."""
    server.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 20
    while server.log.count("reloaded") < times and time.monotonic() < deadline:
        time.sleep(0.02)
    assert server.log.count("reloaded") == times


def seal_status(server: EngineServer, ca: Path) -> int:
    trust = ssl.create_default_context(cafile=ca)
    url = f"{server.address}/v1/sys/seal-status"
    with urllib.request.urlopen(url, context=trust, timeout=30) as answer:
        return int(answer.status)


def test_sigterm_under_load_answers_every_request_that_it_took(tmp_path: Path) -> None:
    """Clients that keep their connection: each request is answered, or was never executed."""
    server = start_server(tmp_path, storage=FILE)
    server.initialize()
    assert server.request("POST", "sys/mounts/kv", {"type": "kv"})[0] == 204
    acknowledged: list[str] = []
    unanswered: list[str] = []
    bad: list[int] = []

    def write(worker: int) -> None:
        address = server.address.removeprefix("http://")
        with contextlib.closing(http.client.HTTPConnection(address, timeout=30)) as connection:
            write_on(connection, worker)

    def write_on(connection: http.client.HTTPConnection, worker: int) -> None:
        for number in range(100_000):
            name = f"{worker}-{number}"
            try:
                connection.request(
                    "PUT", f"/v1/kv/{name}", b'{"a":"b"}', {"X-Vault-Token": server.token}
                )
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                unanswered.append(name)
                return
            if answer.status != 204:
                bad.append(answer.status)
                return
            acknowledged.append(name)

    workers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for worker in workers:
        worker.start()
    while len(acknowledged) < 200:
        time.sleep(0.01)
    assert server.stop() == 0
    for worker in workers:
        worker.join()
    assert bad == []
    again = start_server(tmp_path, storage=FILE)
    try:
        again.keys, again.token = server.keys, server.token
        again.unseal()
        stored = set(again.request("GET", "kv?list=true")[1]["data"]["keys"])
        assert set(acknowledged) <= stored, "an acknowledged write is there"
        assert stored == set(acknowledged), "and a request without answer was not executed"
        assert len(unanswered) == len(workers)
    finally:
        assert again.stop() == 0
