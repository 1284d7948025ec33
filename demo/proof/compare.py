"""Compares a running Vault with the world as it must be, and names every difference.

What lives here: the comparison of secrets (every version), KV v1, policies, settings, tokens and
secret_ids. What never does: a repair. The one thing a comparison adds to the world is what a first
look tells and later looks must repeat: creation times, token details, tokens that a repeated
request made.
"""

from collections.abc import Callable, Iterable
from typing import Any

from demo.load.ledger import Operation
from demo.proof.findings import (
    CONFIGURATION,
    DIFFERING,
    LOST,
    RESURRECTED,
    TOKEN_LOST,
    UNEXPECTED,
    Finding,
    Verdict,
)
from demo.proof.reader import FoundSecret, Reader
from demo.proof.secret import Secret
from demo.proof.world import Token, World

TOKEN_FIELDS = (
    "policies",
    "path",
    "meta",
    "entity_id",
    "orphan",
    "type",
    "display_name",
    "num_uses",
    "explicit_max_ttl",
    "creation_time",
    "creation_ttl",
)


_SETTLE_ROUNDS = 4


def compare_secrets(world: World, reader: Reader, prefix: str, skip: Iterable[str]) -> Verdict:
    """Every secret below ``prefix``, but for those below one of ``skip``."""
    skipped = tuple(skip)

    def mine(path: str) -> bool:
        return path.startswith(prefix) and not path.startswith(skipped)

    must = {path: secret for path, secret in world.secrets.items() if mine(path) and secret.current}
    found = {path for path in reader.secret_paths(prefix) if mine(path)}
    findings = [Finding(UNEXPECTED, path, "nobody wrote it") for path in sorted(found - set(must))]
    versions = 0
    for path, secret in must.items():
        if path not in found:
            findings.append(Finding(LOST, path, "the secret is not there"))
            continue
        actual = reader.secret(path)
        findings += secret_findings(path, secret, actual)
        trimmed = [n for n in range(1, secret.current + 1) if n not in secret.versions]
        findings += [
            Finding(RESURRECTED, path, f"version {n} was pushed out and can be read")
            for n in trimmed[-2:]
            if n not in actual.data and reader.version(path, n) is not None
        ]
        versions += len(secret.versions)
    return Verdict(len(must), versions, 0, 0, 0, tuple(findings))


def secret_findings(path: str, must: Secret, found: FoundSecret) -> list[Finding]:
    """One secret. Remembers creation times that were not known before."""
    findings = []
    told = found.metadata["versions"]
    for number, version in must.versions.items():
        what = f"{path} version {number}"
        about = told.get(str(number))
        data = found.data.get(number)
        if version.readable and data is None:
            findings.append(Finding(LOST, what, "it cannot be read"))
        elif version.readable and data != version.data:
            findings.append(Finding(DIFFERING, what, "its data is not what was written"))
        elif not version.readable and data is not None:
            state = "destroyed" if version.destroyed else "deleted"
            findings.append(Finding(RESURRECTED, what, f"it was {state} and can be read"))
        if about is None:
            findings.append(Finding(LOST, what, "metadata does not name it"))
            continue
        if about["destroyed"] != version.destroyed:
            findings.append(Finding(DIFFERING, what, "its destroyed flag"))
        if bool(about["deletion_time"]) != version.deleted:
            findings.append(Finding(DIFFERING, what, "its deletion time"))
        version.created = version.created or about["created_time"]
        if about["created_time"] != version.created:
            findings.append(Finding(DIFFERING, what, "its creation time"))
    for number in sorted(set(map(int, told)) - set(must.versions)):
        kind = RESURRECTED if number <= must.current else UNEXPECTED
        findings.append(Finding(kind, f"{path} version {number}", "it must not be there"))
    for name, wanted in (
        ("current_version", must.current),
        ("oldest_version", must.oldest),
        ("max_versions", must.max_versions),
        ("custom_metadata", must.custom_metadata),
        ("cas_required", must.cas_required),
    ):
        if found.metadata[name] != wanted:
            findings.append(Finding(DIFFERING, path, f"{name} is not what it must be"))
    return findings


def compare_rest(world: World, reader: Reader) -> Verdict:
    """KV v1, policies, mounts, auth methods, roles."""
    findings = [
        *_maps("legacy", world.legacy, reader.legacy(), (LOST, DIFFERING, UNEXPECTED)),
        *_maps("policy", world.policies, reader.policies(), (CONFIGURATION,) * 3),
        *_maps("setting", world.settings, reader.settings(), (CONFIGURATION,) * 3),
    ]
    others = len(world.legacy) + len(world.policies) + len(world.settings)
    return Verdict(0, 0, 0, 0, others, tuple(findings))


def compare_tokens(
    world: World, reader: Reader, mine: Callable[[str], bool], settle: Callable[[], None]
) -> Verdict:
    """Tokens whose owner is ``mine``; nothing of theirs may be in flight.

    ``settle`` waits a little and brings the world up to date. An unknown token may belong to a
    login that is not finished, and a real server revokes a token that is looked up before its
    lease is written: so only what stays unknown is looked up.
    """
    live = reader.accessors()
    findings: list[Finding] = []
    for _ in range(_SETTLE_ROUNDS):
        if live - set(world.tokens):
            settle()
    looked = 0
    for accessor in sorted(live - set(world.tokens)):
        finding = _explain(world, reader, accessor, mine)
        findings += [finding] if finding else []
    for token in [token for token in world.tokens.values() if mine(token.owner)]:
        looked += 1
        what = f"token {token.accessor} of {token.owner}"
        if token.alive and token.accessor not in live:
            findings.append(Finding(TOKEN_LOST, what, "it is gone"))
        elif not token.alive and token.accessor in live:
            findings.append(Finding(RESURRECTED, what, "it was revoked and lives"))
        elif token.alive:
            findings += _token_findings(token, reader.token(token.accessor), what)
    return Verdict(0, 0, looked, 0, 0, tuple(findings))


def compare_secret_ids(world: World, reader: Reader) -> Verdict:
    """Every AppRole's secret_ids; no operation on them may be in flight."""
    findings: list[Finding] = []
    looked = 0
    for role in sorted(set(world.secret_ids) | set(reader.roles())):
        must, found = world.secret_ids.get(role, set()), reader.secret_id_accessors(role)
        looked += len(must) + len(world.gone_secret_ids.get(role, set()))
        what = f"secret_id of {role}"
        findings += [
            Finding(TOKEN_LOST, f"{what} ({accessor})", "it is gone")
            for accessor in sorted(must - found)
        ]
        for accessor in sorted(found - must):
            gone = accessor in world.gone_secret_ids.get(role, set())
            kind, detail = (
                (RESURRECTED, "it was spent or destroyed and lives")
                if gone
                else (UNEXPECTED, "nobody issued it")
            )
            findings.append(Finding(kind, f"{what} ({accessor})", detail))
    return Verdict(0, 0, 0, looked, 0, tuple(findings))


def _token_findings(token: Token, found: dict[str, Any] | None, what: str) -> list[Finding]:
    if found is None:
        return [Finding(TOKEN_LOST, what, "a lookup does not know it")]
    about = {name: found.get(name) for name in TOKEN_FIELDS}
    if token.about is None:
        token.about = about
    return [
        Finding(DIFFERING, what, f"its {name} changed")
        for name in TOKEN_FIELDS
        if about[name] != token.about[name]
    ]


def _explain(
    world: World, reader: Reader, accessor: str, mine: Callable[[str], bool]
) -> Finding | None:
    """A token nobody noted: made by a request that was sent again, or a finding."""
    about = reader.token(accessor)
    if about is None:
        return None
    meta = about.get("meta") or {}
    operation = _sender(world, about, meta)
    if operation is not None:
        world.adopt(accessor, operation.lane, operation.intent.get("parent"), operation)
        return None
    owner = meta.get("lane") or meta.get("role_name") or ""
    if owner in world.tools or (owner and not mine(owner)):
        return None
    return Finding(UNEXPECTED, f"token {accessor} ({about['path']}, {owner})", "nobody made it")


def _sender(world: World, about: dict[str, Any], meta: dict[str, Any]) -> Operation | None:
    """The operation at risk that may have made this token a second time."""
    used = {(operation.lane, operation.number) for operation in world.replayed}
    for operation in world.at_risk:
        if (operation.lane, operation.number) in used:
            continue
        child = operation.kind == "token.create" and (
            meta.get("lane") == operation.lane and meta.get("op") == str(operation.number)
        )
        login = operation.kind == "login" and (
            about["path"] == "auth/approle/login"
            and meta.get("role_name") == operation.intent["role"]
            and "lane" not in meta
        )
        if child or login:
            return operation
    return None


def _maps(
    noun: str, must: dict[str, Any], found: dict[str, Any], kinds: tuple[str, str, str]
) -> list[Finding]:
    missing, differing, extra = kinds
    return [
        *(
            Finding(missing, f"{noun} {key}", "it is gone")
            for key in sorted(must.keys() - found.keys())
        ),
        *(
            Finding(differing, f"{noun} {key}", "it is not what it must be")
            for key in sorted(must.keys() & found.keys())
            if must[key] != found[key]
        ),
        *(
            Finding(extra, f"{noun} {key}", "nobody made it")
            for key in sorted(found.keys() - must.keys())
        ),
    ]
