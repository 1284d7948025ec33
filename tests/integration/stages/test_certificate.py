"""Stage 9 with a certificate that expires while it serves: seen, and mended by one command."""

import os
import re
import signal
from datetime import timedelta
from pathlib import Path

import pytest

from demo.seaweed import Seaweed
from tests.integration.migration.real_site import Client, RealSite, real_site
from tests.support.real import require
from tests.support.seaweed import seaweed
from zvault.app.doors_process import server_process
from zvault.base.clock import SystemClock
from zvault.ops.tls.authority import issue
from zvault.ops.tls.files import TlsPaths, load_authority, load_pair, write_pair
from zvault.ops.tls.renewal import utc

__all__ = ["seaweed"]

CUT = re.compile(r"RemoteDisconnected|ConnectionReset|BrokenPipe|SSLEOF")
"""What a client sees of a connection that a reloading front door closed."""


def expire(site: RealSite) -> None:
    """Put a pair on disk that expired ten days ago, and let the server take it."""
    paths = TlsPaths.in_directory(site.site.places.tls_dir)
    past = utc(SystemClock()) - timedelta(days=100)
    write_pair(paths, issue(load_authority(paths), [], past, days=90, key=load_pair(paths).key))
    process = server_process(site.site).read().process
    assert process is not None
    os.kill(process.pid, signal.SIGHUP)


def failed_checks(site: RealSite) -> dict[str, str]:
    checks = site.run("smoke", "--stage", "9", "--json").json()["checks"]
    return {check["name"]: check["problem"] for check in checks if not check["ok"]}


@pytest.mark.row("A5.7")
@pytest.mark.timeout(400)
def test_an_expired_certificate_fails_the_smoke_test_and_one_command_renews_it_everywhere(
    tmp_path: Path, seaweed: Seaweed
) -> None:
    require("caddy")
    with real_site(tmp_path, seaweed) as site:
        site.stand()
        shares, token = ("--shares-file", site.shares), ("--token-file", site.token)
        site.must("migrate", "--to", "8", "--backup", "--yes", *shares)
        site.must("migrate", "--to", "9", "--yes", *token)
        assert failed_checks(site) == {}
        expire(site)
        failed = failed_checks(site)
        assert "expired" in failed["certificate"]
        assert "unsealed" in failed
        told = site.must("stage", "certificate", "--json").json()
        assert told == {"renewed": True, "shown_by_server": True, "shown_by_front_door": True}
        assert failed_checks(site) == {}
        client = Client(site.site, site.token_text)
        client.start()
        site.must("stage", "certificate")
        client.stop()
        assert client.number > 5
        # What docs/frontdoor.md promises of a reload: the one request of that moment may be cut.
        assert len(client.failures) <= 1
        assert all(CUT.search(failure) for failure in client.failures), client.failures
