"""Which backups may go. Pure.

What lives here: the plan and its id. What never does: removing.
Laws: only verified backups count as kept; the newest verified one never goes; without a verified
one nothing goes; an unverified one goes only when a verified one is newer; what is kept for its
number is not removed for its age, nor the other way round.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from zvault.ops.backup.record import Listed, backup_name

_DAY_NS = 86_400 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class Retention:
    """Keep the newest ``keep_last`` verified ones and all younger than ``keep_days``."""

    keep_last: int = 7
    keep_days: int = 30


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What goes, oldest first, and what stays. ``plan_id`` confirms exactly this plan."""

    removed: tuple[str, ...]
    kept: tuple[str, ...]

    @property
    def plan_id(self) -> str:
        """Twelve hex digits; another set of files gives another id."""
        return hashlib.sha256("\n".join(self.removed).encode()).hexdigest()[:12]


def plan_prune(
    backups: Sequence[Listed], retention: Retention, now_ns: int, partials: Sequence[str] = ()
) -> PrunePlan:
    """What the retention leaves over, and what interrupted runs left more than a day ago."""
    stale = backup_name(now_ns - _DAY_NS, b"", "tar.gz")
    dead = [name for name in partials if name.removeprefix(".") < stale]
    whole = _plan(backups, retention, now_ns)
    return PrunePlan(tuple(sorted((*whole.removed, *dead))), whole.kept)


def _plan(backups: Sequence[Listed], retention: Retention, now_ns: int) -> PrunePlan:
    verified = sorted((b for b in backups if b.verified and b.record), key=_taken_ns, reverse=True)
    if not verified:
        return PrunePlan((), tuple(backup.name for backup in backups))
    young = now_ns - retention.keep_days * _DAY_NS
    kept = {backup.name for backup in verified[: max(1, retention.keep_last)]}
    kept |= {backup.name for backup in verified if _taken_ns(backup) >= young}
    newest = verified[0].name
    kept |= {backup.name for backup in backups if not backup.verified and backup.name > newest}
    return PrunePlan(
        tuple(sorted(backup.name for backup in backups if backup.name not in kept)),
        tuple(sorted(kept)),
    )


def _taken_ns(backup: Listed) -> int:
    return backup.record.taken_ns if backup.record else 0
