"""The whole way with real processes, under a client that never retries."""

from pathlib import Path

import pytest

from demo.seaweed import Seaweed
from tests.integration.migration.real_site import Client, RealSite, real_site
from tests.support.real import require
from tests.support.seaweed import seaweed

__all__ = ["seaweed"]


def kept(site: RealSite, client: Client) -> None:
    """Every version that was acknowledged and is within max_versions reads as it was written."""
    newest = max(client.acknowledged)
    for version in sorted(client.acknowledged)[-3:]:
        answer = client.ask("GET", f"{client.path}?version={version}")
        assert answer["data"]["data"]["number"] == client.acknowledged[version]
    metadata = client.ask("GET", client.path.replace("/data/", "/metadata/"))["data"]
    assert newest <= metadata["current_version"] <= client.number


@pytest.mark.row("A6")
@pytest.mark.row("A7")
@pytest.mark.row("A13")
@pytest.mark.row("A14")
@pytest.mark.row("C1")
@pytest.mark.row("C10")
def test_seven_to_nine_and_back_loses_nothing_and_fails_nobody(
    tmp_path: Path, seaweed: Seaweed
) -> None:
    require("caddy")
    with real_site(tmp_path, seaweed) as site:
        site.stand()
        client = Client(site.site, site.token_text, roles=site.golden.expected["approle"])
        client.start()
        shares = ("--shares-file", site.shares)
        token = ("--token-file", site.token)
        site.must("migrate", "--to", "8", "--backup", "--yes", *shares)
        assert site.status()["agent"]["alive"]
        kept(site, client)
        site.must("migrate", "--to", "9", "--backup", "--rotate-audit", "--yes", *token)
        kept(site, client)
        site.must("smoke", "--stage", "9")
        assert site.status()["clients"]["plaintext"] is False
        site.must("rollback", "--to", "8", "--backup", "--yes", *token)
        kept(site, client)
        site.must("smoke", "--stage", "8")
        site.must("rollback", "--to", "7", "--backup", "--destroy-key-file", "--yes", *shares)
        kept(site, client)
        site.must("smoke", "--stage", "7")
        client.stop()
        assert client.failures == []
        assert client.number > 50
        assert client.logins > 15
        status = site.status()
        assert status["stage"] == 7
        assert status["server"]["sealed"] is False
        assert not status["agent"]["alive"]
        assert not site.site.unseal.key_file.exists()
        print(f"{client.number} writes, longest {client.longest_seconds:.2f} s")
