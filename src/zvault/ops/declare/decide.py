"""From a declaration and an observation to what is left to do. Pure.

What lives here: the comparison. What never does: asking or changing a Vault.
Invariants: with an observation that equals the declaration nothing is left; whatever is of another
kind than declared is a conflict and never an action.
"""

from collections.abc import Iterator

from zvault.ops.declare.model import (
    DEFAULT_MAX_VERSIONS,
    Action,
    Declaration,
    EnableAuth,
    EnableKv,
    KvMount,
    Observed,
    Plan,
    PutPolicy,
    PutRole,
    SeenMount,
    SetMaxVersions,
)

_KV = "kv"


def decide(declared: Declaration, seen: Observed) -> Plan:
    """Mounts and auth methods first, then policies, then the roles that name them."""
    return Plan(
        actions=(
            *_mounts(declared, seen),
            *(EnableAuth(path) for path in declared.auth_methods if path not in seen.auth),
            *_policies(declared, seen),
            *_roles(declared, seen),
        ),
        conflicts=(*_mount_conflicts(declared, seen), *_auth_conflicts(declared, seen)),
    )


def _mounts(declared: Declaration, seen: Observed) -> Iterator[Action]:
    for mount in declared.kv:
        found = seen.mounts.get(mount.path)
        if found is None:
            yield EnableKv(mount.path)
        before = _kept(found)
        if mount.max_versions is not None and mount.max_versions != before:
            yield SetMaxVersions(mount.path, before, mount.max_versions)


def _kept(found: SeenMount | None) -> int:
    return (found.max_versions if found else None) or DEFAULT_MAX_VERSIONS


def _policies(declared: Declaration, seen: Observed) -> Iterator[Action]:
    for name, text in declared.policies.items():
        if seen.policies.get(name) != text:
            yield PutPolicy(name, text, replaces=name in seen.policies)


def _roles(declared: Declaration, seen: Observed) -> Iterator[Action]:
    for role in declared.roles:
        found = seen.roles.get(role.name)
        differing = {
            name: value
            for name, value in role.settings.items()
            if found is None or found.get(name) != value
        }
        if found is None or differing:
            yield PutRole(role.name, differing, changes=found is not None)


def _mount_conflicts(declared: Declaration, seen: Observed) -> Iterator[str]:
    for mount in declared.kv:
        found = seen.mounts.get(mount.path)
        if found is None:
            yield from _in_the_way(mount, seen)
        elif found.type != _KV:
            yield f"{mount.path}/ is a mount of type {found.type}, declared is KV version 2"
        elif found.version != 2:
            yield (
                f"{mount.path}/ is a KV version {found.version} mount, declared is version 2;"
                " its secrets are not converted"
            )


def _in_the_way(mount: KvMount, seen: Observed) -> Iterator[str]:
    wanted = mount.path + "/"
    for path in sorted(seen.mounts):
        there = path + "/"
        if there.startswith(wanted) or wanted.startswith(there):
            yield f"{wanted} cannot be mounted: the mount {there} is there"


def _auth_conflicts(declared: Declaration, seen: Observed) -> Iterator[str]:
    for path in declared.auth_methods:
        kind = seen.auth.get(path)
        if kind is not None and kind != path:
            yield f"auth/{path}/ is an auth method of type {kind}, declared is {path}"
