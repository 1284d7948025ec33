"""The comparison notices each kind of damage and names it; an honest store passes."""

import copy
from typing import Any, cast

import pytest

from demo.load.ledger import Operation
from demo.load.values import Values
from demo.proof.compare import (
    compare_rest,
    compare_secret_ids,
    compare_secrets,
    compare_tokens,
    secret_findings,
)
from demo.proof.findings import (
    CONFIGURATION,
    DIFFERING,
    LOST,
    REPEATED,
    RESURRECTED,
    TOKEN_LOST,
    UNEXPECTED,
)
from demo.proof.reader import FoundSecret, Reader
from demo.proof.secret import Secret, Version
from demo.proof.world import Token, World

VALUES = Values(b"key")


class FakeReader:
    """A server that says what it is told to."""

    def __init__(self) -> None:
        self.secrets: dict[str, FoundSecret] = {}
        self.kv1: dict[str, Any] = {}
        self.rules: dict[str, str] = {}
        self.about: dict[str, dict[str, Any]] = {}
        self.role_ids: dict[str, set[str]] = {}

    def secret_paths(self, prefix: str = "") -> list[str]:
        return list(self.secrets)

    def secret(self, path: str) -> FoundSecret:
        return self.secrets[path]

    def version(self, path: str, number: int) -> Any:
        return self.secrets[path].data.get(number)

    def legacy(self) -> dict[str, Any]:
        return self.kv1

    def policies(self) -> dict[str, str]:
        return self.rules

    def settings(self) -> dict[str, Any]:
        return {}

    def accessors(self) -> set[str]:
        return set(self.about)

    def token(self, accessor: str) -> dict[str, Any] | None:
        return self.about.get(accessor)

    def roles(self) -> list[str]:
        return list(self.role_ids)

    def secret_id_accessors(self, role: str) -> set[str]:
        return self.role_ids.get(role, set())


def honest(secret: Secret) -> FoundSecret:
    """What a server answers that holds exactly this."""
    versions = {
        str(n): {
            "created_time": f"t{n}",
            "deletion_time": "then" if v.deleted else "",
            "destroyed": v.destroyed,
        }
        for n, v in secret.versions.items()
    }
    metadata = {
        "current_version": secret.current,
        "oldest_version": secret.oldest,
        "max_versions": secret.max_versions,
        "custom_metadata": secret.custom_metadata,
        "cas_required": secret.cas_required,
        "versions": versions,
    }
    data = {n: copy.deepcopy(v.data) if v.readable else None for n, v in secret.versions.items()}
    return FoundSecret(metadata, data)


def example() -> Secret:
    secret = Secret(mount_max=3)
    for version in range(1, 5):
        secret.write({"n": version}, version)
    secret.delete([2])
    secret.destroy([3])
    return secret


def kinds(secret: Secret, found: FoundSecret) -> set[str]:
    return {finding.kind for finding in secret_findings("it", secret, found)}


def test_an_honest_secret_passes_and_its_creation_times_are_remembered() -> None:
    secret = example()
    assert not secret_findings("it", secret, honest(secret))
    assert secret.versions[4].created == "t4"
    later = honest(secret)
    later.metadata["versions"]["4"]["created_time"] = "rewritten"
    assert kinds(secret, later) == {DIFFERING}


def test_a_lost_an_altered_and_a_resurrected_version_are_told_apart() -> None:
    secret = example()
    lost, altered, back, undestroyed = (honest(secret) for _ in range(4))
    lost.data[4] = None
    altered.data[4] = {"n": 5}
    back.data[2] = {"n": 2}
    undestroyed.data[3] = {"n": 3}
    assert kinds(secret, lost) == {LOST}
    assert kinds(secret, altered) == {DIFFERING}
    assert kinds(secret, back) == {RESURRECTED}
    assert kinds(secret, undestroyed) == {RESURRECTED}


def test_a_version_pushed_out_that_is_there_again_is_resurrected() -> None:
    secret = example()
    found = honest(secret)
    found.metadata["versions"]["1"] = {
        "created_time": "t1",
        "deletion_time": "",
        "destroyed": False,
    }
    found.data[1] = {"n": 1}
    assert kinds(secret, found) == {RESURRECTED}


def test_a_version_pushed_out_that_only_a_read_shows_is_resurrected() -> None:
    class Remembering(FakeReader):
        def version(self, path: str, number: int) -> Any:
            return {"n": number}

    it = world()
    it.secrets = {"it": example()}
    reader = Remembering()
    reader.secrets = {"it": honest(it.secrets["it"])}
    verdict = compare_secrets(it, as_reader(reader), "", ())
    assert [f.kind for f in verdict.findings] == [RESURRECTED]


def test_a_version_that_is_to_go_and_was_not_deleted_is_differing() -> None:
    secret = example()
    found = honest(secret)
    found.metadata["versions"]["4"]["deletion_time"] = "soon"
    assert kinds(secret, found) == {DIFFERING}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("current_version", 9),
        ("oldest_version", 0),
        ("max_versions", 7),
        ("custom_metadata", {"a": "b"}),
        ("cas_required", True),
    ],
)
def test_every_field_of_the_metadata_counts(name: str, value: Any) -> None:
    secret = example()
    found = honest(secret)
    found.metadata[name] = value
    assert kinds(secret, found) == {DIFFERING}


def world() -> World:
    return World(VALUES, {"a/b": example()}, {"old": {"v": 1}}, {"p": "text"})


def reader_of(it: World) -> FakeReader:
    reader = FakeReader()
    reader.secrets = {path: honest(secret) for path, secret in it.secrets.items()}
    reader.kv1, reader.rules = copy.deepcopy(it.legacy), dict(it.policies)
    return reader


def as_reader(reader: FakeReader) -> Reader:
    return cast(Reader, reader)


def test_a_missing_and_an_extra_secret_are_named() -> None:
    it = world()
    reader = reader_of(it)
    assert compare_secrets(it, as_reader(reader), "", ()).equal
    reader.secrets["new"] = reader.secrets.pop("a/b")
    found = {(f.kind, f.what) for f in compare_secrets(it, as_reader(reader), "", ()).findings}
    assert found == {(LOST, "a/b"), (UNEXPECTED, "new")}


def test_kv1_and_policies_are_compared_both_ways() -> None:
    it = world()
    reader = reader_of(it)
    assert compare_rest(it, as_reader(reader)).equal
    reader.kv1 = {"old": {"v": 2}, "extra": {}}
    reader.rules = {}
    found = sorted((f.kind, f.what) for f in compare_rest(it, as_reader(reader)).findings)
    assert found == [
        (CONFIGURATION, "policy p"),
        (DIFFERING, "legacy old"),
        (UNEXPECTED, "legacy extra"),
    ]


def about(path: str = "auth/token/create", **meta: str) -> dict[str, Any]:
    return {"path": path, "meta": meta or None, "policies": ["default"]}


def test_a_lost_a_revoked_and_a_changed_token_are_told_apart() -> None:
    it = world()
    it.tokens = {name: Token(name, "s.0") for name in ("gone", "back", "changed", "same")}
    it.tokens["back"].alive = False
    reader = FakeReader()
    reader.about = {name: about() for name in ("changed", "same")}
    it.tokens["gone"].alive = False
    assert compare_tokens(it, as_reader(reader), lambda owner: True, lambda: None).equal
    it.tokens["gone"].alive = True
    reader.about |= {"back": about(), "changed": about() | {"policies": ["root"]}}
    verdict = compare_tokens(it, as_reader(reader), lambda owner: True, lambda: None)
    found = {(f.kind, f.what.split()[1]) for f in verdict.findings}
    assert found == {(TOKEN_LOST, "gone"), (RESURRECTED, "back"), (DIFFERING, "changed")}


def operation(
    kind: str, number: int = 1, started: float = 0.0, ended: float = 1.0, **rest: Any
) -> Operation:
    return Operation(
        "s.0", number, kind, rest.get("intent", {}), started, ended, "", rest.get("got", {})
    )


def test_a_token_nobody_made_is_named_unless_a_kill_explains_it() -> None:
    it = world()
    reader = FakeReader()
    reader.about = {"known": about(lane="s.0", op="7"), "second": about(lane="s.0", op="7")}
    made = operation(
        "token.create", 7, intent={"parent": "p"}, got={"accessor": "known"}, ended=10.0
    )
    it.apply(made)
    verdict = compare_tokens(it, as_reader(reader), lambda owner: True, lambda: None)
    assert [f.kind for f in verdict.findings] == [UNEXPECTED]
    it.kills.append((5.0, 5.1))
    it.apply(made)
    assert compare_tokens(it, as_reader(reader), lambda owner: True, lambda: None).equal
    assert it.replayed == [made]
    assert it.tokens["second"].parent == "p"
    reader.about["third"] = about(lane="s.0", op="7")
    verdict = compare_tokens(it, as_reader(reader), lambda owner: True, lambda: None)
    assert [f.kind for f in verdict.findings] == [UNEXPECTED]


def test_a_token_of_zvaults_own_tools_is_its_own_business_and_one_of_nobody_a_finding() -> None:
    it = world()
    it.tools = {"canary"}
    reader = FakeReader()
    login = "auth/approle/login"
    reader.about = {"tool": about(login, role_name="canary"), "other": about(login, lane="x")}
    assert compare_tokens(it, as_reader(reader), lambda owner: owner != "x", lambda: None).equal
    reader.about["nobody"] = about("auth/token/create")
    verdict = compare_tokens(it, as_reader(reader), lambda owner: False, lambda: None)
    assert [f.kind for f in verdict.findings] == [UNEXPECTED]


def test_revoking_a_token_revokes_what_hangs_on_it() -> None:
    it = world()
    it.tokens = {
        "a": Token("a", "s.0"),
        "b": Token("b", "s.0", "a"),
        "c": Token("c", "s.0", "b"),
        "d": Token("d", "s.0"),
    }
    it.apply(operation("login.leave", intent={"accessor": "a"}))
    assert [token.accessor for token in it.tokens.values() if token.alive] == ["d"]


def test_a_write_applied_twice_counts_as_replayed_at_a_kill_and_as_a_finding_elsewhere() -> None:
    it = world()
    it.kills.append((5.0, 5.1))
    write = {"intent": {"path": "w"}}
    it.apply(operation("kv.write", 1, 4.0, 6.0, got={"version": 2}, **write))
    assert (len(it.replayed), it.findings) == (1, [])
    it.apply(operation("kv.write", 2, 7.0, 8.0, got={"version": 4}, **write))
    assert (len(it.replayed), [f.kind for f in it.findings]) == (1, [REPEATED])


def test_a_failed_operation_changes_nothing() -> None:
    it = world()
    before = copy.deepcopy(it.secrets)
    it.apply(Operation("s.0", 1, "kv.write", {"path": "a/b"}, 0.0, 1.0, "broken"))
    assert it.secrets == before


def test_secret_ids_lost_brought_back_and_foreign_are_told_apart() -> None:
    it = world()
    it.secret_ids = {"r": {"lost", "there"}}
    it.apply(operation("secret-id.create", intent={"role": "r"}, got={"accessor": "spent"}))
    it.apply(operation("secret-id.gone", intent={"role": "r", "accessor": "spent"}))
    reader = FakeReader()
    reader.role_ids = {"r": {"lost", "there"}}
    assert compare_secret_ids(it, as_reader(reader)).equal
    reader.role_ids = {"r": {"there", "spent", "foreign"}}
    found = {
        (f.kind, f.what.split("(")[1].rstrip(")"))
        for f in compare_secret_ids(it, as_reader(reader)).findings
    }
    assert found == {(TOKEN_LOST, "lost"), (RESURRECTED, "spent"), (UNEXPECTED, "foreign")}


def test_a_version_object_says_what_can_be_read() -> None:
    assert Version({"a": 1}).readable
    assert not Version(None, destroyed=True).readable
    assert not Version({"a": 1}, deleted=True).readable


def test_a_token_that_is_noted_a_moment_later_is_never_looked_up() -> None:
    """A real server revokes a token that is looked up before its login has finished."""
    it = world()
    reader = FakeReader()
    reader.about = {"fresh": about(lane="s.0", op="1")}
    looked: list[str] = []
    reader.token = looked.append  # type: ignore[method-assign, assignment]

    def settle() -> None:
        it.tokens["fresh"] = Token("fresh", "other.0")

    assert compare_tokens(it, as_reader(reader), lambda owner: owner == "s.0", settle).equal
    assert looked == []
