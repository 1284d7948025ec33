"""``zvault migrate`` is killed with -9 at chosen lines of its journal, under a client; then resumed
or turned back by a new process. A subset with real processes of what tests/faults does for all.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from demo.seaweed import Seaweed
from tests.integration.migration.real_site import Client, RealSite, real_site
from tests.support.cli import command, environment
from tests.support.real import require
from tests.support.seaweed import seaweed

__all__ = ["seaweed"]


def lines(site: RealSite) -> list[tuple[str, str]]:
    """Kind and step of every whole line of the journal."""
    path = site.site.places.run_dir / "journal.jsonl"
    found = []
    for line in path.read_bytes().splitlines(keepends=True) if path.exists() else []:
        if line.endswith(b"\n"):
            record = json.loads(line)
            found.append((record["kind"], record["step"]))
    return found


def kill_at(site: RealSite, line: tuple[str, str], *arguments: str | Path) -> None:
    """Run zvault and kill it as soon as that line is in the journal (anew)."""
    before = lines(site).count(line)
    process = subprocess.Popen(
        command(*arguments),
        cwd=site.root,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 90
    while lines(site).count(line) == before:
        assert process.poll() is None, f"it ended before {line}: {lines(site)[-3:]}"
        assert time.monotonic() < deadline
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def must_be(site: RealSite, stage: int) -> None:
    """The stage serves and nothing is open."""
    status = site.status()
    assert status["stage"] == stage, status
    assert status["open_run"] is None, status
    assert status["server"]["sealed"] is False, status
    assert status["agent"]["alive"] == (stage != 7)


def kept(site: RealSite, client: Client) -> None:
    for version in sorted(client.acknowledged)[-3:]:
        answer = client.ask("GET", f"{client.path}?version={version}")
        assert answer["data"]["data"]["number"] == client.acknowledged[version]


@pytest.mark.row("C1")
@pytest.mark.timeout(600)
def test_killed_anywhere_it_is_resumed_or_turned_back_and_nobody_fails(
    tmp_path: Path, seaweed: Seaweed
) -> None:
    require("caddy")
    with real_site(tmp_path, seaweed) as site:
        site.stand()
        client = Client(site.site, site.token_text)
        client.start()
        up8: Sequence[str | Path] = (
            "migrate", "--to", "8", "--backup", "--yes", "--shares-file", site.shares,
        )  # fmt: skip
        up9: Sequence[str | Path] = ("migrate", "--to", "9", "--yes", "--token-file", site.token)
        down8: Sequence[str | Path] = (
            "rollback", "--to", "8", "--backup", "--yes", "--token-file", site.token,
        )  # fmt: skip
        token = ("--token-file", site.token)

        kill_at(site, ("intent", "restart"), *up8)
        site.must("rollback", "--shares-file", site.shares)
        must_be(site, 7)
        kill_at(site, ("outcome", "agent-on"), *up8)
        site.must("resume", "--shares-file", site.shares)
        must_be(site, 8)

        for line in (("intent", "copy"), ("intent", "fence"), ("outcome", "delta")):
            kill_at(site, line, *up9)
            site.must("rollback", *token)
            must_be(site, 8)
            kept(site, client)
        kill_at(site, ("outcome", "start"), *up9)
        site.must("resume", *token)
        must_be(site, 9)
        kept(site, client)

        kill_at(site, ("outcome", "mark"), *down8)
        site.must("rollback", *token)
        must_be(site, 9)
        assert site.status()["clients"]["url"].startswith("https://")
        kill_at(site, ("outcome", "commit"), *down8)
        site.must("resume", *token)
        must_be(site, 8)
        kept(site, client)

        refused = site.run(*up9, "--backup")
        assert refused.code == 3, refused
        assert "left behind" in refused.err
        kill_at(site, ("intent", "clear-retired"), *up9, "--backup", "--clear-retired")
        site.must("resume", *token)
        must_be(site, 9)
        kept(site, client)
        client.stop()
        assert client.failures == []
