"""The parts of a record that depend on the caller only, or on the mount only.

What lives here: pure functions that give JSON fragments or small dicts in Vault's key order.
Source: ``docs/formats/audit.md``.
"""

import base64
import hashlib
from dataclasses import dataclass
from typing import Any

import orjson

from zvault.base.gotime import SECOND_NS, format_time
from zvault.engine.api import Auth, Request, WrapInfo
from zvault.engine.audit.auth_view import AuthView
from zvault.engine.audit.hashing import Hasher
from zvault.engine.audit.options import RecordOptions
from zvault.engine.mounts.plugins import running_version
from zvault.engine.userdata import UserData
from zvault.records.mounts import AUTH, MountEntry
from zvault.records.tokens import BATCH, TokenEntry


@dataclass(frozen=True, slots=True)
class Caller:
    """Fragments about who asks."""

    auth: bytes
    """The ``auth`` object."""
    client: bytes
    """``"client_id":…,`` or nothing."""
    ids: bytes
    """Hashed token and accessor members, each with a trailing comma."""


@dataclass(frozen=True, slots=True)
class MountPart:
    """Fragments about the mount; members end in a comma, ``response`` does not."""

    before: bytes
    accessor: bytes
    after: bytes
    response: bytes


def mount_point(mount: MountEntry) -> str:
    """The mount's full path: ``secret/``, ``auth/approle/``."""
    return f"auth/{mount.path}" if mount.table == AUTH else mount.path


def mount_part(mount: MountEntry, builtin_version: str) -> MountPart:
    """The fragments of one mount."""
    version = running_version(mount, builtin_version)
    kind = "auth" if mount.table == AUTH else "secret"
    before = {"mount_point": mount_point(mount), "mount_type": mount.type}
    after = {"mount_running_version": version, "mount_class": kind}
    accessor = {"mount_accessor": mount.accessor}
    answer = {**before, **accessor, "mount_running_plugin_version": version, "mount_class": kind}
    return MountPart(
        _members(before) + b",",
        _members(accessor) + b",",
        _members(after) + b",",
        _members(answer),
    )


def _members(values: dict[str, Any]) -> bytes:
    return orjson.dumps(values)[1:-1]


def stranger(request: Request, view: AuthView, hasher: Hasher) -> Caller:
    """Someone without a valid token."""
    ids = {"client_token": hasher.text(request.client_token)} if request.client_token else {}
    auth = {**ids, "policy_results": {"allowed": view.allowed}, "token_type": "default"}
    return Caller(orjson.dumps(auth), b"", _members(ids) + b"," if ids else b"")


def known_caller(
    request: Request, token: TokenEntry, view: AuthView, hasher: Hasher, options: RecordOptions
) -> Caller:
    """The owner of a token."""
    hashed = hasher.remembered(request.client_token)
    accessor = shown_accessor(token.accessor, hasher, options)
    results: dict[str, Any] = {"allowed": view.allowed}
    if view.granting_policies:
        results["granting_policies"] = [
            {"name": name, "namespace_id": "root", "type": "acl"} for name in view.granting_policies
        ]
    auth = _without_empty(
        {
            "client_token": hashed,
            "accessor": accessor,
            "display_name": token.display_name,
            "policies": list(request.policies),
            "token_policies": list(token.policies),
            "identity_policies": list(request.identity_policies),
            "policy_results": results,
            "metadata": dict(token.meta or {}),
            "remaining_uses": max(token.num_uses, 0),
            "entity_id": token.entity_id,
            "token_type": "batch" if token.type == BATCH else "service",
            "token_ttl": token.ttl_ns // SECOND_NS,
            "token_issue_time": format_time(token.creation_time * SECOND_NS),
        }
    )
    ids = _without_empty({"client_token": hashed, "client_token_accessor": accessor})
    client = _members({"client_id": client_id(token)}) + b","
    return Caller(orjson.dumps(auth), client, _members(ids) + b",")


def shown_accessor(accessor: str, hasher: Hasher, options: RecordOptions) -> str:
    """An accessor as the device's options want it; "" stays ""."""
    if not accessor or not options.hmac_accessor:
        return accessor
    return hasher.remembered(accessor)


def client_id(token: TokenEntry) -> str:
    """Who counts as one client: the entity, or everyone with the same policies."""
    if token.entity_id:
        return token.entity_id
    text = "\x7f".join(sorted(token.policies)) + "\x00" + "root"
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def issued_auth(
    auth: Auth, hasher: Hasher, options: RecordOptions, *, is_caller: bool
) -> dict[str, Any]:
    """A token that the answer hands out; ``is_caller``: it also stands for who asked (login)."""
    return _without_empty(
        {
            "client_token": hasher.text(auth.client_token) if auth.client_token else "",
            "accessor": shown_accessor(auth.accessor, hasher, options),
            "display_name": auth.display_name,
            "policies": sorted({*auth.token_policies, *auth.identity_policies}),
            "token_policies": list(auth.token_policies),
            "identity_policies": list(auth.identity_policies),
            "no_default_policy": auth.no_default_policy,
            "num_uses": auth.num_uses,
            "metadata": dict(auth.metadata),
            "entity_id": auth.entity_id,
            "entity_created": is_caller and auth.entity_created,
            "token_type": auth.token_type,
            "token_ttl": auth.lease_seconds,
        }
    )


def wrapped(info: WrapInfo, hasher: Hasher, options: RecordOptions) -> dict[str, Any]:
    """The token that an answer was wrapped into."""
    return _without_empty(
        {
            "ttl": info.ttl_seconds,
            "token": hasher.text(info.token),
            "accessor": shown_accessor(info.accessor, hasher, options),
            "creation_time": format_time(info.creation_time_ns),
            "creation_path": info.creation_path,
            "wrapped_accessor": shown_accessor(info.wrapped_accessor, hasher, options),
        }
    )


def _without_empty(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value}


def elided(data: dict[str, Any]) -> dict[str, Any]:
    """A list answer with the lengths of its lists."""
    shorter = UserData(data) if isinstance(data, UserData) else dict(data)
    if isinstance(shorter.get("keys"), list):
        shorter["keys"] = len(shorter["keys"])
    if isinstance(shorter.get("key_info"), dict):
        shorter["key_info"] = len(shorter["key_info"])
    return shorter
