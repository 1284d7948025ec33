"""``sys/ha-status``, ``sys/host-info``, ``sys/version-history``: the server about itself.

What lives here: answers. What never does: a secret, a decision. Source: ``docs/api/sys.md``.
"""

import asyncio
import socket
from typing import Any

from zvault.base.gotime import format_time
from zvault.engine.api import Operation, Request, Response
from zvault.engine.backends.framework import FieldData, Route
from zvault.engine.backends.system.host_info import host_info
from zvault.engine.services import Services
from zvault.engine.userdata import Timestamp


class ServerInfo:
    """Routes that tell where and since when this server runs."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        """The path table."""
        return [
            Route("ha-status", {Operation.READ: self._ha_status}),
            Route("host-info/?", {Operation.READ: self._host_info}),
            Route("version-history/?", {Operation.LIST: self._versions}),
        ]

    async def _ha_status(self, request: Request, data: FieldData) -> Response:
        settings = self._services.settings
        node = {
            "active_node": True,
            "api_address": settings.api_address,
            "cluster_address": settings.cluster_address,
            "hostname": socket.gethostname(),
            "last_echo": None,
            "version": settings.version,
        }
        return Response(data={"nodes": [node]})

    async def _host_info(self, request: Request, data: FieldData) -> Response:
        found = await asyncio.to_thread(host_info)
        moment = Timestamp(format_time(self._services.clock.now_ns()))
        return Response(data={"timestamp": moment, **found})

    async def _versions(self, request: Request, data: FieldData) -> Response:
        info: dict[str, Any] = {}
        previous = None
        for entry in self._services.versions:
            info[entry.version] = {
                "build_date": entry.build_date,
                "previous_version": previous,
                "timestamp_installed": Timestamp(format_time(entry.installed_ns)),
            }
            previous = entry.version
        return Response(data={"keys": list(info), "key_info": info})
