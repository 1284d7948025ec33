"""One look at everything a plan depends on.

What lives here: the facts and how they are gathered. What never does: a judgement (``refuse.py``),
an effect.
"""

from dataclasses import dataclass
from pathlib import Path

from zvault.base.errors import ZvaultError
from zvault.ops.migration.model import Parameters, Side, SiteState
from zvault.ops.migration.ports import (
    AgentFacts,
    BackupFacts,
    DoorFacts,
    Ports,
    SealFacts,
    StoreFacts,
)
from zvault.ops.runtime.api import ServerFacts
from zvault.ops.stages.model import UnsealKind


@dataclass(frozen=True, slots=True)
class Facts:
    """What was seen at one moment."""

    now_ns: int
    state: SiteState | None
    server: ServerFacts
    seal: SealFacts
    agent: AgentFacts
    door: DoorFacts
    source: StoreFacts
    destination: StoreFacts | None
    backup: BackupFacts | None
    backup_damage: str
    """Why the bytes of ``backup`` are not those that were verified; "" when they are."""
    key_file: bool
    key_file_problem: str
    layout_risk: str
    rekey_file_exists: bool
    has_shares: bool
    shares_problem: str
    """Why the operator's shares do not open the source; "" when they do or none were given."""
    has_token: bool
    token_problem: str
    """Why the operator's token may not look at audit devices; "" when it may, or nobody serves."""
    canary_problem: str
    machine_trouble: str
    free_bytes: int | None
    needed_bytes: int


async def observe_for(
    ports: Ports, parameters: Parameters, source: Side, destination: Side
) -> Facts:
    """Look at all that matters for this direction."""
    key_file = await ports.key_files.exists()
    looked = await ports.stores.look(source.store_url)
    needs_key_file = UnsealKind.AGENT in (source.stage.unseal, destination.stage.unseal)
    moves = parameters.moves_store
    backup = await ports.backups.latest_verified()
    return Facts(
        now_ns=ports.machine.now_ns(),
        state=await ports.state.read(),
        server=await ports.server.observe(),
        seal=await ports.vault.seal_status(source.target),
        agent=await ports.agent.observe(),
        door=await ports.front_door.observe(),
        source=looked,
        destination=await ports.stores.look(destination.store_url) if moves else None,
        backup=backup,
        backup_damage="" if backup is None else await ports.backups.damage(backup.name),
        key_file=key_file,
        key_file_problem=(
            await _key_file_problem(ports, source.store_url)
            if key_file and needs_key_file and looked.reachable
            else ""
        ),
        layout_risk=await ports.key_files.layout_risk(),
        rekey_file_exists=(
            bool(parameters.options.rekey_file)
            and await ports.new_shares.exists(Path(parameters.options.rekey_file))
        ),
        has_shares=await ports.credentials.has_shares(),
        shares_problem=await _shares_problem(ports, looked),
        has_token=await ports.credentials.has_token(),
        token_problem=await _token_problem(ports, source, serves=parameters.source_serves),
        canary_problem=(
            "" if parameters.options.without_canary else await ports.vault.canary_problem()
        ),
        machine_trouble=ports.machine.trouble(),
        free_bytes=ports.machine.free_bytes(destination.store_url) if moves else None,
        needed_bytes=(
            await ports.stores.size(source.store_url) if moves and looked.reachable else 0
        ),
    )


async def _shares_problem(ports: Ports, source: StoreFacts) -> str:
    if not await ports.credentials.has_shares():
        return ""
    try:
        shares = await ports.credentials.shares()
        if source.reachable:
            await ports.stores.check_shares(source.url, shares)
    except ZvaultError as error:
        return error.message
    return ""


async def _token_problem(ports: Ports, source: Side, *, serves: bool) -> str:
    if not await ports.credentials.has_token():
        return ""
    try:
        token = await ports.credentials.token()
        if serves:
            await ports.vault.audit_path(source.target, token)
    except ZvaultError as error:
        return error.message
    return ""


async def _key_file_problem(ports: Ports, store_url: str) -> str:
    try:
        await ports.key_files.prove(store_url)
    except ZvaultError as error:
        return error.message
    return ""
