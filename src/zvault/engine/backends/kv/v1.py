"""KV version 1: one JSON object a path.

What lives here: the backend of mounts of type ``kv`` without versions (and of old ``generic``
ones). What never does: versions, leases that are kept.
Invariant: what is stored is the request's JSON object and nothing else; a ``ttl`` or ``lease`` in
it only hints how long a reader may keep it.
Source: ``docs/api/kv.md``.
"""

import contextlib
from typing import Any

from zvault.base.gotime import SECOND_NS
from zvault.engine.api import Auth, MountContext, Operation, Request, Response
from zvault.engine.backends.fields import lifetime_ns
from zvault.engine.backends.listing import list_keys
from zvault.engine.backends.stored import stored_json
from zvault.engine.errors import InvalidRequestError, UnsupportedOperationError
from zvault.engine.userdata import EncodedData
from zvault.records import gojson


class Kv1:
    """The backend of one mount."""

    unauthenticated_paths = ()
    root_paths = ()

    def __init__(self, context: MountContext) -> None:
        self._view = context.view
        self._default_ttl_ns = context.default_ttl_ns

    async def start(self) -> None:
        """Nothing to prepare."""

    async def stop(self) -> None:
        """Nothing to end."""

    async def exists(self, request: Request) -> bool | None:
        """Whether there is a secret at the path."""
        path = request.relative_path
        return not _is_folder(path) and await self._view.get(path) is not None

    async def handle(self, request: Request) -> Response | None:
        """Read, list, write or delete."""
        operation, path = request.operation, request.relative_path
        if operation is Operation.READ:
            return await self._read(path)
        if operation is Operation.LIST:
            return await list_keys(self._view.list, path)
        if operation is Operation.CREATE or operation is Operation.UPDATE:
            await self._write(path, request.data)
            return None
        if operation is Operation.DELETE:
            if not _is_folder(path):
                await self._view.delete(path)
            return None
        raise UnsupportedOperationError("1 error occurred:\n\t* unsupported operation\n\n")

    async def renew(self, auth: Auth) -> Auth:
        """No logins here."""
        raise UnsupportedOperationError("1 error occurred:\n\t* unsupported operation\n\n")

    async def _read(self, path: str) -> Response | None:
        stored = None if _is_folder(path) else await self._view.get(path)
        if stored is None:
            return None
        values = gojson.loads(stored)
        if not isinstance(values, dict):
            values = {}
        return Response(
            data=EncodedData(values, stored.strip(), is_user_data=True),
            lease_seconds=self._lease_seconds(values),
        )

    async def _write(self, path: str, data: dict[str, Any]) -> None:
        if not data:
            raise InvalidRequestError("missing data fields")
        if _is_folder(path):
            raise InvalidRequestError("cannot write to a path ending in '/'")
        await self._view.put(path, stored_json(data))

    def _lease_seconds(self, values: dict[str, Any]) -> int:
        hint = values["ttl"] if "ttl" in values else values.get("lease")
        if "ttl" in values or "lease" in values:
            with contextlib.suppress(ValueError):
                return int(lifetime_ns(hint) / SECOND_NS)
        return self._default_ttl_ns() // SECOND_NS


def _is_folder(path: str) -> bool:
    return not path or path.endswith("/")


def make(context: MountContext) -> Kv1:
    """The backend for one mount."""
    return Kv1(context)
