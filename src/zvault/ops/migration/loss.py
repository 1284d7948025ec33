"""The source store is gone: from what can the old stage be filled, and what does that lose. Pure.

What lives here: the choice and its sentence. What never does: an effect.
Invariant: nothing is lost that was not accepted: the copy that is used must be at least as young
as the moment the operator named.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from zvault.base import gotime
from zvault.ops.migration.errors import RecoveryRefusedError
from zvault.ops.migration.model import Recovery
from zvault.ops.migration.ports import are_different_vaults


@dataclass(frozen=True, slots=True)
class Copy:
    """Something the stage could be filled from; ``fingerprint`` of its seal, "" when unknown."""

    recovery: Recovery
    fingerprint: str


def decide_recovery(
    copies: Iterable[Copy], fingerprint: str, now_ns: int, accept_loss_since_ns: int | None
) -> Recovery:
    """The youngest copy of this Vault.

    ``fingerprint``: of the seal that the key file opens; a copy with another one is another
    Vault's or from before a rekey. A copy of a time still to come is left out: nobody knows what
    was written since. Raises RecoveryRefusedError when there is no copy, when nobody accepted a
    loss, or when more would be lost than accepted.
    """
    found = list(copies)
    ours = [one for one in found if not are_different_vaults(one.fingerprint, fingerprint)]
    dated = [one.recovery for one in ours if one.recovery.as_of_ns <= now_ns]
    if not dated:
        raise RecoveryRefusedError(
            "the store is gone, and there is neither a verified backup nor an earlier store"
            + _left_out(len(found) - len(ours), len(ours)),
            hint="bring the store back",
        )
    best = max(dated, key=lambda copy: copy.as_of_ns)
    when = gotime.format_time(best.as_of_ns)
    if accept_loss_since_ns is None:
        raise RecoveryRefusedError(
            f"the store is gone; the youngest copy is {best.kind} {best.name} of {when}:"
            " everything written, changed or revoked since then would be lost or come back",
            hint=f"bring the store back, or accept that: --accept-loss-since {when}",
        )
    if best.as_of_ns < accept_loss_since_ns:
        raise RecoveryRefusedError(
            f"the youngest copy is of {when}, older than the accepted"
            f" {gotime.format_time(accept_loss_since_ns)}: more would be lost",
            hint=f"bring the store back, or accept that too: --accept-loss-since {when}",
        )
    return best


def describe_loss(recovery: Recovery, changes: int | None, paths: list[str]) -> list[str]:
    """What the operator is about to lose, in sentences; ``changes`` None when nobody knows."""
    when = gotime.format_time(recovery.as_of_ns)
    head = f"LOST: everything since {when} ({recovery.kind} {recovery.name} is what comes back)"
    if changes is None:
        return [head, "the audit file cannot be read, so nobody can say what that is"]
    named = [f"  {path}" for path in paths]
    more = [f"  and {changes - len(paths)} more"] if changes > len(paths) else []
    return [head, f"{changes} changing requests are in the audit file since then:", *named, *more]


def _left_out(foreign: int, undated: int) -> str:
    why = []
    if foreign:
        why.append(f"{foreign} of another Vault or from before a rekey")
    if undated:
        why.append(f"{undated} of a time still to come")
    return f" of this Vault ({', '.join(why)})" if why else ""
