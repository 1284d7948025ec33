"""Does the active stage have the properties its row of the table promises?

What lives here: the checks, each of a property that was tried out, never of a file's existence.
What never does: mending.
Invariant: a check that could not be made is not passed.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from zvault.base import gotime
from zvault.base.errors import ZvaultError
from zvault.ops.migration.model import Limits, Side, SiteState
from zvault.ops.migration.operate import Geography
from zvault.ops.migration.ports import BackupFacts, Ports
from zvault.ops.stages.model import UnsealKind

Probe = Callable[[], Awaitable[str]]
"""Says "" when the property holds, otherwise in one sentence why not."""


@dataclass(frozen=True, slots=True)
class Check:
    """One property and why it does not hold; ``problem`` is "" when it does."""

    name: str
    problem: str

    @property
    def ok(self) -> bool:
        """Whether it holds."""
        return not self.problem


@dataclass(frozen=True, slots=True)
class Smoke:
    """The checks of one site."""

    ports: Ports
    geography: Geography
    limits: Limits

    async def run(self, stage_number: int, *, nonce: str, canary: bool) -> list[Check]:
        """Every check of that stage, in order; a failing one does not stop the others."""
        state = await self.ports.state.read()
        if state is None or state.stage != stage_number:
            active = "no stage" if state is None else f"stage {state.stage}"
            return [Check("stage", f"{active} is active, not stage {stage_number}")]
        side = self.geography.side(state.stage, state.store_url)
        probes: dict[str, Probe] = {
            "configuration": lambda: self._configuration(side),
            "unsealed": lambda: self._unsealed(side),
            "clients": lambda: self._clients(side),
        }
        if canary:
            probes["canary"] = lambda: self._canary(side, nonce)
        if side.stage.unseal is UnsealKind.AGENT:
            probes["agent"] = lambda: self._agent(side)
            probes["key-file"] = lambda: self._key_file(side)
            probes["backup"] = lambda: self._backup(state, side)
        if side.stage.tls:
            probes["certificate"] = lambda: self._certificate(side)
            probes["plaintext-refused"] = self._plaintext_refused
        return [Check(name, await _try(probe)) for name, probe in probes.items()]

    async def _configuration(self, side: Side) -> str:
        server = await self.ports.server.observe()
        if server.config_path != side.config_path:
            return f"the server was started with {server.config_path}"
        if await self.ports.files.read(side.config_path) != side.config_text:
            return f"{side.config_path.name} is not what zvault.toml means"
        return ""

    async def _unsealed(self, side: Side) -> str:
        facts = await self.ports.vault.seal_status(side.target)
        if not facts.reachable:
            return f"{side.target.address} does not answer: {facts.reason}"
        return "the server is sealed" if facts.sealed else ""

    async def _clients(self, side: Side) -> str:
        scheme = side.stage.scheme
        url = (await self.ports.front_door.observe()).client_url or ""
        if not url.startswith(scheme + "://"):
            return f"clients are sent to {url or 'nowhere'}, not to {scheme}"
        answers = await self.ports.front_door.answers(scheme)
        return "" if answers else f"the front door does not answer over {scheme}"

    async def _canary(self, side: Side, nonce: str) -> str:
        before = await self.ports.audit_file.size()
        await self.ports.vault.canary(side.target, nonce)
        grew = await self.ports.audit_file.size() > before
        if side.stage.audit and not grew:
            return "the canary's requests left no line in the audit file"
        return ""

    async def _agent(self, side: Side) -> str:
        seen = await self.ports.agent.observe()
        if not seen.alive:
            return "the unseal agent is not running"
        at = seen.address
        return "" if at == side.target.address else f"the unseal agent watches {at}"

    async def _key_file(self, side: Side) -> str:
        if not await self.ports.key_files.exists():
            return "there is no key file"
        await self.ports.key_files.prove(side.store_url)
        return ""

    async def _backup(self, state: SiteState, side: Side) -> str:
        fingerprint = (await self.ports.stores.look(side.store_url)).fingerprint
        places = {side.store_url, *(old.url for old in state.retired)}
        ours = [
            one
            for one in await self.ports.backups.verified()
            if _is_of_this_vault(one, fingerprint, places)
        ]
        if not ours:
            return "there is no verified backup of this Vault"
        latest = max(ours, key=lambda one: one.taken_ns)
        age = (self.ports.machine.now_ns() - latest.taken_ns) / gotime.SECOND_NS
        if age < 0:
            return f"the youngest verified backup, {latest.name}, is of a time still to come"
        if age > self.limits.backup_max_age_seconds:
            return f"the youngest verified backup is {age / 3600:.1f} h old"
        return await self.ports.backups.damage(latest.name)

    async def _certificate(self, side: Side) -> str:
        """On disk, and shown by the server and by the front door: a renewed one need not be yet."""
        tls = self.ports.tls
        problem = await tls.problem() or await tls.shown_problem(side.target)
        if problem:
            return problem
        shown = await self.ports.front_door.shows_certificate()
        return "" if shown else "the front door shows another certificate than the one on disk"

    async def _plaintext_refused(self) -> str:
        refused = await self.ports.front_door.refuses_plaintext()
        return "" if refused else "a request over http was not refused"


def _is_of_this_vault(backup: BackupFacts, fingerprint: str, places: set[str]) -> bool:
    """By its seal, which travels with the store; where one is unknown, by where it was taken."""
    if backup.fingerprint and fingerprint:
        return backup.fingerprint == fingerprint
    return backup.store_url in places


async def _try(probe: Probe) -> str:
    try:
        return await probe()
    except ZvaultError as error:
        return error.message
