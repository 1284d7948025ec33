"""From declaration and observation to what is left: nothing when they agree, never a removal."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from zvault.ops.declare.decide import decide
from zvault.ops.declare.model import (
    DEFAULT_MAX_VERSIONS,
    Declaration,
    EnableAuth,
    EnableKv,
    KvMount,
    Observed,
    PutPolicy,
    PutRole,
    Role,
    RoleValue,
    SeenMount,
    SetMaxVersions,
)

DECLARED = Declaration(
    kv=(KvMount("zakupai", 5),),
    auth_methods=("approle",),
    policies={"gateway": 'path "zakupai/*" {}'},
    roles=(Role("gateway", {"token_policies": ("gateway",), "token_ttl": 3600}),),
)
NAMES = st.sampled_from(["zakupai", "team", "team/a", "b"])
TEXTS = st.sampled_from(["one", "two"])
SETTINGS: st.SearchStrategy[Mapping[str, RoleValue]] = st.fixed_dictionaries(
    {}, optional={"token_ttl": st.integers(0, 2), "token_policies": st.just(("p",))}
)
DECLARATIONS = st.builds(
    Declaration,
    kv=st.lists(
        st.builds(KvMount, st.sampled_from(["zakupai", "b"]), st.none() | st.integers(1, 12)),
        unique_by=lambda mount: mount.path,
    ).map(tuple),
    auth_methods=st.sampled_from([(), ("approle",)]),
    policies=st.dictionaries(st.sampled_from(["p", "q"]), TEXTS),
    roles=st.lists(
        st.builds(Role, st.sampled_from(["r", "s"]), SETTINGS), unique_by=lambda role: role.name
    ).map(tuple),
)
OBSERVED = st.builds(
    Observed,
    mounts=st.dictionaries(
        NAMES,
        st.builds(
            SeenMount, st.sampled_from(["kv", "transit"]), st.integers(1, 2), st.integers(0, 12)
        ),
    ),
    auth=st.dictionaries(st.just("approle"), st.sampled_from(["approle", "userpass"])),
    policies=st.dictionaries(st.sampled_from(["p", "q", "other"]), TEXTS),
    roles=st.dictionaries(st.sampled_from(["r", "s", "other"]), SETTINGS),
)


def obeyed(seen: Observed, declared: Declaration) -> Observed:
    """A Vault that does what it is told."""
    mounts, auth = dict(seen.mounts), dict(seen.auth)
    policies, roles = dict(seen.policies), dict(seen.roles)
    for action in decide(declared, seen).actions:
        match action:
            case EnableKv(path):
                mounts[path] = SeenMount("kv", 2, 0)
            case SetMaxVersions(path, _, after):
                mounts[path] = SeenMount("kv", 2, after)
            case EnableAuth(path):
                auth[path] = path
            case PutPolicy(name, text):
                policies[name] = text
            case PutRole(name, settings):
                roles[name] = {**roles.get(name, {}), **settings}
    return Observed(mounts, auth, policies, roles)


def test_an_empty_vault_gets_everything_mounts_first_and_roles_last() -> None:
    plan = decide(DECLARED, Observed())
    assert plan.actions == (
        EnableKv("zakupai"),
        SetMaxVersions("zakupai", DEFAULT_MAX_VERSIONS, 5),
        EnableAuth("approle"),
        PutPolicy("gateway", 'path "zakupai/*" {}', replaces=False),
        PutRole("gateway", {"token_policies": ("gateway",), "token_ttl": 3600}, changes=False),
    )
    assert not plan.conflicts


@given(DECLARATIONS, OBSERVED)
def test_without_a_conflict_one_round_leaves_nothing_and_removes_nothing(
    declared: Declaration, seen: Observed
) -> None:
    if decide(declared, seen).conflicts:
        return
    after = obeyed(seen, declared)
    assert not decide(declared, after).actions
    for before, now in (
        (seen.mounts, after.mounts),
        (seen.auth, after.auth),
        (seen.policies, after.policies),
        (seen.roles, after.roles),
    ):
        assert set(before) <= set(now)


def test_a_version_1_mount_is_a_conflict_that_names_it_and_is_not_converted() -> None:
    plan = decide(DECLARED, Observed(mounts={"zakupai": SeenMount("kv", 1)}))
    assert "zakupai/ is a KV version 1 mount" in plan.conflicts[0]
    assert EnableKv("zakupai") not in plan.actions


def test_another_kind_of_mount_or_login_is_a_conflict() -> None:
    seen = Observed(mounts={"zakupai": SeenMount("transit")}, auth={"approle": "userpass"})
    plan = decide(DECLARED, seen)
    assert plan.conflicts == (
        "zakupai/ is a mount of type transit, declared is KV version 2",
        "auth/approle/ is an auth method of type userpass, declared is approle",
    )


def test_a_mount_inside_or_around_the_declared_one_is_a_conflict() -> None:
    around = Declaration(kv=(KvMount("team/a"),))
    assert decide(around, Observed(mounts={"team": SeenMount("kv", 2)})).conflicts
    assert decide(
        Declaration(kv=(KvMount("team"),)), Observed(mounts={"team/a": SeenMount("kv", 2)})
    ).conflicts
    assert not decide(around, Observed(mounts={"teams": SeenMount("kv", 2)})).conflicts


def test_only_the_settings_of_a_role_that_differ_are_changed() -> None:
    declared = Declaration(roles=(Role("r", {"token_ttl": 60, "token_max_ttl": 120}),))
    seen = Observed(roles={"r": {"token_ttl": 60, "token_max_ttl": 0}})
    assert decide(declared, seen).actions == (PutRole("r", {"token_max_ttl": 120}, changes=True),)


def test_fewer_versions_say_what_that_costs() -> None:
    assert "goes with its next write" in str(SetMaxVersions("zakupai", 10, 5))
    assert "goes" not in str(SetMaxVersions("zakupai", 5, 10))
