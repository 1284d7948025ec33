"""The server's and the agent's process, behind the migration's doors.

What lives here: which program is started with which arguments and environment. What never does: how
a process is recorded (``ops.runtime``).
Invariant: no secret is an argument or in the environment; S3 credentials and the password go as
names of files.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from zvault.app.site import Site
from zvault.base.errors import PreconditionError
from zvault.ops.migration.model import Target
from zvault.ops.migration.ports import AgentFacts
from zvault.ops.runtime.api import Desired, ServerFacts
from zvault.ops.runtime.embedded import EmbeddedRuntime
from zvault.ops.runtime.process import Command, DetachedProcess, clean_environment
from zvault.ops.unseal.report import holder_of

_PROGRAM = (sys.executable, "-m", "zvault.cli.main")
_AGENT_STOP_SECONDS = 15.0
_CREDENTIALS_FILE = "AWS_SHARED_CREDENTIALS_FILE"
_SYSTEMD_CREDENTIALS = "CREDENTIALS_DIRECTORY"


def server_process(site: Site) -> DetachedProcess:
    """The record of the site's server."""
    places = site.places
    return DetachedProcess("server", places.run_dir / "server.json", places.log_file, site.root)


def agent_process(site: Site) -> DetachedProcess:
    """The record of the site's unseal agent."""
    run_dir = site.places.run_dir
    log_path = site.places.log_file.with_name("unseal-agent.log")
    return DetachedProcess("unseal agent", run_dir / "agent.json", log_path, site.root)


def embedded_runtime(site: Site) -> EmbeddedRuntime:
    """The embedded engine as this site runs it."""
    return EmbeddedRuntime(
        process=server_process(site),
        program=(*_PROGRAM, "server"),
        environment={_CREDENTIALS_FILE: str(site.s3.credentials_file)},
        stop_timeout_seconds=site.server.stop_timeout_seconds,
    )


class UnrecordedAgentError(PreconditionError):
    """An agent runs that the record does not name, so nobody knows whose it is."""

    code = "unrecorded-agent"


@dataclass(frozen=True, slots=True)
class ServerDoor:
    """The Server port."""

    runtime: EmbeddedRuntime

    async def observe(self) -> ServerFacts:
        return self.runtime.observe()

    async def start(self, config_path: Path, target: Target, *, fenced: bool = False) -> None:
        self.runtime.start(config_path, target.address, fenced=fenced)

    async def stop(self) -> None:
        self.runtime.stop()

    async def fence(self) -> None:
        self.runtime.fence()

    async def reload(self) -> None:
        self.runtime.reload()


@dataclass(frozen=True, slots=True)
class AgentDoor:
    """The Agent port."""

    site: Site
    process: DetachedProcess

    async def observe(self) -> AgentFacts:
        """See Agent. One that the record does not know runs all the same, and holds its lock."""
        record = self.process.read()
        desired = Desired(record.desired)
        if record.process is not None and record.process.alive():
            return AgentFacts(desired, True, record.label.get("address"))
        return AgentFacts(desired, self._holder() is not None)

    async def start(self, target: Target) -> None:
        seen = await self.observe()
        if seen.alive and seen.address == target.address:
            return
        if seen.alive:
            await self.stop()
        self.process.start(
            Command(
                arguments=[*_PROGRAM, "unseal-agent", *self._arguments(target)],
                environment=clean_environment(self._environment()),
                label={"address": target.address},
            )
        )

    async def stop(self) -> None:
        """Raises UnrecordedAgentError when one runs that is not ours to signal."""
        self.process.stop(Desired.STOPPED, _AGENT_STOP_SECONDS)
        holder = self._holder()
        if holder is not None:
            raise UnrecordedAgentError(
                f"an unseal agent (pid {holder}) runs that {self.process.record_path.name} does not"
                " name",
                hint="end it by hand",
            )

    def _holder(self) -> str | None:
        return holder_of(self.site.places.run_dir)

    def _arguments(self, target: Target) -> list[str]:
        unseal, places = self.site.unseal, self.site.places
        arguments = ["--address", target.address, "--key-file", str(unseal.key_file)]
        if unseal.password_credential:
            arguments += ["--password-credential", unseal.password_credential]
        else:
            arguments += ["--password-file", str(unseal.password_file)]
        if unseal.owner:
            arguments += ["--owner", unseal.owner]
        if target.ca_file is not None:
            arguments += ["--ca-file", str(target.ca_file)]
        server = server_process(self.site)
        arguments += ["--run-dir", str(places.run_dir), "--server-record", str(server.record_path)]
        return [*arguments, "--server-log", str(server.log_path)]

    def _environment(self) -> dict[str, str]:
        folder = os.environ.get(_SYSTEMD_CREDENTIALS)
        # The name of a folder that systemd made; the password itself stays in it.
        return {_SYSTEMD_CREDENTIALS: folder} if folder else {}
