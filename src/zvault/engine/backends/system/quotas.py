"""``sys/quotas``: rate limits and what holds for all of them.

What lives here: fields and answers. What never does: the counting (``engine/quotas.py``).
Source: ``docs/api/sys.md``; texts as OpenBao 2.6.2 answers them.
"""

import math
from typing import Any

from zvault.base.gotime import SECOND_NS
from zvault.base.ids import new_uuid
from zvault.engine.api import Operation, Request, Response
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData, Route
from zvault.engine.errors import InvalidRequestError
from zvault.engine.services import Services
from zvault.records.quotas import RATE_LIMIT, QuotaConfig, RateLimit

NAME = r"\w(?:(?:[\w.-]+)?\w)?"
_RULE_FIELDS = {
    "name": Field(FieldKind.STRING, ""),
    "type": Field(FieldKind.STRING, ""),
    "path": Field(FieldKind.STRING, ""),
    "role": Field(FieldKind.STRING, ""),
    "rate": Field(FieldKind.FLOAT, 0.0),
    "interval": Field(FieldKind.DURATION, 0),
    "block_interval": Field(FieldKind.DURATION, 0),
    "inheritable": Field(FieldKind.BOOL, False),
}
MAX_RATE = 1e15
_CONFIG_FIELDS = {
    "rate_limit_exempt_paths": Field(FieldKind.COMMA_LIST, []),
    "enable_rate_limit_audit_logging": Field(FieldKind.BOOL, False),
    "enable_rate_limit_response_headers": Field(FieldKind.BOOL, False),
}


class QuotaRoutes:
    """Routes below ``sys/quotas``."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._quotas = services.quotas

    def routes(self) -> list[Route]:
        """The path table."""
        return [
            Route("quotas/rate-limit/?", {Operation.LIST: self._list}),
            Route(
                f"quotas/rate-limit/(?P<name>{NAME})",
                {
                    Operation.READ: self._read,
                    Operation.UPDATE: self._write,
                    Operation.DELETE: self._delete,
                },
                _RULE_FIELDS,
            ),
            Route(
                "quotas/config",
                {Operation.READ: self._config, Operation.UPDATE: self._configure},
                _CONFIG_FIELDS,
            ),
        ]

    async def _list(self, request: Request, data: FieldData) -> Response:
        return Response(data={"keys": self._quotas.names()})

    async def _read(self, request: Request, data: FieldData) -> Response | None:
        rule = self._quotas.get(data["name"])
        return None if rule is None else Response(data=_shown(rule))

    async def _write(self, request: Request, data: FieldData) -> None:
        rate = data["rate"]
        if not math.isfinite(rate) or not 0 < rate <= MAX_RATE:
            raise InvalidRequestError("'rate' is invalid")
        mount, below = self._place(data["path"])
        known = self._quotas.get(data["name"])
        rule = RateLimit(
            name=data["name"],
            id=known.id if known is not None else new_uuid(self._services.random_bytes),
            mount=mount,
            path=below,
            role=data["role"],
            rate=rate,
            interval_ns=data["interval"] or SECOND_NS,
            block_interval_ns=data["block_interval"],
            inheritable=data.get("inheritable", not mount),
        )
        if rule.role:
            self._check_role(rule)
        other = self._quotas.alike(rule)
        if other is not None:
            raise InvalidRequestError(
                f'quota rule with similar properties exists under the name "{other}"'
            )
        await self._quotas.put(rule)

    def _place(self, path: str) -> tuple[str, str]:
        """Mount and what is below it; nothing at all is the whole server."""
        path = path.lstrip("/")
        if not path:
            return "", ""
        found = self._services.mounts.router.find(path)
        if found is None:
            raise InvalidRequestError(f'invalid mount path "{path.rstrip("/")}/"')
        prefix = found[0]
        return prefix, path[len(prefix) :]

    def _check_role(self, rule: RateLimit) -> None:
        """Roles are known at the logins of some auth methods only."""
        found = self._services.mounts.router.get(rule.mount) if rule.mount else None
        if found is None or not rule.mount.startswith("auth/"):
            raise InvalidRequestError(
                f'Mount path "{rule.mount}" is not a valid auth method and therefore unsuitable '
                "for use with role-based quotas"
            )
        if not hasattr(found.backend, "role_of_login"):
            raise InvalidRequestError(
                f'logins at "{rule.mount}" have no role that this server could tell before them'
            )

    async def _delete(self, request: Request, data: FieldData) -> None:
        await self._quotas.delete(data["name"])

    async def _config(self, request: Request, data: FieldData) -> Response:
        config = self._quotas.config
        return Response(
            data={
                "enable_rate_limit_audit_logging": config.audit_refusals,
                "enable_rate_limit_response_headers": config.response_headers,
                "rate_limit_exempt_paths": list(config.exempt_paths),
            }
        )

    async def _configure(self, request: Request, data: FieldData) -> None:
        """What is not given goes back to nothing, the exempt paths too, as in a real server."""
        await self._quotas.configure(
            QuotaConfig(
                audit_refusals=data["enable_rate_limit_audit_logging"],
                response_headers=data["enable_rate_limit_response_headers"],
                exempt_paths=tuple(data["rate_limit_exempt_paths"]),
                extra=self._quotas.config.extra,
            )
        )


def _shown(rule: RateLimit) -> dict[str, Any]:
    return {
        "block_interval": rule.block_interval_ns // SECOND_NS,
        "inheritable": rule.inheritable,
        "interval": rule.interval_ns // SECOND_NS,
        "name": rule.name,
        "path": rule.mount + rule.path,
        "rate": int(rule.rate) if rule.rate.is_integer() else rule.rate,
        "role": rule.role,
        "type": RATE_LIMIT,
    }
