"""A Vault that moves: http → https → http, told by a file; the services go with it."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.client.conftest import QUICK
from tests.client.waiting import until
from tests.support.certificates import make_pki
from tests.support.openbao import running
from zakupai_common.secret import Secret
from zakupai_common.testing import FakeVault, RealVault
from zakupai_common.testing.controls import deliver
from zakupai_common.vault import Declared, SecretStore, VaultSettings
from zakupai_common.vault.address import Whereabouts
from zakupai_common.vault.errors import SettingsError
from zakupai_common.vault_client import get_client

KEY = Declared("k", "app", "k")


def moved(settings: VaultSettings, file: Path) -> VaultSettings:
    """The same, with the address in a file."""
    return VaultSettings(
        role_id_file=settings.role_id_file,
        secret_id_file=settings.secret_id_file,
        ca_file=settings.ca_file,
        address_file=file,
    )


@contextmanager
def left_behind(file: Path, new_address: str) -> Iterator[tuple[str, list[str]]]:
    """A server that refuses everything once Vault has left, as a front door refuses plaintext.

    The move happens while the first request is on its way: after the address was read.
    """
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            file.write_text(new_address)
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b'{"errors":["plaintext is refused here: use https"]}'
            self.send_response(403)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_http_to_https_and_back_costs_no_login(tmp_path: Path) -> None:
    pki, file, data = make_pki(tmp_path / "pki"), tmp_path / "address", tmp_path / "data"
    with running(tmp_path, data) as plain:
        made = plain.request("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})[1]
        keys, root = [Secret(made["keys"][0])], Secret(made["root_token"])
        vault = RealVault(plain.address, root, keys)
        vault.unseal()
        vault.prepare()
        vault.put("app", {"k": "0"})
        given = deliver(vault, vault.make_role("svc", ["app"]), tmp_path, ca_file=pki.ca)
        file.write_text(plain.address + "\n")
        store = SecretStore(moved(given, file), [KEY], pace=QUICK)
        store.start()
    try:
        assert store[KEY].reveal() == "0"
        for number, scheme in ((1, "https"), (2, "http")):
            tls = {"tls_cert": pki.certificate, "tls_key": pki.key} if number == 1 else {}
            with running(tmp_path, data, **tls) as elsewhere:
                ca_file = pki.ca if number == 1 else None
                there = RealVault(elsewhere.address, root, keys, ca_file=ca_file)
                there.unseal()
                there.put("app", {"k": str(number)})
                file.write_text(elsewhere.address)
                assert elsewhere.address.startswith(f"{scheme}:")
                until(lambda: store[KEY].reveal() == str(number))  # noqa: B023
                assert store.health().counts.logins == 1
    finally:
        store.close()


def test_a_refusal_by_a_place_that_vault_has_left_is_no_refusal_of_the_credentials(
    tmp_path: Path,
) -> None:
    file = tmp_path / "address"
    with FakeVault() as vault:
        vault.put("app", {"k": "v"})
        given = deliver(vault, vault.make_role("svc", ["app"]), tmp_path)
        with left_behind(file, vault.address) as (old_address, asked):
            file.write_text(old_address)
            with SecretStore(moved(given, file), [KEY], pace=QUICK) as store:
                assert store[KEY].reveal() == "v"
                health = store.health()
        assert asked == ["/v1/auth/approle/login"]
        assert (health.counts.logins, health.counts.failures) == (1, 1)


@pytest.mark.parametrize("content", [None, b"", b"v:8200\n", b"http://u:p@v/x"])
def test_a_file_that_turns_unusable_changes_nothing_and_is_told_once(
    content: bytes | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "address"
    with FakeVault() as vault:
        vault.put("app", {"k": "v"})
        file.write_text(vault.address)
        given = deliver(vault, vault.make_role("svc", ["app"]), tmp_path)
        with (
            caplog.at_level(logging.WARNING),
            SecretStore(moved(given, file), [KEY], pace=QUICK) as store,
        ):
            if content is None:
                file.unlink()
            else:
                file.write_bytes(content)
            vault.put("app", {"k": "w"})
            until(lambda: store[KEY].reveal() == "w")
            assert store.refresh()
            assert store.health().trouble == ""
    assert caplog.text.count("looked for where it was") == 1
    assert "u:p" not in caplog.text


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o602])
def test_a_file_that_strangers_can_change_is_refused(mode: int, tmp_path: Path) -> None:
    file = tmp_path / "address"
    file.write_text("http://127.0.0.1:8200")
    file.chmod(mode)
    settings = VaultSettings(token_file=tmp_path / "t", address_file=file)
    with pytest.raises(SettingsError, match="strangers"):
        SecretStore(settings, [KEY])
    file.chmod(0o644)
    SecretStore(settings, [KEY]).close()


def test_after_https_the_file_leads_to_no_plaintext_beyond_loopback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "address"
    file.write_text("http://vault.internal:8200")
    where = Whereabouts("", file)
    assert where.now == "http://vault.internal:8200"  # it never was anything else
    file.write_text("https://vault.internal:8200")
    assert where.look()
    for wrong in ("http://vault.internal:8200", "http://10.0.0.1", "http://localhost.evil.kz"):
        file.write_text(wrong)
        assert not where.look()
        assert where.now == "https://vault.internal:8200"
    assert caplog.text.count("looked for where it was") == 1
    for right in ("http://127.0.0.1:8200", "http://[::1]:8200", "http://localhost:8200"):
        file.write_text(right)
        assert where.look()
        assert where.now == right
    file.write_text("http://vault.internal:8200")
    assert not where.look()  # loopback was no step down, and is no step to further down


def test_one_of_the_two_says_where_vault_is() -> None:
    both = {"VAULT_ADDR": "http://v", "VAULT_ADDR_FILE": "f", "VAULT_TOKEN_FILE": "t"}
    with pytest.raises(SettingsError, match="both"):
        VaultSettings.from_environment(both)
    found = VaultSettings.from_environment({**both, "VAULT_ADDR": ""})
    assert (found.address, found.address_file) == ("", Path("f"))


def test_get_client_goes_where_the_file_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeVault() as vault:
        (tmp_path / "address").write_text(vault.address)
        monkeypatch.delenv("VAULT_ADDR", raising=False)
        monkeypatch.setenv("VAULT_ADDR_FILE", str(tmp_path / "address"))
        monkeypatch.setenv("VAULT_TOKEN", vault.root_token.reveal())
        client = get_client()
        assert client.url == vault.address
        client.adapter.close()
