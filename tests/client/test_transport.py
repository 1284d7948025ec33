"""The connection: bounded in time, deaf to the environment, trusting one CA."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hvac
import pytest

from tests.client.conftest import QUICK
from tests.client.waiting import until
from tests.support.certificates import make_pki
from tests.support.disk import full_disk, watch_disk
from tests.support.openbao import OpenBao, running
from zakupai_common.secret import Secret
from zakupai_common.testing import FakeVault, RealVault
from zakupai_common.testing.controls import deliver
from zakupai_common.vault import Declared, SecretStore
from zakupai_common.vault.address import check_address
from zakupai_common.vault.connection import VaultConnection
from zakupai_common.vault.errors import AnswerError, SettingsError, VaultUnavailableError
from zakupai_common.vault.private_file import read_private, write_private
from zakupai_common.vault.settings import VaultSettings


@contextmanager
def answering(*parts: bytes, pause: float = 0.0) -> Iterator[str]:
    """A server that sends these parts to each request, with pauses."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def serve() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer:
                peer.recv(65536)
                for part in parts:
                    try:
                        peer.sendall(part)
                    except OSError:
                        break
                    if stop.wait(pause):
                        return

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stop.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def ask(address: str, **options: object) -> None:
    vault = VaultConnection(address, **options)  # type: ignore[arg-type]
    vault.use(Secret("t"))
    try:
        vault.lookup_self()
    finally:
        vault.close()


def test_a_server_that_trickles_is_given_up_on_as_a_whole() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 90000\r\n\r\n"
    begun = time.monotonic()
    with (
        answering(head, *[b" "] * 90_000, pause=0.02) as address,
        pytest.raises(VaultUnavailableError, match="did not answer in time"),
    ):
        ask(address, timeout_seconds=0.3)
    assert time.monotonic() - begun < 60, "90,000 bytes would have taken half an hour"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{",
        b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"data":[1,2]',
        b"HTTP/1.1 403 F\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 503 S\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
        b"HTTP/1.1 302 F\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
    ],
)
def test_whatever_answers_nothing_but_our_errors_is_raised(answer: bytes) -> None:
    with answering(answer) as address, pytest.raises(VaultUnavailableError):
        ask(address, timeout_seconds=2.0)


def test_an_answer_without_end_is_cut() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"
    with answering(head, *[b" " * 65536] * 200) as address, pytest.raises(VaultUnavailableError):
        ask(address, timeout_seconds=20.0)


def test_the_environment_gives_no_proxy_no_token_and_no_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("VAULT_TOKEN", "of-somebody-else")
    monkeypatch.setenv("HOME", str(tmp_path))
    with FakeVault() as vault:
        ask_as_root = VaultConnection(vault.address)
        ask_as_root.use(vault.root_token)
        assert ask_as_root.lookup_self()["ttl"] == 0
        ask_as_root.close()
        without = VaultConnection(vault.address)
        assert without.hvac.token == ""
        without.close()


def test_one_ca_is_trusted_and_no_other(tmp_path: Path) -> None:
    good, bad = make_pki(tmp_path / "good"), make_pki(tmp_path / "bad")
    with running(
        tmp_path, tmp_path / "data", tls_cert=good.certificate, tls_key=good.key
    ) as server:
        with pytest.raises(AnswerError, match=r"certificate of .* is not trusted"):
            ask(server.address, ca_file=bad.ca)
        with pytest.raises(VaultUnavailableError, match="sealed"):
            ask(server.address, ca_file=good.ca)
    with pytest.raises(SettingsError, match="CA file"):
        ask(server.address, ca_file=tmp_path / "none.pem")


@pytest.mark.parametrize("mode", [0o644, 0o620, 0o604])
def test_a_credential_that_strangers_can_read_or_change_is_refused(
    mode: int, tmp_path: Path
) -> None:
    file = tmp_path / "secret-id"
    file.write_text("s")
    file.chmod(mode)
    with pytest.raises(SettingsError, match="strangers"):
        read_private(file, "secret_id")
    file.chmod(0o440)
    assert read_private(file, "secret_id").reveal() == "s"


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb", b"\xff\xfe", b"x" * 70_000, b"\0"])
def test_a_file_without_a_credential_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "secret-id"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(SettingsError):
        read_private(file, "secret_id")
    with pytest.raises(SettingsError, match="cannot be opened"):
        read_private(tmp_path / "none", "secret_id")


def test_a_replaced_file_keeps_its_mode_but_never_for_strangers(tmp_path: Path) -> None:
    file = tmp_path / "secret-id"
    write_private(file, Secret("a"))
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o444)
    write_private(file, Secret("b"))
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("b", 0o440)
    assert [one.name for one in tmp_path.iterdir()] == ["secret-id"]


def test_a_replaced_file_is_on_the_disk_before_it_has_its_name_and_then_the_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret-id"
    seen = watch_disk(monkeypatch)
    write_private(file, Secret("a secret"))
    content, *after = seen
    assert (content.what, content.size_bytes) == ("sync", len("a secret"))
    assert [(one.what, one.path) for one in after] == [("rename", file), ("sync", tmp_path)]


def test_a_disk_that_is_full_leaves_the_old_credential_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret-id"
    write_private(file, Secret("old"))
    full_disk(monkeypatch)
    with pytest.raises(OSError, match="No space"):
        write_private(file, Secret("new"))
    assert file.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["secret-id"]


@pytest.mark.parametrize(
    "address", ["", "v:8200", "ftp://v", "http://", "http://u:p@v", "http://v/x", "http://v:99999"]
)
def test_an_address_that_is_none_is_refused_and_not_quoted(address: str) -> None:
    with pytest.raises(SettingsError, match="not of the form"):
        check_address(address)


def test_settings_that_cannot_log_in_are_refused() -> None:
    with pytest.raises(SettingsError, match="VAULT_ADDR"):
        VaultSettings.from_environment({})
    with pytest.raises(SettingsError, match="no way to log in"):
        VaultSettings.from_environment({"VAULT_ADDR": "http://v"})
    with pytest.raises(SettingsError, match="without a secret_id"):
        VaultSettings.from_environment({"VAULT_ADDR": "http://v", "VAULT_ROLE_ID_FILE": "r"})
    with pytest.raises(SettingsError, match="both"):
        VaultSettings.from_environment(
            {"VAULT_ADDR": "http://v", "VAULT_ROLE_ID_FILE": "r", "VAULT_TOKEN_FILE": "t"}
        )


def test_a_new_ca_is_found_in_its_file_without_a_restart(tmp_path: Path) -> None:
    first, second = make_pki(tmp_path / "first"), make_pki(tmp_path / "second")
    trusted = tmp_path / "ca.pem"
    trusted.write_bytes(first.ca.read_bytes())
    key = Declared("k", "app", "k")
    with running(
        tmp_path, tmp_path / "data", tls_cert=first.certificate, tls_key=first.key
    ) as server:
        vault = initialised(server, first.ca)
        vault.put("app", {"k": "1"})
        settings = deliver(vault, vault.make_role("r", ["app"]), tmp_path, ca_file=trusted)
        with SecretStore(settings, [key], pace=QUICK) as store:
            server.stop()
            server.tls_cert, server.tls_key = second.certificate, second.key
            server.start()
            vault.ca_file = second.ca
            vault.unseal()
            vault.put("app", {"k": "2"})
            until(lambda: store.health().trouble_code == "certificate")
            trusted.write_bytes(second.ca.read_bytes())
            until(lambda: store[key].reveal() == "2")


def initialised(server: OpenBao, ca_file: Path) -> RealVault:
    client = hvac.Client(url=server.address, token="", verify=str(ca_file))
    made = client.sys.initialize(secret_shares=1, secret_threshold=1)
    client.adapter.close()
    keys = [Secret(made["keys"][0])]
    vault = RealVault(server.address, Secret(made["root_token"]), keys, ca_file=ca_file)
    vault.unseal()
    vault.prepare()
    return vault
