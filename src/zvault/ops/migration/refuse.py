"""Why a migration must not begin. Pure.

What lives here: every refusal, as a function from facts to sentences. What never does: an effect; a
refusal is decided before anything is changed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from zvault.base import gotime
from zvault.ops.migration.model import Limits, Parameters
from zvault.ops.migration.observe import Facts
from zvault.ops.migration.ports import are_different_vaults
from zvault.ops.stages.model import StorageKind, UnsealKind, stage


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason: a stable word, a sentence, a hint."""

    reason: str
    message: str
    hint: str


def decide_refusals(
    parameters: Parameters, facts: Facts, limits: Limits, *, superseding: bool = False
) -> list[Refusal]:
    """All reasons, the most basic first; none means go.

    ``superseding``: a committed run is being turned back, so its stage need not be whole.
    """
    found = list(_place(parameters, facts))
    if not superseding and parameters.recovery is None:
        found += _serving(parameters, facts)
    found += _source(parameters, facts)
    found += _destination(parameters, facts, limits)
    found += _backup(parameters, facts, limits)
    found += _credentials(parameters, facts)
    return found


def _place(parameters: Parameters, facts: Facts) -> Iterator[Refusal]:
    if facts.state is None:
        yield Refusal("no-site", "this site has no active stage yet", "zvault stage up --stage 7")
    elif facts.state.stage != parameters.from_stage:
        yield Refusal(
            "wrong-stage",
            f"stage {facts.state.stage} is active, not stage {parameters.from_stage}",
            "zvault status",
        )
    if facts.machine_trouble:
        yield Refusal(
            "not-writable", facts.machine_trouble, "a run could be neither done nor undone"
        )
    if not facts.door.running:
        yield Refusal("front-door", "the front door is not running", "zvault frontdoor start")


def _serving(parameters: Parameters, facts: Facts) -> Iterator[Refusal]:
    if not facts.server.alive:
        yield Refusal("server-down", "the server is not running", "zvault stage up")
    elif not facts.seal.reachable:
        yield Refusal("server-silent", "the server does not answer", "look at its log")
    elif facts.seal.sealed and parameters.forward:
        yield Refusal("sealed", "the server is sealed", "unseal it first: zvault unseal")
    elif facts.seal.sealed:
        yield Refusal(
            "sealed",
            "the server is sealed",
            "unseal it first, or look at the unseal agent's log",
        )


def _source(parameters: Parameters, facts: Facts) -> Iterator[Refusal]:
    source = facts.source
    if parameters.recovery is not None:
        return
    if not source.reachable:
        yield Refusal(
            "source-gone",
            f"the store {source.url} cannot be read: {source.reason}",
            "bring it back, or accept what that loses: --accept-loss-since TIME",
        )
    elif source.marker is not None and source.marker != parameters.run:
        yield Refusal(
            "foreign-marker",
            f"{source.url} holds core/migration, so another migration works on it"
            if not source.marker
            else f"{source.url} was left behind by run {source.marker}",
            "zvault store inspect shows it; remove it only when you know whose it is",
        )
    elif not source.initialized:
        yield Refusal("no-vault", f"{source.url} holds no Vault", "check the store's URL")


def _destination(parameters: Parameters, facts: Facts, limits: Limits) -> Iterator[Refusal]:
    there = facts.destination
    if there is None:
        return
    if not there.reachable:
        yield Refusal(
            "destination-unreachable",
            f"{there.url} cannot be reached: {there.reason}",
            "zvault store inspect shows the cause",
        )
    elif not there.empty:
        yield from _not_empty(parameters, facts, there.url, there.marker)
    if stage(parameters.to_stage).storage is StorageKind.FILE and facts.free_bytes is not None:
        needed = facts.needed_bytes + limits.disk_margin_bytes
        if facts.free_bytes < needed:
            yield Refusal(
                "disk-full",
                f"{facts.free_bytes} bytes are free, {needed} are needed",
                "make room, or lower limits.disk_margin_bytes in zvault.toml",
            )


def _not_empty(
    parameters: Parameters, facts: Facts, url: str, marker: str | None
) -> Iterator[Refusal]:
    retired = {old.url: old.run for old in (facts.state.retired if facts.state else ())}
    ours = url in retired and marker == retired[url]
    if ours and parameters.options.clear_retired:
        return
    if ours:
        yield Refusal(
            "destination-retired",
            f"{url} still holds what run {retired[url]} left behind",
            "--clear-retired removes it first, or name another prefix",
        )
    else:
        yield Refusal(
            "destination-not-empty",
            f"{url} already holds entries that are not this site's",
            "name an empty place",
        )


def _backup(parameters: Parameters, facts: Facts, limits: Limits) -> Iterator[Refusal]:
    if parameters.options.take_backup or parameters.recovery is not None:
        return
    hint = "zvault backup take, or add --backup"
    if facts.backup is None or facts.backup.store_url != parameters.source_url:
        yield Refusal("no-backup", f"there is no verified backup of {parameters.source_url}", hint)
        return
    if are_different_vaults(facts.backup.fingerprint, facts.source.fingerprint):
        yield Refusal(
            "foreign-backup",
            f"the youngest verified backup, {facts.backup.name}, is another Vault's or from before"
            " a rekey",
            hint,
        )
        return
    if facts.backup_damage:
        yield Refusal("backup-damaged", facts.backup_damage, hint)
        return
    age = (facts.now_ns - facts.backup.taken_ns) / gotime.SECOND_NS
    if age < 0:
        when = gotime.format_time(facts.backup.taken_ns)
        yield Refusal(
            "backup-from-the-future",
            f"the youngest verified backup, {facts.backup.name}, says it is of {when}, which is"
            " still to come, so its age is unknown",
            "set this machine's clock right, or move that backup away and take one now",
        )
    if age > limits.backup_max_age_seconds:
        yield Refusal(
            "backup-too-old",
            f"the youngest verified backup is {age / 3600:.1f} h old, the limit is"
            f" {limits.backup_max_age_seconds / 3600:.1f} h",
            hint,
        )


def _credentials(parameters: Parameters, facts: Facts) -> Iterator[Refusal]:
    to, origin = stage(parameters.to_stage), stage(parameters.from_stage)
    agents = UnsealKind.AGENT
    if facts.shares_problem:
        yield Refusal("wrong-shares", facts.shares_problem, "give this Vault's shares")
    if facts.rekey_file_exists:
        yield Refusal(
            "rekey-file-exists",
            f"{parameters.options.rekey_file} exists and is not replaced",
            "name a new file for the shares of the rekey",
        )
    if facts.token_problem:
        yield Refusal(
            "wrong-token", facts.token_problem, "give a token that may read and set sys/audit"
        )
    if facts.key_file_problem:
        yield Refusal("wrong-key-file", facts.key_file_problem, "zvault keyfile verify tells more")
    elif not facts.key_file and origin.unseal is agents and to.unseal is agents:
        yield Refusal("no-key-file", "there is no key file", "zvault keyfile create")
    elif not facts.key_file and to.unseal is agents and not facts.has_shares:
        yield Refusal(
            "no-shares", "no key file and no shares", "--shares-file FILE, or zvault keyfile create"
        )
    if to.unseal is UnsealKind.MANUAL and not facts.has_shares:
        yield Refusal(
            "no-shares",
            f"stage {to.number} is unsealed by hand, and no shares were given",
            "--shares-file FILE",
        )
    if to.audit != origin.audit and not facts.has_token:
        yield Refusal(
            "no-token",
            "changing the audit device needs the operator's token",
            "--token-file FILE (mode 0600)",
        )
    if facts.canary_problem:
        yield Refusal(
            "no-canary",
            facts.canary_problem,
            "set [canary] in zvault.toml, or say --without-canary",
        )
    if to.tls and facts.layout_risk:
        yield Refusal(
            "password-beside-key-file",
            facts.layout_risk,
            "move the password, or set unseal.allow_password_beside_key_file in zvault.toml",
        )
