"""What the unseal agent does next, from what it sees and what it remembers. Pure.

What lives here: observation and memory as values, ``decide`` and the three ways memory changes.
What never does: a clock, a socket, a share.
Invariants: nothing is restarted and no share is given while the server is stopped or fenced on
purpose; a key that a complete round proved wrong is not tried again until the key changes; every
repeated effort waits longer than the one before.
"""

from dataclasses import dataclass, replace
from typing import Literal

from zvault.vaultapi.answers import SealStatus

Desired = Literal["running", "stopped", "fenced", "unknown", "unreadable"]
"""``unknown``: nobody supervises it. ``unreadable``: somebody does, and the record is broken."""

SEALED_POLL_SECONDS = 0.1
UNSEALED_POLL_SECONDS = 0.5
ON_PURPOSE_POLL_SECONDS = 0.1
"""Only a small file is read meanwhile, and clients may be waiting for the end of it."""
FIRST_BACKOFF_SECONDS = 0.25
LONGEST_BACKOFF_SECONDS = 30.0
STABLE_SECONDS = 5.0
"""Unsealed for so long, earlier efforts are forgotten; before, a server that keeps dying is not."""

State = Literal["unsealed", "sealed", "unreachable", "on-purpose", "refused", "uninitialized"]


@dataclass(frozen=True, slots=True)
class KeyIdentity:
    """The key file and the password file as the file system shows them; changes with either."""

    stamp: str


@dataclass(frozen=True, slots=True)
class Observation:
    """One look. ``now`` in seconds of a clock that never goes back.

    ``status`` None: nobody answered, ``problem`` says why. ``alive`` None: nobody supervises it.
    ``key`` None: there is no key file; ``problem_with_key`` then says why.
    """

    now: float
    desired: Desired
    alive: bool | None
    status: SealStatus | None
    key: KeyIdentity | None
    problem: str = ""
    problem_with_key: str = ""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often something was tried in vain, and when it may be tried again."""

    efforts: int = 0
    not_before: float = 0.0

    def after(self, now: float, jitter: float) -> "Backoff":
        """Wait twice as long as last time; ``jitter`` in 0..1 spreads it over the upper half."""
        pause = min(FIRST_BACKOFF_SECONDS * 2**self.efforts, LONGEST_BACKOFF_SECONDS)
        return Backoff(min(self.efforts + 1, 30), now + pause * (0.5 + jitter / 2))


@dataclass(frozen=True, slots=True)
class Memory:
    """What earlier looks and efforts taught.

    ``down_since``: when it was first seen not serving. ``up_since``: when it was first seen
    unsealed. The first effort of a kind costs no waiting, so a single kill is repaired at once.
    """

    refused_key: KeyIdentity | None = None
    refused_because: str = ""
    restart: Backoff = Backoff()
    submit: Backoff = Backoff()
    down_since: float | None = None
    up_since: float | None = None
    unseals: int = 0
    restarts: int = 0
    last_unseal_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Look again after ``seconds``; ``state`` and ``reason`` are for people."""

    seconds: float
    state: State
    reason: str


@dataclass(frozen=True, slots=True)
class Restart:
    """Start the server that died."""


@dataclass(frozen=True, slots=True)
class SubmitRound:
    """Give shares up to the threshold, after a reset when others' progress is in the way."""

    reset_first: bool
    threshold: int


Action = Wait | Restart | SubmitRound


def decide(seen: Observation, memory: Memory) -> Action:
    """The next action."""
    if seen.desired in ("stopped", "fenced"):
        return Wait(ON_PURPOSE_POLL_SECONDS, "on-purpose", f"the server is {seen.desired}")
    if seen.desired == "unreadable":
        return Wait(ON_PURPOSE_POLL_SECONDS, "refused", seen.problem)
    if seen.status is None:
        return _decide_unreachable(seen, memory)
    if not seen.status.sealed:
        return Wait(UNSEALED_POLL_SECONDS, "unsealed", "unsealed")
    return _decide_sealed(seen, seen.status, memory)


def _decide_unreachable(seen: Observation, memory: Memory) -> Action:
    if seen.desired != "running" or seen.alive is not False:
        return Wait(SEALED_POLL_SECONDS, "unreachable", seen.problem)
    if seen.now < memory.restart.not_before:
        return Wait(SEALED_POLL_SECONDS, "unreachable", "waits before the next restart")
    return Restart()


def _decide_sealed(seen: Observation, status: SealStatus, memory: Memory) -> Action:
    if not status.initialized:
        return Wait(UNSEALED_POLL_SECONDS, "uninitialized", "the Vault has no keys yet")
    if seen.desired == "running" and seen.alive is False:
        return Wait(
            SEALED_POLL_SECONDS,
            "unreachable",
            "the recorded server is dead and something else answers at its address",
        )
    if seen.key is None:
        return Wait(UNSEALED_POLL_SECONDS, "refused", seen.problem_with_key)
    if seen.key == memory.refused_key:
        return Wait(UNSEALED_POLL_SECONDS, "refused", memory.refused_because)
    if seen.now < memory.submit.not_before:
        return Wait(SEALED_POLL_SECONDS, "sealed", "waits before the next round of shares")
    return SubmitRound(reset_first=status.progress > 0, threshold=status.threshold)


def after_look(memory: Memory, seen: Observation) -> Memory:
    """Take the time it was down; forget efforts once it has been up for a while."""
    if seen.desired in ("stopped", "fenced"):
        return replace(memory, down_since=None, up_since=None)
    if seen.status is None or seen.status.sealed:
        since = seen.now if memory.down_since is None else memory.down_since
        return replace(memory, down_since=since, up_since=None)
    up_since = seen.now if memory.up_since is None else memory.up_since
    if seen.now - up_since >= STABLE_SECONDS:
        memory = replace(memory, restart=Backoff(), submit=Backoff())
    if memory.down_since is not None:
        memory = replace(
            memory,
            unseals=memory.unseals + 1,
            last_unseal_seconds=seen.now - memory.down_since,
        )
    return replace(memory, down_since=None, up_since=up_since)


def after_restart(memory: Memory, now: float, jitter: float, *, counts: bool) -> Memory:
    """One more restart was tried; it does not count when somebody else was quicker."""
    return replace(
        memory, restart=memory.restart.after(now, jitter), restarts=memory.restarts + counts
    )


def after_round(memory: Memory, now: float, jitter: float) -> Memory:
    """One more round of shares was tried."""
    return replace(memory, submit=memory.submit.after(now, jitter))


def after_refusal(memory: Memory, key: KeyIdentity, because: str) -> Memory:
    """Never again with this key file and password."""
    return replace(memory, refused_key=key, refused_because=because)
