"""New shares on a site of real processes: on the way from 7 to 8, and on their own."""

import json
import shutil
import stat
import time
from pathlib import Path

from tests.integration.migration.real_site import RealSite, real_site
from tests.support.real import require


def wait_unsealed(site: RealSite) -> None:
    deadline = time.monotonic() + 60
    while site.status()["server"]["sealed"] is not False:
        assert time.monotonic() < deadline, site.logs()
        time.sleep(0.2)


def test_stage_8_with_new_shares_that_its_agent_knows(tmp_path: Path) -> None:
    require("caddy")
    with real_site(tmp_path, None) as site:
        site.stand()
        shares = ("--shares-file", site.shares)
        plan = site.must("plan", "--to", "8", "--backup", *shares, "--json").json()
        assert "without a rekey" in plan["remarks"][0]
        new = site.root / "new-shares.json"
        done = site.must("migrate", "--to", "8", "--backup", "--rekey-to", new, "--yes", *shares)
        assert "without a rekey" not in done.err
        assert stat.S_IMODE(new.stat().st_mode) == 0o600
        data = "file:monitoring/vault/data"
        site.must("store", "verify", data, "--shares-file", new)
        old = site.run("store", "verify", data, *shares)
        assert old.code == 4
        assert "before a rekey" in old.err
        site.kill_server()
        wait_unsealed(site)

        # Once more, by itself; a copy of the key file from before says what it is.
        key_file = site.site.unseal.key_file
        stale = tmp_path / "stale.enc"
        shutil.copy(key_file, stale)
        newer = site.root / "newer-shares.json"
        told = site.must(
            "rekey", "--keys-file", newer, "--shares", "5", "--threshold", "2", "--json"
        ).json()
        assert (told["secret_shares"], told["secret_threshold"]) == (5, 2)
        assert told["key_file"] == str(key_file)
        assert len(json.loads(newer.read_text())["shares"]) == 5
        password = ("--password-file", site.root / "monitoring/vault/.unseal-password")
        site.must("keyfile", "verify", "--key-file", key_file, "--store", data, *password)
        behind = site.run("keyfile", "verify", "--key-file", stale, "--store", data, *password)
        assert behind.code == 4
        assert "before a rekey" in behind.err
        site.kill_server()
        wait_unsealed(site)
        refused = site.run("rekey", "--keys-file", newer)
        assert refused.code == 3
        assert "exists and is not replaced" in refused.err
        site.must("rekey", "--cancel")
        usage = site.run("rekey", "--keys-file", tmp_path / "x", "--shares", "3")
        assert usage.code == 2
