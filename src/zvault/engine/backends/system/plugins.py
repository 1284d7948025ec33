"""``sys/plugins``: what is built in. This server loads no others.

What lives here: the catalogue's answers, and refusals in a real server's words. What never does:
a plugin run. Source: ``docs/api/sys.md``.
"""

from typing import Any

from zvault.base.ids import new_uuid
from zvault.engine.api import Operation, Request, Response
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData, Route
from zvault.engine.backends.registry import KNOWN_AUTH_TYPES, KNOWN_SECRET_TYPES
from zvault.engine.errors import InternalEngineError, InvalidRequestError
from zvault.engine.mounts.plugins import builtin_version, plugin_version
from zvault.engine.services import Services

_NAMES = {
    "auth": sorted(KNOWN_AUTH_TYPES),
    "database": [],
    "secret": sorted(KNOWN_SECRET_TYPES - {"generic"}),
}
_KIND = "(?P<type>auth|database|secret|unknown)"
_FIELDS = {
    "type": Field(FieldKind.STRING, ""),
    "name": Field(FieldKind.STRING, ""),
    "sha256": Field(FieldKind.STRING, ""),
    "sha_256": Field(FieldKind.STRING, ""),
    "command": Field(FieldKind.STRING, ""),
    "args": Field(FieldKind.COMMA_LIST, []),
    "env": Field(FieldKind.COMMA_LIST, []),
    "version": Field(FieldKind.STRING, ""),
    "oci_image": Field(FieldKind.STRING, ""),
    "runtime": Field(FieldKind.STRING, ""),
}
_RELOAD_FIELDS = {
    "plugin": Field(FieldKind.STRING, ""),
    "mounts": Field(FieldKind.COMMA_LIST, []),
    "scope": Field(FieldKind.STRING, ""),
}
_SINGLETONS = ("system", "identity", "cubbyhole", "token")


class Plugins:
    """Routes below ``sys/plugins``."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._builtin = builtin_version(services.settings.version, services.family)

    def routes(self) -> list[Route]:
        """The path table."""
        return [
            Route("plugins/catalog/?", {Operation.READ: self._all}),
            Route(f"plugins/catalog/{_KIND}/?", {Operation.LIST: self._list}, _FIELDS),
            Route(
                "plugins/catalog(?:/(?P<type>[^/]+))?/(?P<name>.+)",
                {
                    Operation.READ: self._read,
                    Operation.UPDATE: self._register,
                    Operation.DELETE: self._remove,
                },
                _FIELDS,
            ),
            Route("plugins/reload/backend", {Operation.UPDATE: self._reload}, _RELOAD_FIELDS),
        ]

    def _version(self, name: str) -> str:
        return plugin_version(name, self._builtin)

    async def _all(self, request: Request, data: FieldData) -> Response:
        detailed = [
            {
                "builtin": True,
                "deprecation_status": "supported",
                "name": name,
                "type": kind,
                "version": self._version(name),
            }
            for kind, names in _NAMES.items()
            for name in names
        ]
        lists: dict[str, Any] = {kind: list(names) for kind, names in _NAMES.items() if names}
        return Response(data={**lists, "detailed": detailed})

    async def _list(self, request: Request, data: FieldData) -> Response:
        return Response(data={"keys": list(_NAMES.get(data["type"], ()))})

    async def _read(self, request: Request, data: FieldData) -> Response | None:
        kind, name = data["type"], data["name"]
        if kind not in _NAMES:
            shown = f"{kind}/{name}" if kind else name
            text = (
                "Deprecated API endpoint, cannot read plugin information from catalog for "
                f'"{shown}"'
            )
            return Response(warnings=[text])
        if name not in _NAMES[kind] or data["version"] not in ("", self._version(name)):
            return None
        return Response(
            data={
                "args": None,
                "builtin": True,
                "command": "",
                "deprecation_status": "supported",
                "name": name,
                "sha256": "",
                "version": self._version(name),
            }
        )

    async def _register(self, request: Request, data: FieldData) -> None:
        if not data.first("sha256", "sha_256"):
            raise InvalidRequestError("missing SHA-256 value")
        if not data["command"] and not data["oci_image"]:
            raise InvalidRequestError("must provide at least one of command or oci_image")
        raise InternalEngineError(
            "1 error occurred:\n\t* could not set plugin, plugin directory is not configured\n\n"
        )

    async def _remove(self, request: Request, data: FieldData) -> None:
        """There are no external plugins; an absent one is removed already."""

    async def _reload(self, request: Request, data: FieldData) -> Response:
        """Built-in plugins have nothing to reload; only what is asked for is checked."""
        plugin, paths = data["plugin"], data["mounts"]
        if plugin and paths:
            raise InvalidRequestError("plugin and mounts cannot be set at the same time")
        if not plugin and not paths:
            raise InvalidRequestError("plugin or mounts must be provided")
        for path in paths:
            prefix = path.strip("/") + "/"
            mounted = self._services.mounts.router.get(prefix)
            if mounted is None:
                raise _failed(f'cannot fetch mount entry on "{prefix}"')
            if mounted.entry.type in _SINGLETONS:
                kind = mounted.entry.type
                raise _failed(
                    f'cannot reload plugin on "{prefix}": singleton plugin cannot be reloaded: '
                    f'"{kind}"'
                )
        return Response(data={"reload_id": new_uuid(self._services.random_bytes)})


def _failed(text: str) -> InvalidRequestError:
    return InvalidRequestError(f"1 error occurred:\n\t* {text}\n\n")
