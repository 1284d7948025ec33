"""``sys/internal/specs/openapi``: which paths there are.

What lives here: path tables as OpenAPI paths. Only the built-in mounts (sys, identity, token) are
described, and no request's or answer's fields: a client generator needs a real server's document.
Source: ``docs/api/sys.md``.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

from zvault.engine.api import Operation, Request, Response
from zvault.engine.backends.builtin import BuiltinBackend
from zvault.engine.backends.framework import FieldData, Route
from zvault.engine.mounts.mounted import Mounted
from zvault.engine.services import Services

_METHODS = {
    Operation.READ: "get",
    Operation.LIST: "get",
    Operation.CREATE: "post",
    Operation.UPDATE: "post",
    Operation.DELETE: "delete",
}
_GROUP = re.compile(r"\(\?P<(\w+)>")


class OpenApi:
    """The one route."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        """The path table."""
        return [Route("internal/specs/openapi", {Operation.READ: self._read})]

    async def _read(self, request: Request, data: FieldData) -> Response:
        paths: dict[str, Any] = {}
        for prefix, mounted in sorted(self._services.mounts.router.items()):
            if isinstance(mounted.backend, BuiltinBackend):
                _describe(paths, prefix, mounted, mounted.backend.routes)
        document = {
            "openapi": "3.0.2",
            "info": {
                "title": "HashiCorp Vault API",
                "description": "The paths of a Vault-compatible server. All begin with /v1/.",
                "version": self._services.settings.version,
            },
            "paths": paths,
        }
        return Response(raw_body=json.dumps(document).encode())


def _describe(
    paths: dict[str, Any], prefix: str, mounted: Mounted, routes: Iterable[Route]
) -> None:
    for route in routes:
        for template in templates(route.pattern):
            item = paths.setdefault(f"/{prefix}{template}", {})
            for operation in route.operations:
                method = _METHODS.get(operation)
                if method is not None:
                    item.setdefault(method, {"responses": {"200": {"description": "OK"}}})
            names = re.findall(r"\{(\w+)\}", template)
            if names:
                item["parameters"] = [
                    {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                    for name in names
                ]
            if template in mounted.open_paths:
                item["x-vault-unauthenticated"] = True
            if template in mounted.root_paths:
                item["x-vault-sudo"] = True


def templates(pattern: str) -> list[str]:
    """A route's pattern as path templates: ``role/(?P<name>.+)`` is ``role/{name}``.

    What is optional gives two templates.
    """
    match = re.search(r"\(\?", pattern)
    if match is None:
        return [pattern.replace("/?", "").replace("\\", "")]
    start, end = match.start(), _closing(pattern, match.start())
    group = _GROUP.match(pattern, start)
    before, after = pattern[:start], pattern[end + 1 :]
    if group is not None:
        middle = ["{" + group.group(1) + "}"]
    else:
        middle = _alternatives(pattern[start + 3 : end])
    if after.startswith("?"):
        middle, after = ["", *middle], after[1:]
    return sorted({found for part in middle for found in templates(before + part + after)})


def _alternatives(pattern: str) -> list[str]:
    """Split at every ``|`` that no group or class holds."""
    found, depth, begin = [], 0, 0
    for index, character in enumerate(pattern):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(character, 0)
        if character == "|" and not depth:
            found.append(pattern[begin:index])
            begin = index + 1
    return [*found, pattern[begin:]]


def _closing(pattern: str, start: int) -> int:
    """Where the group that opens at ``start`` closes."""
    depth = 0
    in_class = False
    for index in range(start, len(pattern)):
        character = pattern[index]
        if pattern[index - 1 : index] == "\\":
            continue
        if character in "[]":
            in_class = character == "["
        elif not in_class:
            depth += {"(": 1, ")": -1}.get(character, 0)
            if depth == 0:
                return index
    raise ValueError(pattern)
