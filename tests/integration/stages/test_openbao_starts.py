"""A rendered configuration is one that a real server starts with."""

import json
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from launcher.ports import free_port
from tests.support.golden import unpack
from tests.support.real import require
from zvault.app.geography import SiteGeography
from zvault.app.site import load_site


@pytest.mark.row("A1")
@pytest.mark.parametrize("number", [7, 8])
def test_openbao_starts_from_the_rendered_stage_and_finds_the_store(
    number: int, tmp_path: Path
) -> None:
    bao = require("openbao-2.6.2")
    port = free_port()
    golden = unpack("openbao-file", tmp_path)
    (tmp_path / "monitoring/vault").mkdir(parents=True)
    golden.data.rename(tmp_path / "monitoring/vault/data")
    (tmp_path / "zvault.toml").write_text(f'[server]\nplain_address = "127.0.0.1:{port}"\n')
    geography = SiteGeography(load_site(tmp_path / "zvault.toml"))
    side = geography.side(number, geography.home_url(number))
    side.config_path.parent.mkdir(parents=True)
    side.config_path.write_text(side.config_text)
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [str(bao), "server", f"-config={side.config_path}"],
            cwd=tmp_path,
            stdout=log,
            stderr=log,
            env={"PATH": "", "HOME": str(tmp_path)},
        )
    try:
        status = ask(side.target.address + "/v1/sys/seal-status", server, tmp_path / "log")
        assert status["initialized"] is True
        assert status["sealed"] is True
        assert status["storage_type"] == "file"
    finally:
        server.kill()
        server.wait()
    assert "error loading configuration" not in (tmp_path / "log").read_text()


def ask(url: str, server: "subprocess.Popen[bytes]", log: Path) -> dict[str, object]:
    deadline = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                found: dict[str, object] = json.loads(answer.read())
                return found
        except OSError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
