"""The embedded runtime with the real server program."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.migration.real_site import RealSite, real_site
from zvault.app.doors_process import embedded_runtime
from zvault.app.geography import SiteGeography
from zvault.base.errors import ZvaultError
from zvault.ops.runtime.embedded import EmbeddedRuntime
from zvault.vaultapi.client import VaultApi


@pytest.fixture
def site(tmp_path: Path) -> Iterator[RealSite]:
    with real_site(tmp_path, None) as made:
        geography = SiteGeography(made.site)
        side = geography.side(7, geography.home_url(7))
        side.config_path.parent.mkdir(parents=True)
        side.config_path.write_text(side.config_text)
        made.site.places.run_dir.mkdir(parents=True)
        yield made


def start(site: RealSite) -> EmbeddedRuntime:
    geography = SiteGeography(site.site)
    side = geography.side(7, geography.home_url(7))
    runtime = embedded_runtime(site.site)
    runtime.start(side.config_path, side.target.address)
    return runtime


def answers(site: RealSite) -> bool:
    """Wait until seal-status answers; False when it does not in 20 s."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            VaultApi(f"http://{site.site.server.plain_address}").seal_status()
            return True
        except ZvaultError:
            time.sleep(0.05)
    return False


def test_a_server_is_started_killed_restarted_and_stopped(site: RealSite) -> None:
    runtime = start(site)
    assert answers(site)
    first = runtime.observe().pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    while runtime.is_alive():
        time.sleep(0.01)
    runtime.restart()
    assert answers(site)
    assert runtime.observe().pid != first
    runtime.fence()
    assert not runtime.is_alive()
    runtime.restart()
    assert not runtime.is_alive()
    assert runtime.desired() == "fenced"


def test_the_last_words_of_a_server_that_cannot_start_are_kept(site: RealSite) -> None:
    (site.site.places.data_dir / "core/_migration").write_text('{"Value":"e30="}\n')
    runtime = start(site)
    deadline = time.monotonic() + 20
    while runtime.is_alive():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "migration" in runtime.observe().last_words


def test_no_secret_of_the_operator_reaches_the_server(
    site: RealSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("B2_APPLICATION_KEY", "planted")
    monkeypatch.setenv("VAULT_TOKEN", "planted")
    pid = start(site).observe().pid
    assert answers(site)
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"planted" not in environment
    assert b"AWS_SHARED_CREDENTIALS_FILE" in environment
