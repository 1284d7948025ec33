"""Damage to the bucket between the proof of the copy and the cut-over, with real processes."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.store import S3Store

from demo.seaweed import Seaweed
from tests.faults.migration.world import With
from tests.integration.migration.real_site import RealSite, real_site
from tests.support.golden_storage import shares_of
from tests.support.real import require
from tests.support.seaweed import seaweed
from zvault.app.wiring import Brought, operator_of
from zvault.base.secret import Secret
from zvault.ops.migration.errors import MigrationRolledBackError
from zvault.ops.migration.model import Options
from zvault.ops.migration.planning import STEPS

__all__ = ["seaweed"]


class Bucket:
    """The destination, reached behind the tool's back."""

    def __init__(self, site: RealSite) -> None:
        assert site.seaweed is not None
        self._store = S3Store(
            site.site.s3.url.removeprefix("s3://").partition("/")[0],
            prefix="vault",
            endpoint=site.seaweed.endpoint,
            region="us-east-1",
            access_key_id=site.seaweed.access_key_id,
            secret_access_key=site.seaweed.secret_access_key,
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
        )

    def content(self) -> dict[str, bytes]:
        names = [entry["path"] for page in obstore.list(self._store) for entry in page]
        return {name: bytes(obstore.get(self._store, name).bytes()) for name in names}

    def damage(self) -> dict[str, bytes | None]:
        """One entry dropped, one replaced by another's bytes, one added; what each was before."""
        before = self.content()
        # Transit keys: nobody writes them during a migration.
        one, other, *_ = sorted(name for name in before if "/archive/" in name or "policy" in name)
        obstore.delete(self._store, one)
        obstore.put(self._store, other, before[one])
        obstore.put(self._store, other + "-long-gone", before[one])
        return {one: before[one], other: before[other], other + "-long-gone": None}


def migrate(site: RealSite, say: Callable[[str], None]) -> Any:
    shares, token = shares_of(site.golden)[:3], Secret(site.token_text)
    brought = Brought(shares=lambda: shares, token=lambda: token)

    async def go() -> Any:
        with operator_of(site.site, brought, say) as operator:
            proposal = await operator.propose(9, Options(take_backup=True))
            return await operator.migrate(proposal, proposal.id)

    return asyncio.run(go())


@pytest.mark.row("C1")
def test_damage_after_the_catch_up_is_mended_and_behind_the_fence_it_stops_the_run(
    tmp_path: Path, seaweed: Seaweed, monkeypatch: pytest.MonkeyPatch
) -> None:
    require("caddy")
    with real_site(tmp_path, seaweed) as site:
        site.stand()
        site.must("migrate", "--to", "8", "--backup", "--yes", "--shares-file", site.shares)
        said: list[str] = []
        before: dict[str, bytes | None] = {}

        def damaged_before(step: str) -> None:
            whole = STEPS[step]

            async def acted(world: Any) -> dict[str, Any]:
                before.update(Bucket(site).damage())
                return await whole.act(world)

            monkeypatch.setitem(STEPS, step, With(whole, "act", acted))  # type: ignore[arg-type]

        damaged_before("compare")
        with pytest.raises(MigrationRolledBackError, match=r"1 missing .* 1 extra .* 1 different"):
            migrate(site, said.append)
        assert site.status()["stage"] == 8
        assert not site.status()["server"]["sealed"]
        monkeypatch.undo()
        before.clear()
        damaged_before("fence")
        ended = migrate(site, said.append)
        assert ended.active_stage == 9
        after = Bucket(site).content()
        assert {name: after.get(name) for name in before} == before
        assert ended.held is not None
        assert {"fence", "delta", "prove", "compare", "start"} <= {n for n, _ in ended.held.parts}
        site.must("smoke", "--stage", "9")
