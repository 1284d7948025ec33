"""``sys/wrapping``: wrap what one sends, look a wrapping token up, unwrap, wrap again.

What lives here: fields and answers. What never does: what wrapping
is (``engine/tokens/wrapping.py``).
Source: ``docs/api/sys.md``.
"""

from zvault.base.gotime import SECOND_NS
from zvault.engine.api import Operation, Request, Response
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData, Route
from zvault.engine.errors import InvalidRequestError
from zvault.engine.services import Services
from zvault.engine.userdata import UserData

_TOKEN = {"token": Field(FieldKind.STRING, "")}


class WrappingPaths:
    """Routes below ``sys/wrapping``."""

    def __init__(self, services: Services) -> None:
        self._wrapping = services.wrapping

    def routes(self) -> list[Route]:
        """The path table."""
        look_up = {Operation.READ: self._look_up, Operation.UPDATE: self._look_up}
        return [
            Route("wrapping/wrap", {Operation.UPDATE: self._wrap}),
            Route("wrapping/lookup", look_up, _TOKEN),
            Route("wrapping/unwrap", {Operation.UPDATE: self._unwrap}, _TOKEN),
            Route("wrapping/rewrap", {Operation.UPDATE: self._rewrap}, _TOKEN),
        ]

    async def _wrap(self, request: Request, data: FieldData) -> Response:
        """Echoes; the pipeline wraps it."""
        if not request.wrap_ttl_seconds:
            raise InvalidRequestError("endpoint requires response wrapping to be used")
        return Response(data=UserData(request.data))

    async def _look_up(self, request: Request, data: FieldData) -> Response:
        record = await self._wrapping.look_up(request, data["token"])
        whole, rest = divmod(record.creation_ttl_ns, SECOND_NS)
        return Response(
            data={
                "creation_path": record.creation_path,
                "creation_time": record.creation_time,
                "creation_ttl": whole if not rest else record.creation_ttl_ns / SECOND_NS,
            }
        )

    async def _unwrap(self, request: Request, data: FieldData) -> Response:
        return await self._wrapping.unwrap(request, data["token"])

    async def _rewrap(self, request: Request, data: FieldData) -> Response:
        return await self._wrapping.rewrap(request, data["token"])
