"""Which steps, in which order. Pure.

What lives here: the plan of every direction as data, where a resumed run goes on, the plan's id.
What never does: looking at the world.
Invariants: everything before ``commit`` has an undo or changes nothing of its own; what a resumed
run does is a suffix of what was journalled, or the run is refused.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import orjson

from zvault.ops.migration.errors import MigrationRefusedError, PlanChangedError
from zvault.ops.migration.model import Parameters
from zvault.ops.migration.steps.agent import AgentOff, AgentOn, AgentSwitch
from zvault.ops.migration.steps.audit import AuditOff, AuditOn, RotateAudit
from zvault.ops.migration.steps.backup import Backup
from zvault.ops.migration.steps.canary import Canary, RehearseCanary
from zvault.ops.migration.steps.certificate import Certificate
from zvault.ops.migration.steps.clients import AllowPlaintext, MoveClients, Quiet, RefusePlaintext
from zvault.ops.migration.steps.commit import Commit
from zvault.ops.migration.steps.configuration import Activate, Render
from zvault.ops.migration.steps.key_file import CreateKeyFile, DestroyKeyFile
from zvault.ops.migration.steps.rekey import Rekey, RenewKeyFile
from zvault.ops.migration.steps.server import Fence, Restart, Start, Unsealed
from zvault.ops.migration.steps.shares import CheckShares, UnsealByHand
from zvault.ops.migration.steps.store import (
    CatchUp,
    CheckAccess,
    ClearRetired,
    Compare,
    Copy,
    Delta,
    Mark,
    Prove,
    ProveCopy,
    Recover,
)
from zvault.ops.migration.world import Step

STEPS: Mapping[str, Step] = {
    step.name: step
    for step in (
        Backup(),
        CreateKeyFile(),
        DestroyKeyFile(),
        CheckShares(),
        UnsealByHand(),
        Render(),
        Activate(),
        AgentOn(),
        AgentOff(),
        AgentSwitch(),
        Restart(),
        Fence(),
        Start(),
        Unsealed(),
        CheckAccess(),
        ClearRetired(),
        Copy(),
        CatchUp(),
        Recover(),
        Mark(),
        Delta(),
        Compare(),
        Prove(),
        ProveCopy(),
        Commit(),
        Canary(),
        RehearseCanary(),
        AuditOn(),
        RotateAudit(),
        AuditOff(),
        MoveClients(),
        Quiet(),
        RefusePlaintext(),
        AllowPlaintext(),
        Certificate(),
        Rekey(),
        RenewKeyFile(),
    )
}
COMMIT = "commit"
MILESTONES = ("start", "fence")
"""Steps that stand for all before them: behind them the earlier ones can no longer be observed."""

RELEASES = ("unsealed", "unseal-by-hand")
"""Steps after which clients wait no longer."""

_HELD = ("agent-switch", "fence", "mark", "delta", "prove", "compare", "start", COMMIT, "activate")
"""The comparison comes last: what is done to the destination before its server starts is seen."""
_CLIENTS_TO_PLAINTEXT = ("allow-plaintext", "move-clients", "quiet")


def plan_steps(parameters: Parameters) -> tuple[str, ...]:
    """The names of a run's steps. Raises MigrationRefusedError for a direction that is none."""
    options = parameters.options
    direction = (parameters.from_stage, parameters.to_stage)
    if options.rekey_file and direction != (7, 8):
        raise MigrationRefusedError(
            "a rekey is a step of 7 to 8 only", hint="on its own: zvault rekey --keys-file FILE"
        )
    if direction == (7, 8):
        names = _seven_to_eight(parameters)
    elif direction == (8, 9):
        names = _eight_to_nine(parameters)
    elif direction == (9, 8) and parameters.recovery is not None:
        names = _nine_to_eight_without_source()
    elif direction == (9, 8):
        names = _nine_to_eight(parameters)
    elif direction == (8, 7):
        names = _eight_to_seven(parameters)
    else:
        raise MigrationRefusedError(
            f"there is no migration from stage {direction[0]} to stage {direction[1]}",
            hint="go one stage at a time: 7, 8, 9 and back",
        )
    if options.take_backup and parameters.recovery is None:
        names = ("backup", *names)
    if options.without_canary:
        return tuple(name for name in names if name != "canary")
    return ("rehearse-canary", *names) if parameters.source_serves else names


def _seven_to_eight(parameters: Parameters) -> tuple[str, ...]:
    # The agent is there before the server needs it: it watches an unsealed server first.
    # A rekey cannot be put back, so it comes after the commit.
    rekey = ("rekey", "renew-key-file") if parameters.options.rekey_file else ()
    return (
        *("key-file", "render", "agent-on", "restart", "unsealed"),
        *("canary", COMMIT, "activate", *rekey),
    )


def _eight_to_nine(parameters: Parameters) -> tuple[str, ...]:
    clear = ("clear-retired",) if parameters.options.clear_retired else ()
    rotate = ("rotate-audit",) if parameters.options.rotate_audit else ()
    return (
        *("check-access", *clear, "certificate", "render", "copy", "prove-copy", "catch-up"),
        *_HELD,
        *("agent-on", "unsealed", "canary", "audit-on", *rotate),
        *("move-clients", "quiet", "refuse-plaintext"),
    )


def _nine_to_eight(parameters: Parameters) -> tuple[str, ...]:
    if not parameters.source_serves:
        return (
            *("render", "copy", "prove-copy", *_HELD),
            *("agent-on", "unsealed", "audit-off", "canary"),
            *_CLIENTS_TO_PLAINTEXT,
        )
    # Audit goes off as late as it can: only the last pass and the fence come after it.
    return (
        *("render", *_CLIENTS_TO_PLAINTEXT, "copy", "prove-copy", "audit-off", "catch-up"),
        *_HELD,
        *("agent-on", "unsealed", "canary"),
    )


def _nine_to_eight_without_source() -> tuple[str, ...]:
    return (
        *("render", "agent-switch", "fence", "recover", "prove", "start", COMMIT, "activate"),
        *("agent-on", "unsealed", "audit-off", "canary"),
        *_CLIENTS_TO_PLAINTEXT,
    )


def _eight_to_seven(parameters: Parameters) -> tuple[str, ...]:
    destroy = ("destroy-key-file",) if parameters.options.destroy_key_file else ()
    return (
        *("check-shares", "render", "agent-off", "restart", "unseal-by-hand"),
        *("canary", COMMIT, "activate", *destroy),
    )


def describe_skipped(parameters: Parameters) -> tuple[str, ...]:
    """What could have been a step and is none, as sentences."""
    if (parameters.from_stage, parameters.to_stage) != (7, 8) or parameters.options.rekey_file:
        return ()
    return (
        "without a rekey: the shares of stage 7 stay in force, and whoever has seen enough of them"
        " opens this Vault and every backup of it (--rekey-to FILE makes new ones)",
    )


def resume_index(plan: Sequence[str], *, committed: bool, milestones: Mapping[str, bool]) -> int:
    """Where reality says a run stands: the index of the first step that may still be to do.

    ``milestones`` says for each of MILESTONES whether it was begun by this run and holds now.
    """
    if committed:
        return plan.index(COMMIT) + 1
    for name in MILESTONES:
        if name in plan and milestones.get(name, False):
            return plan.index(name) + 1
    return 0


def require_suffix(remaining: Sequence[str], journalled: Sequence[str]) -> None:
    """Raise PlanChangedError unless ``remaining`` is the end of ``journalled``."""
    if tuple(journalled[len(journalled) - len(remaining) :]) != tuple(remaining):
        raise PlanChangedError(
            "what is left to do is not the end of the plan that was journalled",
            hint="roll back with the zvault that began it: zvault rollback",
        )


def plan_id(parameters: Parameters, steps: Sequence[str]) -> str:
    """The name of a plan: equal for equal plans, whatever run they would become."""
    same = replace(parameters, run="", started_ns=0)
    body = {"parameters": same.to_json(), "steps": list(steps)}
    text = orjson.dumps(body, option=orjson.OPT_SORT_KEYS).decode()
    if parameters.run:
        text = text.replace(parameters.run, "RUN")
    return hashlib.sha256(text.encode()).hexdigest()[:12]
