"""An agent that the record does not name is seen all the same, and never taken for gone."""

from pathlib import Path

import pytest

from zvault.app.doors_process import AgentDoor, UnrecordedAgentError, agent_process
from zvault.app.site import load_site
from zvault.ops.unseal.report import SingleInstance, holder_of


def door(root: Path) -> AgentDoor:
    (root / "zvault.toml").write_text("")
    site = load_site(root / "zvault.toml")
    site.places.run_dir.mkdir(parents=True)
    return AgentDoor(site, agent_process(site))


async def test_who_holds_the_agents_lock_is_an_agent(tmp_path: Path) -> None:
    agent = door(tmp_path)
    run_dir = agent.site.places.run_dir
    assert not (await agent.observe()).alive
    assert holder_of(run_dir) is None
    held = SingleInstance(run_dir)
    try:
        assert (await agent.observe()).alive
        with pytest.raises(UnrecordedAgentError, match="does not name"):
            await agent.stop()
    finally:
        held.close()
    assert not (await agent.observe()).alive
    await agent.stop()


def test_somebody_who_only_looks_is_no_agent(tmp_path: Path) -> None:
    SingleInstance(tmp_path).close()
    assert holder_of(tmp_path) is None
    SingleInstance(tmp_path).close()
