"""``sys/mounts`` and ``sys/auth``: mounting, listing, tuning, moving.

What lives here: both tables through one set of handlers. What never does: how a mount comes and
goes (``engine/mounts/service.py``). Source: ``docs/api/sys.md``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from zvault.base.ids import new_uuid
from zvault.engine.api import Operation, Request, Response
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData, Route
from zvault.engine.backends.registry import KNOWN_AUTH_TYPES, KNOWN_SECRET_TYPES
from zvault.engine.backends.system.locked_users import with_lockout
from zvault.engine.backends.system.mount_info import (
    changed_config,
    mount_info,
    new_config,
    tuning,
)
from zvault.engine.errors import InvalidRequestError
from zvault.engine.mounts.plugins import builtin_version
from zvault.engine.services import Services
from zvault.records.mounts import AUTH, MOUNTS, MountEntry

_PROTECTED_PREFIXES = ("audit/", "auth/", "sys/", "cubbyhole/", "identity/")
_PROTECTED_TARGETS = ("audit/", "sys/", "cubbyhole/", "identity/")
_UNTUNABLE = ("audit/", "sys/", "cubbyhole/", "identity/")
_SINGLETONS = ("system", "cubbyhole", "identity")
_QUEUED = (
    "Mount move has been queued. Progress will be reported in Vault's server log, tagged with the "
    "returned migration_id"
)
_PROTECTED_MOUNTS = ("sys/", "cubbyhole/", "identity/")
_ALIASES = {"kv-v1": "1", "kv-v2": "2"}
_CREATE_FIELDS = {
    "path": Field(FieldKind.STRING, ""),
    "type": Field(FieldKind.STRING, ""),
    "description": Field(FieldKind.STRING, ""),
    "config": Field(FieldKind.MAP, {}),
    "options": Field(FieldKind.KV_PAIRS, {}),
    "local": Field(FieldKind.BOOL, False),
    "seal_wrap": Field(FieldKind.BOOL, False),
    "external_entropy_access": Field(FieldKind.BOOL, False),
    "plugin_name": Field(FieldKind.STRING, ""),
    "plugin_version": Field(FieldKind.STRING, ""),
}
_TUNE_FIELDS = {
    "path": Field(FieldKind.STRING, ""),
    "description": Field(FieldKind.STRING, ""),
    "default_lease_ttl": Field(FieldKind.ANY),
    "max_lease_ttl": Field(FieldKind.ANY),
    "audit_non_hmac_request_keys": Field(FieldKind.ANY),
    "audit_non_hmac_response_keys": Field(FieldKind.ANY),
    "listing_visibility": Field(FieldKind.STRING, ""),
    "passthrough_request_headers": Field(FieldKind.ANY),
    "allowed_response_headers": Field(FieldKind.ANY),
    "force_no_cache": Field(FieldKind.BOOL, False),
    "token_type": Field(FieldKind.STRING, ""),
    "options": Field(FieldKind.KV_PAIRS, {}),
    "user_lockout_config": Field(FieldKind.ANY),
    "plugin_version": Field(FieldKind.STRING, ""),
}


@dataclass(frozen=True, slots=True)
class _Words:
    """How the two tables are spoken of."""

    table: str
    root: str
    none_at: str
    known: frozenset[str]


_SECRETS = _Words(MOUNTS, "mounts", "No secret engine mount at {}", KNOWN_SECRET_TYPES)
_AUTHS = _Words(AUTH, "auth", "No auth engine at {}", KNOWN_AUTH_TYPES)


class Mounts:
    """Routes below ``sys/mounts``, ``sys/auth`` and ``sys/remount``."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._mounts = services.mounts
        self._version = builtin_version(services.settings.version, services.family)
        self._moves: dict[str, dict[str, str]] = {}

    def routes(self) -> list[Route]:
        """The path table."""
        fields = {"from": Field(FieldKind.STRING, ""), "to": Field(FieldKind.STRING, "")}
        return [
            *self._table_routes(_SECRETS),
            *self._table_routes(_AUTHS),
            Route("remount", {Operation.UPDATE: self._remount}, fields),
            Route(
                "remount/status/(?P<id>.+)",
                {Operation.READ: self._remount_status},
                {"id": Field(FieldKind.STRING, "")},
            ),
        ]

    def _table_routes(self, words: _Words) -> list[Route]:
        async def listed(request: Request, data: FieldData) -> Response:
            return Response(data=self.listing(words.table))

        async def one(request: Request, data: FieldData) -> Response:
            return Response(data=mount_info(self._entry(words, data["path"]), self._version))

        async def create(request: Request, data: FieldData) -> None:
            await self._create(words, data)

        async def delete(request: Request, data: FieldData) -> None:
            await self._delete(words, data)

        async def tune_read(request: Request, data: FieldData) -> Response:
            return self._tune_read(words, data["path"])

        async def tune(request: Request, data: FieldData) -> Response | None:
            return await self._tune(words, data)

        return [
            Route(f"{words.root}/?", {Operation.READ: listed, Operation.LIST: listed}),
            Route(
                f"{words.root}/(?P<path>.+?)/tune",
                {Operation.READ: tune_read, Operation.UPDATE: tune},
                _TUNE_FIELDS,
            ),
            Route(
                f"{words.root}/(?P<path>.+?)/?",
                {Operation.READ: one, Operation.UPDATE: create, Operation.DELETE: delete},
                _CREATE_FIELDS,
            ),
        ]

    def listing(self, table: str) -> dict[str, Any]:
        """Path to information of every mount of one table."""
        return {
            entry.path: mount_info(entry, self._version)
            for entry in sorted(self._mounts.entries(table), key=lambda entry: entry.path)
        }

    def info(self, entry: MountEntry) -> dict[str, Any]:
        """One mount as it is listed."""
        return mount_info(entry, self._version)

    def _entry(self, words: _Words, path: str) -> MountEntry:
        entry = self._mounts.entry(words.table, _with_slash(path))
        if entry is None:
            raise InvalidRequestError(words.none_at.format(_with_slash(path)))
        return entry

    async def _create(self, words: _Words, data: FieldData) -> None:
        path = _with_slash(data["path"])
        kind, options = _kind_and_options(words, data)
        if words.table == MOUNTS and path.startswith(_PROTECTED_PREFIXES):
            raise InvalidRequestError(f'cannot mount "{path}"')
        _check_path(path)
        given = {name: value for name, value in data["config"].items() if name != "options"}
        system_max = self._services.settings.max_lease_ttl_ns
        await self._mounts.mount(
            words.table,
            path,
            kind,
            description=data["description"],
            config=new_config(given, words.table, system_max),
            options=options,
            local=data["local"],
            seal_wrap=data["seal_wrap"],
        )

    async def _delete(self, words: _Words, data: FieldData) -> None:
        path = _with_slash(data["path"])
        if words.table == MOUNTS and path in _PROTECTED_MOUNTS:
            raise InvalidRequestError(f'cannot unmount "{path}"')
        if words.table == AUTH and path == "token/":
            raise InvalidRequestError("token credential backend cannot be disabled")
        if await self._mounts.unmount(words.table, path):
            prefix = f"auth/{path}" if words.table == AUTH else path
            await self._services.quotas.mount_gone(prefix)

    def _tuned_entry(self, words: _Words, path: str) -> MountEntry | None:
        path = _with_slash(path)
        if words.table == MOUNTS and path.startswith("auth/"):
            return self._mounts.entry(AUTH, path.removeprefix("auth/"))
        return self._mounts.entry(words.table, path)

    def _tune_read(self, words: _Words, path: str) -> Response:
        entry = self._tuned_entry(words, path)
        if entry is None:
            raise InvalidRequestError(f'cannot fetch sysview for path "{_with_slash(path)}"')
        prefix = f"auth/{entry.path}" if entry.table == AUTH else entry.path
        default = self._mounts.default_ttl_ns(prefix)
        return Response(data=tuning(entry, default, self._mounts.max_ttl_ns(prefix)))

    async def _tune(self, words: _Words, data: FieldData) -> Response | None:
        path = _with_slash(data["path"])
        if words.table == MOUNTS and path.startswith(_UNTUNABLE):
            raise InvalidRequestError(f'cannot tune "{path}"')
        entry = self._tuned_entry(words, path)
        if entry is None:
            raise InvalidRequestError(f'tune of path "{path}" failed: no mount entry found')
        given = {
            name: data[name]
            for name in _TUNE_FIELDS
            if name not in ("path", "description", "options") and name in data
        }
        if entry.type == "token" and "token_type" in given:
            raise InvalidRequestError(
                "'token_type' cannot be set for 'token' or 'ns_token' auth mounts"
            )
        system_max = self._services.settings.max_lease_ttl_ns

        def tuned(before: MountEntry) -> MountEntry:
            config = changed_config(before.config, given, before.table, system_max)
            if "user_lockout_config" in data:
                asked = data["user_lockout_config"]
                config = replace(config, extra=dict(with_lockout(config, before.type, asked)))
            changed = replace(before, config=config)
            if "description" in data:
                changed = replace(changed, description=data["description"])
            return _with_options(changed, data["options"]) if "options" in data else changed

        before = await self._mounts.change(entry, tuned)
        if before.kv_version != 1 or data["options"].get("version") != "2":
            return None
        return Response(
            warnings=[
                "Upgrading mount from version 1 to version 2. This mount will be unavailable "
                "for a brief period and will resume service shortly."
            ]
        )

    async def _remount(self, request: Request, data: FieldData) -> Response:
        table, source, target = _checked_move(data["from"], data["to"])
        moved = await self._mounts.move(table, source, target)
        root = "auth/" if table == AUTH else ""
        if table == AUTH:
            await self._services.identity.mount_moved(moved.accessor, root + target)
        await self._services.quotas.mount_moved(root + source, root + target)
        number = new_uuid(self._services.random_bytes)
        self._moves[number] = {
            "source_mount": data["from"],
            "target_mount": data["to"],
            "status": "success",
        }
        # It has been done; the words are those of a server that does it later.
        return Response(data={"migration_id": number}, warnings=[_QUEUED])

    async def _remount_status(self, request: Request, data: FieldData) -> Response | None:
        info = self._moves.get(data["id"])
        if info is None:
            return None
        return Response(data={"migration_id": data["id"], "migration_info": info})


def _checked_move(source: str, target: str) -> tuple[str, str, str]:
    """Table, old and new path in it. Raises InvalidRequestError for what cannot be moved."""
    if not source or not target:
        raise InvalidRequestError("both 'from' and 'to' path must be specified as a string")
    source, target = _with_slash(source), _with_slash(target)
    _check_path(target)
    in_auth, to_auth = source.startswith("auth/"), target.startswith("auth/")
    if in_auth and not to_auth:
        raise InvalidRequestError(f'cannot remount auth mount to non-auth mount "{target}"')
    if source == "auth/token/" or (not in_auth and source.startswith(_PROTECTED_PREFIXES)):
        raise InvalidRequestError(f'cannot remount "{source}"')
    if target.startswith(_PROTECTED_TARGETS) or (to_auth and not in_auth):
        raise InvalidRequestError(f"cannot remount to destination {target}")
    if target.startswith("auth/token/") or target == "auth/":
        raise InvalidRequestError(f'cannot remount to destination "{target}"')
    if in_auth:
        return AUTH, source.removeprefix("auth/"), target.removeprefix("auth/")
    return MOUNTS, source, target


def _with_options(entry: MountEntry, options: Mapping[str, str]) -> MountEntry:
    """The entry with these options too. Raises InvalidRequestError for a version it cannot get."""
    version = options.get("version", "")
    if entry.kv_version and version not in ("", str(entry.kv_version)):
        if entry.kv_version == 2:
            raise InvalidRequestError("cannot downgrade mount from version 2")
        if version != "2":
            raise InvalidRequestError(f"invalid version {version!r}")
    return replace(entry, options={**(entry.options or {}), **options})


def _check_path(path: str) -> None:
    """Raises InvalidRequestError for what no request path can reach."""
    if path == "/" or ".." in path or "//" in path or not path.isprintable():
        raise InvalidRequestError("invalid mount path")


def _with_slash(path: str) -> str:
    return path.strip("/") + "/"


def _kind_and_options(words: _Words, data: FieldData) -> tuple[str, dict[str, str]]:
    kind = data["type"] or data["plugin_name"]
    options = dict(data["options"])
    in_config = data["config"].get("options")
    if isinstance(in_config, dict):
        options |= {str(name): str(value) for name, value in in_config.items()}
    if not kind:
        raise InvalidRequestError("backend type must be specified as a string")
    if words.table == MOUNTS and kind in _ALIASES:
        options["version"] = _ALIASES[kind]
        kind = "kv"
    if words.table == MOUNTS and kind in _SINGLETONS:
        raise InvalidRequestError(f'mount type of "{kind}" is not mountable')
    if words.table == AUTH and kind == "token":
        raise InvalidRequestError("token credential backend cannot be instantiated")
    if kind not in words.known:
        raise InvalidRequestError(f"plugin not found in the catalog: {kind}")
    if "version" in options:
        if kind not in ("kv", "generic"):
            raise InvalidRequestError(f"secrets engine {kind!r} does not allow setting a version")
        if options["version"] not in ("1", "2"):
            raise InvalidRequestError(f"invalid version {options['version']!r}")
    return ("kv" if kind == "generic" else kind), options
