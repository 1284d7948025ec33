"""The bucket is gone for good: what can be brought back is, and what is lost is said first."""

import re
from pathlib import Path

import pytest

from demo.seaweed import start
from tests.integration.migration.real_site import Client, real_site
from tests.support.real import require


@pytest.mark.row("A7")
def test_a_rollback_without_the_bucket_names_the_loss_and_wants_it_accepted(
    tmp_path: Path,
) -> None:
    require("caddy")
    server = start(require("seaweedfs"), tmp_path / "weed")
    try:
        with real_site(tmp_path, server) as site:
            site.stand()
            client = Client(site.site, site.token_text)
            client.start()
            site.must("migrate", "--to", "8", "--backup", "--yes", "--shares-file", site.shares)
            site.must("migrate", "--to", "9", "--yes", "--token-file", site.token)
            client.stop()
            site.must("stage", "backup")
            assert client.failures == []
            server.stop()
            token = ("--token-file", site.token)

            done = site.run("rollback", "--to", "8", "--yes", *token, timeout=300)
            assert done.code == 3, done
            assert "would be lost" in done.err
            moment = re.search(r"--accept-loss-since (\S+)", done.err)
            assert moment, done.err
            assert site.status()["stage"] == 9

            accept = ("--accept-loss-since", moment[1], *token)
            done = site.must("rollback", "--to", "8", "--yes", *accept, timeout=300)
            assert "LOST: everything since" in done.err
            status = site.status()
            assert (status["stage"], status["server"]["sealed"]) == (8, False)
            assert status["clients"]["url"].startswith("http://")
            newest = max(client.acknowledged)
            answer = client.ask("GET", f"{client.path}?version={newest}")
            assert answer["data"]["data"]["number"] == client.acknowledged[newest]
    finally:
        server.stop()
