"""The demo itself: seven steps from a Stage 7 that a real Vault left behind, to Stage 9 and back.

What lives here: the order of things. What never does: how any of them is done.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo.doors import audit_files, audit_records, kill_and_wait_for_health, status_of
from demo.load.crew import Crew
from demo.looking import Looking
from demo.place import Place
from demo.proof.findings import Verdict
from demo.report.figures import Kill, Step, step_figures
from demo.report.outcome import Outcome
from demo.screen import Screen
from launcher.tool import Tool

_SETTLE_SECONDS = 0.3
_ROTATIONS = 1


class PromiseBrokenError(Exception):
    """Something that the demo looked at is not so."""


@dataclass
class Story:
    """Everything one run needs; ``dwell`` is how long the load goes on between two steps."""

    place: Place
    expected: dict[str, Any]
    tool: Tool
    screen: Screen
    crew: Crew
    looking: Looking
    outcome: Outcome
    dwell: float
    start_crew: Callable[[], None] = lambda: None
    between: dict[str, Callable[[], None]] = field(default_factory=dict)
    prepare: Callable[[], None] = lambda: None
    """The last of the operator before the load."""
    after: Callable[[Step], None] = lambda step: None
    """Looks at what the demo's own load does not show, after every step that changed the Vault."""
    finish: Callable[[], None] = lambda: None
    """Ends whoever else works with the Vault."""
    hidden_policies: int = 0

    def tell(self, until: str = "") -> None:
        """All steps, or those up to and with ``until``."""
        for name, chapter in (
            ("stage7", self.stage_7),
            ("load", self.load),
            ("stage8", self.to_stage_8),
            ("kill8", self.kill_at_stage_8),
            ("stage9", self.to_stage_9),
            ("kill9", self.kill_at_stage_9),
            ("back8", self.back_to_stage_8),
            ("back7", self.back_to_stage_7),
        ):
            chapter()
            self.between.get(name, lambda: None)()
            if name == until:
                break
        self.finish()
        self.crew.stop()
        self.looking.take_in()

    @contextmanager
    def step(
        self, name: str, title: str, short: str = "", *, cutover: bool = False
    ) -> Iterator[Step]:
        """One chapter: timed, told, and added to the outcome."""
        step = Step(name, title, time.monotonic(), cutover=cutover, short=short or title)
        self.outcome.steps.append(step)
        self.screen.step(title)
        try:
            yield step
        finally:
            step.ended = time.monotonic()
        self.looking.take_in()
        if step.verdict is not None:
            self.screen.equal(step.verdict)
        figures = step_figures(self.looking.operations, step.started, step.ended)
        self.screen.figures(figures, cutover=cutover)

    def stage_7(self) -> None:
        """The front door, the embedded server on the old store, unsealed by hand."""
        with self.step("stage7", "Stage 7: file store, unsealed by hand", "7") as step:
            told = self.tool(
                "store", "verify", f"file:{self.place.vault / 'data'}",
                "--shares-file", self.place.shares_file,
            )  # fmt: skip
            self._require(told["ok"], "the museum's store does not verify offline")
            # Vault keeps policies that it does not list (response-wrapping, control-group).
            self.hidden_policies = told["policies"] - len(self.expected["policies"]) - 1
            self.tool("tls", "init", "--tls-dir", self.place.vault / "tls")
            self.tool("frontdoor", "start")
            self.tool("stage", "up", "--stage", "7")
            address = self.place.server_url(7)
            told = self.tool(
                "unseal", "--address", address, "--shares-file", self.place.shares_file
            )
            step.notes.append(f"unsealed with {told['submitted']} shares")
            step.verdict = self.looking.remember_originals(self.expected)

    def load(self) -> None:
        """Five services and the operator begin."""
        with self.step("load", "live load begins", "Stage 7") as step:
            self.start_crew()
            time.sleep(self.dwell)
            step.verdict = self._look()

    def to_stage_8(self) -> None:
        """Verified backup, key file, agent."""
        with self.step("stage8", "Stage 7 → 8", "7 → 8", cutover=True) as step:
            told = self.tool(
                "migrate", "--to", "8", "--backup", "--yes", "--shares-file", self.place.shares_file
            )
            self._require(told["active_stage"] == 8, "stage 8 is not active")
            self._dwell_and_look(step)
            self._require_backups(1)

    def kill_at_stage_8(self) -> None:
        """kill -9, twice: the agent brings it back."""
        with self.step("kill8", "kill -9, twice", "Stage 8", cutover=True) as step:
            for _ in range(2):
                self._kill(step, 8)
            self._dwell_and_look(step)

    def to_stage_9(self) -> None:
        """S3, TLS, audit; plaintext refused."""
        with self.step("stage9", "Stage 8 → 9", "8 → 9", cutover=True) as step:
            place = self.place
            told = self.tool(
                "migrate", "--to", "9", "--backup", "--rotate-audit", "--yes",
                "--token-file", place.token_file, "--shares-file", place.shares_file,
            )  # fmt: skip
            self._require(told["active_stage"] == 9, "stage 9 is not active")
            self._require_schemes(plain=403, tls=200)
            self._dwell_and_look(step)
            self._require_backups(2)

    def kill_at_stage_9(self) -> None:
        """kill -9 on object storage; the audit file has what happened."""
        with self.step("kill9", "kill -9 on S3", "Stage 9", cutover=True) as step:
            begin, before = time.monotonic(), self._audited()
            self._kill(step, 9)
            self._dwell_and_look(step)
            self.looking.take_in()
            done = sum(
                op.started >= begin and op.ended is not None for op in self.looking.operations
            )
            audited = self._audited() - before
            self._require(
                audited >= 2 * done, f"{audited} audit records for {done} operations: too few"
            )
            rotated = len(audit_files(self.place.audit_file)) - 1
            self._require(rotated == _ROTATIONS, f"the audit file was rotated {rotated} times")
            self.outcome.facts |= {"audit_records": self._audited(), "audit_rotated": rotated}
            step.notes.append(f"{audited} audit records for {done} operations")

    def back_to_stage_8(self) -> None:
        """The reverse migration into a fresh folder; plaintext again."""
        with self.step("back8", "Stage 9 → 8", "9 → 8", cutover=True) as step:
            place = self.place
            told = self.tool(
                "rollback", "--to", "8", "--yes", "--backup",
                "--token-file", place.token_file, "--shares-file", place.shares_file,
            )  # fmt: skip
            self._require(told["active_stage"] == 8, "stage 8 is not active again")
            self._require_schemes(plain=200, tls=200)
            self._dwell_and_look(step)

    def back_to_stage_7(self) -> None:
        """No agent, no key file: unsealed by hand again."""
        with self.step("back7", "Stage 8 → 7", "8 → 7", cutover=True) as step:
            told = self.tool(
                "rollback", "--to", "7", "--yes", "--backup", "--destroy-key-file",
                "--shares-file", self.place.shares_file,
            )  # fmt: skip
            self._require(told["active_stage"] == 7, "stage 7 is not active again")
            key_files = list((self.place.vault / "creds").rglob("*.enc"))
            self._require(not key_files, "the key file is still there")
            self._require(not self.tool("status")["agent"]["alive"], "the agent still runs")
            self._dwell_and_look(step)

    # Small parts.

    def _kill(self, step: Step, stage: int) -> None:
        """One kill -9 while only operations that may be sent twice are in flight."""
        with self.crew.calm():
            time.sleep(_SETTLE_SECONDS)
            pid = int(self.tool("status")["server"]["pid"])
            sent, gone, milliseconds = kill_and_wait_for_health(
                pid, self.place.server_url(stage), self.place.ca_file
            )
            self.looking.world.kills.append((sent, gone))
            step.kills.append(Kill(stage, sent, milliseconds))
            self.screen.good(f"kill -9 of the server: unsealed again after {milliseconds:,.0f} ms")
            time.sleep(_SETTLE_SECONDS)

    def _dwell_and_look(self, step: Step) -> None:
        time.sleep(self.dwell)
        self.after(step)
        step.verdict = self._look()

    def _look(self) -> Verdict:
        return self.looking.all_while_working(self.crew)

    def _audited(self) -> int:
        return sum(audit_records(path) for path in audit_files(self.place.audit_file))

    def _require_schemes(self, *, plain: int, tls: int) -> None:
        """What a client meets at both public sites."""
        place = self.place
        for url, wanted in ((place.door_url, plain), (place.door_tls_url, tls)):
            found = status_of(url, place.ca_file)
            self._require(found == wanted, f"{url} answers {found}, not {wanted}")
        self.screen.good(
            "http is refused, https answers" if plain == 403 else "http and https answer"
        )

    def _require_backups(self, least: int) -> None:
        listed = self.tool("backup", "list", "--to", f"file:{self.place.vault / 'backups'}")[
            "backups"
        ]
        verified = [backup for backup in listed if backup["verified"]]
        self._require(len(verified) >= least, f"{len(verified)} verified backups, not {least}")
        self.outcome.facts["verified_backups"] = len(verified)

    def _require(self, holds: bool, what: str) -> None:
        if not holds:
            raise PromiseBrokenError(what)


def final_store(tool: Tool, site: Path) -> Path:
    """The folder of the active file store."""
    url = str(tool("status")["store"])
    if not url.startswith("file:"):
        raise PromiseBrokenError(f"the final store is {url}, not a file store")
    return site / url.removeprefix("file:")
