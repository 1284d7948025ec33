"""The migration document's own commands, in its own order: Make targets, scripts, paths.

Each must do the real thing and exit non-zero when its property does not hold.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from demo.seaweed import Seaweed
from tests.integration.migration.real_site import PASSWORD, RealSite, real_site
from tests.support.real import ROOT, require
from tests.support.seaweed import seaweed
from zvault.app.doors_process import server_process

__all__ = ["seaweed"]


def shell(*arguments: str | Path, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Run it in the repository's root, as the document says; exit code and all output."""
    done = subprocess.run(
        [str(argument) for argument in arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **(env or {})},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def make(site: RealSite, target: str, *words: str, env: dict[str, str] | None = None) -> int:
    """``make TARGET`` without the set-up, which has happened."""
    code, said = shell(
        "make", "-o", "setup", target, f"SITE={site.root / 'zvault.toml'}", *words, env=env
    )
    print(target, code, said[-800:])
    return code


def kill_9(site: RealSite) -> None:
    process = server_process(site.site).read().process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)


def unsealed_again(site: RealSite) -> float:
    """Seconds from a kill -9 until ``make vault-secure-status`` says yes."""
    begin = time.monotonic()
    kill_9(site)
    while make(site, "vault-secure-status") != 0:
        assert time.monotonic() - begin < 30, site.logs()
    return time.monotonic() - begin


@pytest.mark.row("A1")
@pytest.mark.row("A2")
@pytest.mark.row("A3")
@pytest.mark.row("A4.1")
@pytest.mark.row("A4.2")
@pytest.mark.row("A4.3")
@pytest.mark.row("A4.4")
@pytest.mark.row("A4.5")
@pytest.mark.row("A4.6")
@pytest.mark.row("A5.1")
@pytest.mark.row("A5.2")
@pytest.mark.row("A5.3")
@pytest.mark.row("A5.5")
@pytest.mark.row("A5.6")
@pytest.mark.row("A5.7")
@pytest.mark.row("A6")
@pytest.mark.row("A7")
@pytest.mark.timeout(900)
def test_the_document_s_commands_do_what_they_say(tmp_path: Path, seaweed: Seaweed) -> None:
    require("caddy")
    with real_site(tmp_path, seaweed) as site:
        site.site.s3.credentials_file.unlink()
        site.site.unseal.password_file.unlink()
        shares, token = f"SHARES_FILE={site.shares}", f"TOKEN_FILE={site.token}"
        phase_one(site, shares)
        phase_two(site, seaweed, token)
        assert make(site, "rollback-stage9", token) == 0
        assert make(site, "vault-secure-test") == 0
        assert make(site, "rollback-stage8", shares, "ARGS=--destroy-key-file") == 0
        assert not site.site.unseal.key_file.exists()
        assert make(site, "vault-secure-status") == 0


def phase_one(site: RealSite, shares: str) -> None:
    """Steps 1.1 to 1.6."""
    assert make(site, "vault-secure-status") != 0, "nothing stands yet"
    assert make(site, "stage7") == 0
    assert make(site, "vault-secure-status") != 0, "sealed is not success"
    address = f"http://{site.site.server.plain_address}"
    site.must("unseal", "--address", address, "--shares-file", site.shares)
    assert make(site, "vault-secure-status") == 0
    assert make(site, "vault-secure-test") != 0, "stage 7 is not stage 8"
    assert make(site, "vault-secure-backup") != 0, "nobody gave shares"
    assert make(site, "vault-secure-backup", shares) == 0
    assert list(site.site.places.backup_dir.glob("vault-backup-*.tar.zst"))
    password = site.site.unseal.password_file
    password.write_text(PASSWORD + "\n")
    password.chmod(0o600)
    code, said = shell(
        "monitoring/vault/scripts/encrypt-unseal.sh",
        *("--password-file", password, "--key-file", site.site.unseal.key_file),
        *("--store", f"file:{site.site.places.data_dir}", "--shares-file", site.shares),
    )
    assert code == 0, said
    assert make(site, "stage8") == 0
    assert unsealed_again(site) < 30
    assert make(site, "vault-secure-test") == 0
    assert make(site, "stage8") == 0, "it is idempotent"


def phase_two(site: RealSite, seaweed: Seaweed, token: str) -> None:
    """Steps 2.1 to 2.7."""
    assert make(site, "vault-secure-backup") == 0
    assert make(site, "smoke-stage9") != 0, "stage 8 is not stage 9"
    assert make(site, "vault-tls-renew") == 0
    wrong = {"B2_APPLICATION_KEY_ID": seaweed.access_key_id, "B2_APPLICATION_KEY": "wrong"}
    assert make(site, "stage9", token, env=wrong) != 0, "a wrong key is named, not taken"
    assert site.status()["stage"] == 8
    assert not site.site.s3.credentials_file.exists(), "a key that opens nothing is not kept"
    right = {**wrong, "B2_APPLICATION_KEY": seaweed.secret_access_key}
    code, said = shell(
        "scripts/vault-migrate-stage9.sh",
        *("--site", site.root / "zvault.toml", "--token-file", site.token),
        env=right,
    )
    assert code == 0, said
    assert make(site, "stage9", token) == 0
    assert make(site, "smoke-stage9") == 0
    assert unsealed_again(site) < 30
    assert make(site, "smoke-stage9") == 0
    assert make(site, "vault-prod-backup") == 0
    assert make(site, "vault-tls-renew") == 0


def test_no_logic_in_shell() -> None:
    """The scripts are one call each."""
    for name in (
        "scripts/vault-migrate-stage8.sh",
        "scripts/vault-migrate-stage9.sh",
        "monitoring/vault/scripts/encrypt-unseal.sh",
    ):
        lines = (ROOT / name).read_text().splitlines()
        code = [line for line in lines if line and not line.startswith("#")]
        assert len(code) == 1, name
        assert " exec .venv/bin/zvault " in code[0], name
        assert os.access(ROOT / name, os.X_OK), name


def test_every_name_of_the_document_is_a_make_target() -> None:
    text = (ROOT / "make/seeds.mk").read_text()
    for target in (
        "stage7", "stage8", "stage9", "vault-secure-backup", "vault-secure-status",
        "vault-secure-test", "vault-prod-backup", "vault-tls-renew", "smoke-stage9",
    ):  # fmt: skip
        assert f"\n{target}" in text or f" {target}:" in text, target
    assert "include make/seeds.mk" in (ROOT / "Makefile").read_text()


@pytest.mark.row("A13")
def test_secrets_of_a_site_are_not_in_git() -> None:
    ignored = (ROOT / ".gitignore").read_text()
    for path in ("creds/", ".unseal-password", "data/", "data-*/", "tls/", "logs/", "run/"):
        assert f"/monitoring/vault/{path}" in ignored, path
