"""``sys/key-status``, ``sys/rotate`` and what else is said about the server itself.

Source: ``docs/api/sys.md``.
"""

from dataclasses import replace

from zvault.barrier.keyring import MAX_OPERATIONS, MIN_INTERVAL_NS, MIN_OPERATIONS
from zvault.base.gotime import format_duration, format_time
from zvault.engine.api import Operation, Request, Response
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData, Route
from zvault.engine.errors import InvalidRequestError, NotFoundInEngineError
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
            # OpenBao's command line says "rotate/keyring".
            Route("rotate(?:/keyring)?", {Operation.UPDATE: self._rotate}),
            Route(
                "rotate(?:/keyring)?/config",
                {Operation.READ: self._rotation, Operation.UPDATE: self._configure_rotation},
                {
                    "enabled": Field(FieldKind.BOOL),
                    "max_operations": Field(FieldKind.INT),
                    "interval": Field(FieldKind.DURATION),
                },
            ),
            Route("seal", {Operation.UPDATE: self._granted}),
            Route("step-down", {Operation.UPDATE: self._granted}),
            Route("metrics", {Operation.READ: self._metrics}),
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
        interval_ns = rotation.interval_ns
        return Response(
            data={
                "enabled": not rotation.disabled,
                # Go's text of a duration, but a number when there is none.
                "interval": format_duration(interval_ns) if interval_ns > 0 else 0,
                "max_operations": rotation.max_operations,
            }
        )

    async def _configure_rotation(self, request: Request, data: FieldData) -> None:
        """What is not given stays. Unlike Vault, ``enabled`` counts on its own too.

        Vault stores a new configuration only when one of the two numbers differs from before, so
        there ``enabled=false`` alone answers 204 and changes nothing.
        """
        rotation = self._services.rotation()
        if "max_operations" in data:
            operations = data["max_operations"]
            if not MIN_OPERATIONS <= operations <= MAX_OPERATIONS:
                raise InvalidRequestError(
                    f"max_operations must be in the range [{MIN_OPERATIONS},{MAX_OPERATIONS}]"
                )
            rotation = replace(rotation, max_operations=operations)
        if "interval" in data:
            interval_ns = data["interval"]
            if 0 < interval_ns < MIN_INTERVAL_NS:
                raise InvalidRequestError(
                    f"interval must be greater or equal to {format_duration(MIN_INTERVAL_NS)}"
                )
            rotation = replace(rotation, interval_ns=interval_ns)
        if "enabled" in data:
            rotation = replace(rotation, disabled=not data["enabled"])
        await self._services.configure_rotation(rotation)

    async def _granted(self, request: Request, data: FieldData) -> None:
        """Who gets here may do it; the core seals when the request is through."""

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
