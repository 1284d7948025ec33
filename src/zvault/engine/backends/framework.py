"""Path tables: how a backend says which paths it has and what each field is.

What lives here: Field, Route and a Router that finds the route of a relative path, coerces the
fields and calls the handler. What never does: what a path means.
Source: behaviour of Vault's ``sdk/framework`` (reference: ``vault-api.md`` 1.12, 1.3, 1.4).
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zvault.engine.api import Operation, Request, Response
from zvault.engine.backends.fields import SKIPS_NULL, FieldKind, coerce
from zvault.engine.errors import (
    BadFieldError,
    NotFoundInEngineError,
    UnsupportedOperationError,
)

Handler = Callable[[Request, "FieldData"], Awaitable[Response | None]]
Exists = Callable[[Request, "FieldData"], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Field:
    """A declared parameter: its kind and its default."""

    kind: FieldKind
    default: Any = None


class FieldData:
    """The declared parameters of one request, coerced.

    All of them at once, as real servers do it: one bad value refuses the request, also where its
    handler would not have looked at it.
    """

    __slots__ = ("_fields", "_values")

    def __init__(self, fields: Mapping[str, Field], values: Mapping[str, Any]) -> None:
        """Raises BadFieldError."""
        self._fields = fields
        self._values: dict[str, Any] = {}
        for name, value in values.items():
            declared = fields.get(name)
            if declared is not None and not (value is None and declared.kind in SKIPS_NULL):
                self._values[name] = _coerced(name, declared.kind, value)

    def __contains__(self, name: str) -> bool:
        """The caller supplied it."""
        return name in self._values

    def __getitem__(self, name: str) -> Any:
        """The coerced value or the declared default."""
        values = self._values
        return values[name] if name in values else self._fields[name].default

    def get(self, name: str, other: Any) -> Any:
        """The coerced value, or ``other`` when the caller supplied none."""
        return self._values.get(name, other)

    def only(self, names: Sequence[str]) -> "FieldData":
        """The same request with nothing but these parameters."""
        kept = FieldData(self._fields, {})
        kept._values = {name: value for name, value in self._values.items() if name in names}
        return kept

    def first(self, *names: str) -> Any:
        """The first of several names that was supplied, else the default of the first."""
        for name in names:
            if name in self._values:
                return self._values[name]
        return self._fields[names[0]].default


def _coerced(name: str, kind: FieldKind, value: Any) -> Any:
    try:
        return coerce(kind, value)
    except (ValueError, TypeError) as error:
        raise BadFieldError(
            f"Field validation failed: error converting input for field {name!r}: {error}"
        ) from None


@dataclass(frozen=True, slots=True)
class Route:
    """One path pattern (a regular expression over the whole relative path)."""

    pattern: str
    operations: Mapping[Operation, Handler]
    fields: Mapping[str, Field] = field(default_factory=dict)
    exists: Exists | None = None


class Router:
    """Finds the first route that matches and calls its handler."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = [(re.compile(route.pattern), route) for route in routes]

    def _find(self, request: Request) -> tuple[Route, dict[str, str]]:
        for pattern, route in self._routes:
            match = pattern.fullmatch(request.relative_path)
            if match is not None:
                return route, {k: v for k, v in match.groupdict().items() if v is not None}
        raise NotFoundInEngineError("1 error occurred:\n\t* unsupported path\n\n")

    async def exists(self, request: Request) -> bool | None:
        """Existence check of the matching route; None where it has none or nothing matches.

        Raises EngineError (bad field, the check's).
        """
        try:
            route, captured = self._find(request)
        except NotFoundInEngineError:
            return None
        if route.exists is None:
            return None
        return await route.exists(request, FieldData(route.fields, {**request.data, **captured}))

    async def handle(self, request: Request) -> Response | None:
        """Dispatch. Raises EngineError (no such path or operation, bad field, the handler's)."""
        route, captured = self._find(request)
        operation = request.operation
        handler = route.operations.get(operation)
        if handler is None and operation is Operation.CREATE:
            handler = route.operations.get(Operation.UPDATE)
        if handler is None:
            raise UnsupportedOperationError("1 error occurred:\n\t* unsupported operation\n\n")
        data = FieldData(route.fields, {**request.data, **captured})
        response = await handler(request, data)
        if response is not None and response.raw_body is None:
            response.warnings.extend(_field_warnings(route, request, captured))
        return response


def _field_warnings(route: Route, request: Request, captured: Mapping[str, str]) -> list[str]:
    if request.operation in (Operation.READ, Operation.LIST, Operation.DELETE) or not route.fields:
        return []
    unknown = sorted(name for name in request.data if name not in route.fields)
    replaced = sorted(name for name in captured if request.data.get(name) is not None)
    warnings = []
    if unknown:
        warnings.append(f"Endpoint ignored these unrecognized parameters: [{' '.join(unknown)}]")
    if replaced:
        warnings.append(
            "Endpoint replaced the value of these parameters with the values captured from "
            f"the endpoint's path: [{' '.join(replaced)}]"
        )
    return warnings
