"""``sys/raw``: any entry behind the barrier, read and written as it is. Off unless configured.

What lives here: the routes. Invariants: the seal's and the keyring's own entries are neither read
nor written here; what is written counts for a running server only after the next unseal, because
its parts keep what they have read. Source: ``docs/api/sys.md``.
"""

import base64
import binascii

from zvault.barrier.paths import MASTER, RESERVED_KEYS, ROOT_KEY
from zvault.engine.api import Operation, Request, Response
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData, Route
from zvault.engine.errors import InvalidRequestError
from zvault.engine.services import Services
from zvault.records import compress
from zvault.records.errors import RecordError
from zvault.storage.api import Delete, Put

_PROTECTED = RESERVED_KEYS | {MASTER, ROOT_KEY}
_FIELDS = {
    "path": Field(FieldKind.STRING, ""),
    "value": Field(FieldKind.STRING, ""),
    "compressed": Field(FieldKind.BOOL, True),
    "compression_type": Field(FieldKind.STRING, ""),
    "encoding": Field(FieldKind.STRING, ""),
}


class Raw:
    """Routes below ``sys/raw``; none when the configuration does not ask for them."""

    def __init__(self, services: Services) -> None:
        self._barrier = services.raw
        self._enabled = services.settings.raw_storage

    def routes(self) -> list[Route]:
        """The path table."""
        if not self._enabled:
            return []
        operations = {
            Operation.READ: self._read,
            Operation.UPDATE: self._write,
            Operation.DELETE: self._delete,
            Operation.LIST: self._list,
        }
        return [Route("raw(?:/(?P<path>.*))?", operations, _FIELDS)]

    async def _read(self, request: Request, data: FieldData) -> Response | None:
        key = _allowed(data["path"], "read")
        content = await self._barrier.get(key)
        if content is None:
            return None
        if data["compressed"]:
            try:
                content = compress.expand(content)
            except RecordError:
                raise InvalidRequestError(f"the entry {key!r} does not decompress") from None
        return Response(data={"value": _shown(content, data["encoding"])})

    async def _write(self, request: Request, data: FieldData) -> None:
        key = _allowed(data["path"], "write")
        if data["compression_type"]:
            raise InvalidRequestError("this server writes entries as they are given")
        value = data["value"].encode()
        if data["encoding"] == "base64":
            try:
                value = base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                raise InvalidRequestError("the value is not base64") from None
        elif data["encoding"]:
            raise InvalidRequestError("invalid encoding, only base64 is known")
        await self._barrier.apply([Put(key, value)])

    async def _delete(self, request: Request, data: FieldData) -> None:
        await self._barrier.apply([Delete(_allowed(data["path"], "delete"))])

    async def _list(self, request: Request, data: FieldData) -> Response:
        folder = data["path"].strip("/")
        prefix = folder + "/" if folder else ""
        return Response(data={"keys": await self._barrier.list(prefix)})


def _allowed(path: str, verb: str) -> str:
    """The key. Raises InvalidRequestError for those that nobody gets to."""
    key = path.strip("/")
    if not key or key in _PROTECTED or key.startswith("core/upgrade/"):
        raise InvalidRequestError(f"cannot {verb} '{key}'")
    return key


def _shown(content: bytes, encoding: str) -> str:
    if encoding == "base64":
        return base64.b64encode(content).decode()
    if encoding:
        raise InvalidRequestError("invalid encoding, only base64 is known")
    return content.decode("utf-8", "replace")
