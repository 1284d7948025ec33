"""Cubbyhole: a private drawer for each service token.

What lives here: the backend at ``cubbyhole/``. What never does: another token's drawer.
Invariants: every key lies below the asking token's own ``cubbyhole_id``; ``revoke`` leaves nothing
of a drawer behind.
Source: ``docs/api/kv.md``.
"""

from zvault.engine.api import Auth, MountContext, Operation, Request, Response
from zvault.engine.backends.listing import list_keys
from zvault.engine.backends.stored import stored_json
from zvault.engine.errors import InvalidRequestError, UnsupportedOperationError
from zvault.engine.policy.builtin import RESPONSE_WRAPPING
from zvault.engine.userdata import EncodedData
from zvault.records import gojson
from zvault.storage.api import Delete

_ONLY_SERVICE = 'cubbyhole operations are only supported by "service" type tokens'

_OLD_WAY = (
    "Reading from 'cubbyhole/response' is deprecated. Please use sys/wrapping/unwrap to unwrap "
    "responses, as it provides additional security checks and other benefits."
)


class Cubbyhole:
    """The backend of the one cubbyhole mount."""

    unauthenticated_paths = ()
    root_paths = ()

    def __init__(self, context: MountContext) -> None:
        self._view = context.view

    async def start(self) -> None:
        """Nothing to prepare."""

    async def stop(self) -> None:
        """Nothing to end."""

    async def exists(self, request: Request) -> bool | None:
        """Whether this token has something at the path."""
        path = request.relative_path
        if not path or path.endswith("/"):
            return None
        return await self._view.get(_key(request)) is not None

    async def handle(self, request: Request) -> Response | None:
        """Read, list, write or delete in the asking token's drawer."""
        operation, key = request.operation, _key(request)
        if operation is Operation.LIST:
            return await list_keys(self._view.list, key)
        if not request.relative_path or key.endswith("/"):
            raise InvalidRequestError("missing path")
        if operation is Operation.READ:
            stored = await self._view.get(key)
            if stored is None:
                return None
            data = EncodedData(gojson.loads(stored), stored.strip(), is_user_data=True)
            return Response(data=data, warnings=_warnings(request))
        if operation is Operation.CREATE or operation is Operation.UPDATE:
            if not request.data:
                raise InvalidRequestError("missing data fields")
            await self._view.put(key, stored_json(request.data))
            return None
        if operation is Operation.DELETE:
            await self._view.delete(key)
            return None
        raise UnsupportedOperationError("1 error occurred:\n\t* unsupported operation\n\n")

    async def renew(self, auth: Auth) -> Auth:
        """No logins here."""
        raise UnsupportedOperationError("1 error occurred:\n\t* unsupported operation\n\n")

    async def revoke(self, cubbyhole_id: str) -> None:
        """Remove everything of one token. Raises StorageError; may be repeated."""
        if not cubbyhole_id:
            raise ValueError("a drawer without an id")
        doomed: list[str] = []
        folders = [cubbyhole_id + "/"]
        while folders:
            folder = folders.pop()
            for name in await self._view.list(folder):
                (folders if name.endswith("/") else doomed).append(folder + name)
        if doomed:
            await self._view.apply([Delete(key) for key in doomed])


def _warnings(request: Request) -> list[str]:
    """A wrapped response can be read here too, as in old times."""
    token = request.token
    is_wrapping = token is not None and token.policies == (RESPONSE_WRAPPING,)
    return [_OLD_WAY] if is_wrapping and request.relative_path == "response" else []


def _key(request: Request) -> str:
    token = request.token
    if token is None or not token.cubbyhole_id:
        raise InvalidRequestError(_ONLY_SERVICE)
    return f"{token.cubbyhole_id}/{request.relative_path}"


def make(context: MountContext) -> Cubbyhole:
    """The backend for the mount."""
    return Cubbyhole(context)
