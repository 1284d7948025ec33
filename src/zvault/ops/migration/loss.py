"""The source store is gone: from what can the old stage be filled, and what does that lose. Pure.

What lives here: the choice and its sentence. What never does: an effect.
Invariant: nothing is lost that was not accepted: the copy that is used must be at least as young
as the moment the operator named.
"""

from collections.abc import Iterable

from zvault.base import gotime
from zvault.ops.migration.errors import RecoveryRefusedError
from zvault.ops.migration.model import Recovery, Retired
from zvault.ops.migration.ports import BackupFacts


def decide_recovery(
    backup: BackupFacts | None, retired: Iterable[Retired], accept_loss_since_ns: int | None
) -> Recovery:
    """The youngest copy there is.

    ``retired`` are the stores of earlier runs that can still be read. Raises RecoveryRefusedError
    when there is no copy, when nobody accepted a loss, or when more would be lost than accepted.
    """
    copies = [Recovery("store", old.url, old.at_ns) for old in retired]
    if backup is not None:
        copies.append(Recovery("backup", backup.name, backup.taken_ns))
    if not copies:
        raise RecoveryRefusedError(
            "the store is gone, and there is neither a verified backup nor an earlier store",
            hint="bring the store back",
        )
    best = max(copies, key=lambda copy: copy.as_of_ns)
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
