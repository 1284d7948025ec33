"""The unseal agent: looks, decides, acts, and says what it did.

What lives here: the loop around ``decide`` and its effects. What never does: a choice (that is
``decide.py``), a share kept between rounds.
Invariant: "unsealed" is said only after a seal-status that says so.
"""

import random
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

from zvault.base.clock import Clock
from zvault.base.errors import InterruptedRunError, PreconditionError, ZvaultError
from zvault.ops.unseal.decide import (
    Action,
    Desired,
    KeyIdentity,
    Memory,
    Observation,
    Restart,
    SubmitRound,
    Wait,
    after_look,
    after_refusal,
    after_restart,
    after_round,
    decide,
)
from zvault.ops.unseal.errors import (
    KeyFileError,
    SharesSourceError,
    UntrustedPeerError,
)
from zvault.ops.unseal.material import Material
from zvault.ops.unseal.submit import Unsealable, submit_round
from zvault.vaultapi.answers import SealStatus
from zvault.vaultapi.errors import UnsealKeyRefusedError, VaultRefusedError


class Supervisor(Protocol):
    """What is known about the server's process: how it should be, and how it is."""

    def desired(self) -> Desired: ...
    def is_alive(self) -> bool: ...
    def restart(self) -> bool:
        """Start it again; False when somebody else was quicker. Raises ZvaultError."""
        ...


class Journal(Protocol):
    """Where the agent says what it sees and does."""

    def say(self, text: str) -> None:
        """Something happened."""
        ...

    def record(self, state: str, reason: str, memory: Memory, status: SealStatus | None) -> None:
        """How things stand; called at every look."""
        ...


class StopNow(BaseException):
    """Raised by a signal handler while a round is under way, which may take minutes."""


@dataclass
class Agent:
    """One Vault kept unsealed.

    ``watcher`` answers quickly or not at all; ``vault`` waits for an unseal that takes long, and
    ``submitting`` is True meanwhile: then a signal handler may raise StopNow. A round that is cut
    off leaves progress in the server, which the next round resets.
    """

    watcher: Unsealable
    vault: Unsealable
    material: Material
    clock: Clock
    journal: Journal
    supervisor: Supervisor | None = None
    jitter: Callable[[], float] = random.random
    memory: Memory = field(default_factory=Memory)
    last_error: ZvaultError | None = None
    submitting: bool = False

    def run(self, stop: threading.Event) -> None:
        """Until ``stop`` is set."""
        with suppress(StopNow):
            while not stop.is_set():
                action = self.step()
                if isinstance(action, Wait):
                    stop.wait(action.seconds)

    def run_once(self, stop: threading.Event, timeout_seconds: float) -> None:
        """Until it is unsealed. Raises what stands in the way, at the latest after the timeout."""
        with suppress(StopNow):
            if self._run_once(stop, timeout_seconds):
                return
        raise InterruptedRunError("stopped before it was unsealed", hint="run it again")

    def _run_once(self, stop: threading.Event, timeout_seconds: float) -> bool:
        deadline = self.clock.monotonic() + timeout_seconds
        while not stop.is_set():
            action = self.step()
            if not isinstance(action, Wait):
                continue
            if action.state == "unsealed":
                return True
            if action.state not in ("unreachable", "sealed"):
                raise self.last_error or PreconditionError(
                    f"not unsealed: {action.reason}", hint="repair that and run it again"
                )
            if self.clock.monotonic() > deadline:
                raise self.last_error or PreconditionError(
                    f"not unsealed in {timeout_seconds:g} s: {action.reason}",
                    hint="is the server up?",
                )
            stop.wait(action.seconds)
        return False

    def step(self) -> Action:
        """One look, one decision, one act."""
        seen = self._look()
        self._remember(seen)
        action = decide(seen, self.memory)
        match action:
            case Wait(_, state, reason):
                self.journal.record(state, reason, self.memory, seen.status)
            case Restart():
                self._restart()
            case SubmitRound():
                self._submit(seen)
        return action

    def _remember(self, seen: Observation) -> None:
        before = self.memory
        self.memory = after_look(before, seen)
        if self.memory.unseals > before.unseals:
            self.journal.say(f"unsealed after {self.memory.last_unseal_seconds:.3f} s")

    def _look(self) -> Observation:
        desired: Desired = "unknown"
        alive: bool | None = None
        status, problem = None, ""
        try:
            if self.supervisor is not None:
                desired, alive = self.supervisor.desired(), self.supervisor.is_alive()
        except (ZvaultError, OSError) as error:
            self.last_error = _named(error, "the server's record")
            desired, problem = "unreadable", self.last_error.message
        if desired in ("running", "unknown"):
            try:
                status = self.watcher.seal_status()
            except ZvaultError as error:
                self.last_error, problem = error, error.message
        key = self.material.identity()
        return Observation(
            self.clock.monotonic(),
            desired,
            alive,
            status,
            key,
            problem=problem,
            problem_with_key="" if key else "there is no key file",
        )

    def _restart(self) -> None:
        assert self.supervisor is not None
        self.journal.say("the server is dead and should run: restarting it")
        ours = True
        try:
            ours = self.supervisor.restart()
            if not ours:
                self.journal.say("it runs again already: somebody else started it")
        except (ZvaultError, OSError) as error:
            self.last_error = _named(error, "the server")
            self.journal.say(f"the restart failed: {self.last_error.message}")
        self.memory = after_restart(self.memory, self.clock.monotonic(), self.jitter(), counts=ours)

    def _submit(self, seen: Observation) -> None:
        key = seen.key
        assert key is not None
        self.memory = after_round(self.memory, self.clock.monotonic(), self.jitter())
        self.submitting = True
        try:
            round_ = submit_round(self.vault, self.material.shares())
        except (KeyFileError, SharesSourceError, UnsealKeyRefusedError) as error:
            self._refuse(key, error)
        except (UntrustedPeerError, VaultRefusedError) as error:
            self._complain(error)
        except PreconditionError as error:
            self._refuse(key, error)
        except ZvaultError as error:
            self._complain(error)
        else:
            self.last_error = None
            if round_.submitted:
                self.journal.say(f"gave {round_.submitted} shares; read back: sealed=false")
            now = self.clock.monotonic()
            self._remember(replace(seen, now=now, status=round_.status))
        finally:
            self.submitting = False

    def _refuse(self, key: KeyIdentity, error: ZvaultError) -> None:
        self.last_error = error
        reason = f"{error.message}; waits for another key file or password"
        self.memory = after_refusal(self.memory, key, reason)
        self.journal.say(f"gives no more shares: {reason}")

    def _complain(self, error: ZvaultError) -> None:
        self.last_error = error
        self.journal.say(f"not unsealed: {error.message}")


def _named(error: ZvaultError | OSError, what: str) -> ZvaultError:
    """The system's refusal (a full disk, most often) as one of our errors."""
    if isinstance(error, ZvaultError):
        return error
    return PreconditionError(f"{what}: {error.strerror}", hint="check disk and permissions")
