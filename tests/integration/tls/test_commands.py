"""``zvault tls`` as a user runs it."""

import subprocess
from pathlib import Path

from launcher.ports import free_port
from tests.support.cli import Ran, zvault
from tests.support.golden import unpack
from tests.support.openbao import OpenBao
from tests.support.real import require
from zvault.ops.tls.files import TlsPaths

VERIFY = "verify -x509_strict -purpose sslserver -verify_ip 127.0.0.1 -CAfile ca.pem vault-cert.pem"


def tls(home: Path, *arguments: str) -> Ran:
    done = zvault("tls", *arguments, "--tls-dir", "tls", "--json", cwd=home)
    assert "Traceback" not in done.err
    return done


def test_init_check_and_openssl_agree(tmp_path: Path) -> None:
    made = tls(tmp_path, "init", "--host", "vault.example.kz")
    assert made.code == 0, made.err
    assert "vault.example.kz" in made.json()["hosts"]
    assert tls(tmp_path, "check", "--host", "vault.example.kz").code == 0
    folder = tmp_path / "tls"
    judged = subprocess.run(
        ["openssl", *VERIFY.split()],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (judged.returncode, judged.stdout) == (0, "vault-cert.pem: OK\n"), judged.stderr
    again = tls(tmp_path, "init")
    assert (again.code, again.json()["error"]["code"]) == (3, "tls-exists")


def test_check_fails_by_name(tmp_path: Path) -> None:
    assert tls(tmp_path, "check").code == 3
    assert tls(tmp_path, "init", "--days", "20").code == 0
    short = tls(tmp_path, "check")
    assert (short.code, "less than 30" in short.err) == (4, True)
    missing = tls(tmp_path, "check", "--min-days", "1", "--host", "elsewhere")
    assert (missing.code, "not for elsewhere" in missing.err) == (4, True)
    port = free_port()
    silent = tls(tmp_path, "check", "--min-days", "1", "--address", f"https://127.0.0.1:{port}")
    assert (silent.code, silent.json()["error"]["code"]) == (8, "tls-handshake")
    assert tls(tmp_path, "check", "--address", "http://127.0.0.1:1").code in (2, 4)


def test_a_reload_without_a_look_is_refused(tmp_path: Path) -> None:
    assert tls(tmp_path, "init").code == 0
    before = (tmp_path / "tls" / "vault-cert.pem").read_bytes()
    assert tls(tmp_path, "renew", "--reload-pid", "1").code == 2
    dead = tls(
        tmp_path, "renew", "--reload-pid-file", "nothing", "--address", "https://127.0.0.1:1"
    )
    assert dead.code == 3
    assert (tmp_path / "tls" / "vault-cert.pem").read_bytes() == before


def test_renew_reloads_a_real_server_and_proves_what_it_serves(tmp_path: Path) -> None:
    require("openbao-2.6.2")
    golden = unpack("openbao-file", tmp_path)
    assert tls(tmp_path, "init").code == 0
    paths = TlsPaths.in_directory(tmp_path / "tls")
    (tmp_path / "bao").mkdir()
    server = OpenBao(tmp_path / "bao", golden.data, free_port(), paths.certificate, paths.key)
    server.start()
    try:
        (tmp_path / "pid").write_text(f"{server.pid}\n")
        options = ("--address", server.address, "--reload-pid-file", "pid")
        first = tls(tmp_path, "check", "--address", server.address).json()
        renewed = tls(tmp_path, "renew", *options)
        assert renewed.code == 0, renewed.err
        assert renewed.json()["served"] is True
        assert renewed.json()["serial"] != first["serial"]
        assert renewed.json()["spki_pin"] == first["spki_pin"]
        stale = tls(tmp_path, "renew", "--address", server.address, "--timeout", "0.5")
        assert (stale.code, stale.json()["error"]["code"]) == (4, "tls-not-served")
        unlike = tls(tmp_path, "check", "--address", server.address)
        assert (unlike.code, unlike.json()["error"]["code"]) == (4, "tls-not-served")
    finally:
        server.kill()
