"""Rate-limit quotas as stored below ``sys/quotas/``. Pure.

What lives here: the stored form. What never does: counting. Source: what OpenBao 2.6.2 stores.
"""

from dataclasses import dataclass, field
from typing import Any

from zvault.base.gotime import SECOND_NS
from zvault.records import gojson
from zvault.records.errors import RecordError

PREFIX = "sys/quotas/"
RATE_LIMIT = "rate-limit"
CONFIG = "config"
DEFAULTS_WRITTEN = "default_rate_limit_exempt_paths_toggle"
DEFAULT_EXEMPT_PATHS = (
    "sys/generate-recovery-token/attempt",
    "sys/generate-recovery-token/update",
    "sys/generate-root/attempt",
    "sys/generate-root/update",
    "sys/health",
    "sys/seal-status",
    "sys/unseal",
)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """One rule. ``mount`` "" stands for the whole server; durations are nanoseconds."""

    name: str
    id: str = ""
    mount: str = ""
    """With trailing ``/``: ``secret/``, ``auth/approle/``."""
    path: str = ""
    """Below the mount; a trailing ``*`` makes it a prefix."""
    role: str = ""
    rate: float = 0.0
    interval_ns: int = SECOND_NS
    block_interval_ns: int = 0
    inheritable: bool = False
    namespace: str = ""
    """As stored: "" or ``root``; any other is a namespace of OpenBao, and no rule of ours."""
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QuotaConfig:
    """What holds for all rules."""

    audit_refusals: bool = False
    response_headers: bool = False
    exempt_paths: tuple[str, ...] = DEFAULT_EXEMPT_PATHS
    extra: dict[str, Any] = field(default_factory=dict)


def encode_rate_limit(rule: RateLimit) -> bytes:
    """JSON with line feed."""
    return gojson.dumps(
        {
            "id": rule.id,
            "type": RATE_LIMIT,
            "name": rule.name,
            "namespace_path": rule.namespace,
            "mount_path": rule.mount,
            "role": rule.role,
            "path_suffix": rule.path,
            "rate": _plain_number(rule.rate),
            "interval": rule.interval_ns,
            "block_interval": rule.block_interval_ns,
            "inheritable": rule.inheritable,
            **rule.extra,
        },
        sort_keys=False,
        newline=True,
    )


def decode_rate_limit(data: bytes) -> RateLimit:
    """Raises RecordError."""
    body = gojson.loads_object(data)
    rate = body.pop("rate", 0)
    if isinstance(rate, bool) or not isinstance(rate, int | float):
        raise RecordError("the quota's rate is no number")
    rule = RateLimit(
        name=_text(body, "name"),
        id=_text(body, "id"),
        mount=_text(body, "mount_path"),
        path=_text(body, "path_suffix"),
        role=_text(body, "role"),
        rate=float(rate),
        interval_ns=_number(body, "interval"),
        block_interval_ns=_number(body, "block_interval"),
        inheritable=bool(body.pop("inheritable", False)),
        namespace=_text(body, "namespace_path"),
        extra={key: value for key, value in body.items() if key != "type"},
    )
    if rule.rate <= 0 or rule.interval_ns <= 0 or not rule.name:
        raise RecordError("the quota has no name, no rate or no interval")
    return rule


def encode_config(config: QuotaConfig) -> bytes:
    """JSON with line feed."""
    return gojson.dumps(
        {
            "enable_rate_limit_audit_logging": config.audit_refusals,
            "enable_rate_limit_response_headers": config.response_headers,
            "rate_limit_exempt_paths": list(config.exempt_paths),
            **config.extra,
        },
        sort_keys=False,
        newline=True,
    )


def decode_config(data: bytes) -> QuotaConfig:
    """Raises RecordError."""
    body = gojson.loads_object(data)
    paths = body.pop("rate_limit_exempt_paths", None) or []
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise RecordError("the exempt paths of the quotas are no list of texts")
    return QuotaConfig(
        audit_refusals=bool(body.pop("enable_rate_limit_audit_logging", False)),
        response_headers=bool(body.pop("enable_rate_limit_response_headers", False)),
        exempt_paths=tuple(paths),
        extra=body,
    )


def _plain_number(number: float) -> float | int:
    """Go writes 1000, not 1000.0."""
    return int(number) if number.is_integer() else number


def _text(body: dict[str, Any], name: str) -> str:
    value = body.pop(name, "")
    if not isinstance(value, str):
        raise RecordError(f"the quota's {name} is no text")
    return value


def _number(body: dict[str, Any], name: str) -> int:
    value = body.pop(name, 0)
    if isinstance(value, bool) or not isinstance(value, int):
        raise RecordError(f"the quota's {name} is no whole number")
    return value
