"""``sys/key-status``, ``sys/rotate`` and what else is said about the server itself.

Source: ``docs/api/sys.md``.
"""

from zvault.base.gotime import format_time
from zvault.engine.api import Operation, Request, Response
from zvault.engine.errors import NotFoundInEngineError
from zvault.engine.framework import FieldData, Route
from zvault.engine.services import Services
from zvault.engine.userdata import Timestamp


class Keys:
    """Data keys, and the doors to seal, step-down and metrics."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        """The path table."""
        return [
            Route("key-status", {Operation.READ: self._status}),
            Route("rotate", {Operation.UPDATE: self._rotate}),
            Route("rotate/config", {Operation.READ: self._rotation}),
            Route("seal", {Operation.UPDATE: self._granted}),
            Route("step-down", {Operation.UPDATE: self._granted}),
            Route("metrics", {Operation.READ: self._metrics}),
            Route("config/cors", {Operation.READ: self._cors}),
            Route("replication/status", {Operation.READ: self._replication}),
            Route("license/status", {Operation.READ: self._license}),
        ]

    async def _status(self, request: Request, data: FieldData) -> Response:
        term, installed, encryptions = self._services.key_status()
        return Response(
            data={
                "encryptions": encryptions,
                "install_time": Timestamp(format_time(installed)),
                "term": term,
            }
        )

    async def _rotate(self, request: Request, data: FieldData) -> None:
        await self._services.rotate()

    async def _rotation(self, request: Request, data: FieldData) -> Response:
        rotation = self._services.rotation()
        return Response(
            data={
                "enabled": not rotation.disabled,
                "interval": rotation.interval_ns // 10**9,
                "max_operations": rotation.max_operations,
            }
        )

    async def _granted(self, request: Request, data: FieldData) -> None:
        """Who gets here may do it; the core seals when the request is through."""

    async def _cors(self, request: Request, data: FieldData) -> Response:
        return Response(data={"enabled": False})

    async def _replication(self, request: Request, data: FieldData) -> Response:
        return Response(data={"mode": "disabled"})

    async def _license(self, request: Request, data: FieldData) -> Response:
        raise NotFoundInEngineError("enterprise-only feature")

    async def _metrics(self, request: Request, data: FieldData) -> Response:
        """The text as Prometheus wants it, or Vault's JSON."""
        if request.data.get("format") == "prometheus":
            return Response(
                raw_body=self._services.metrics.render_prometheus().encode(),
                raw_content_type="text/plain; version=0.0.4",
            )
        return Response(raw_body=self._services.metrics.render_json())
