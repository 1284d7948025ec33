"""``sys/config/cors`` and ``sys/uiconfig`` as stored. Pure. Source: what OpenBao 2.6.2 stores."""

from dataclasses import dataclass, field
from typing import Any

from zvault.records import gojson
from zvault.records.errors import RecordError

CORS_KEY = "sys/config/cors"
UI_KEY = "sys/uiconfig"


@dataclass(frozen=True, slots=True)
class CorsConfig:
    """Which foreign pages a browser may let in."""

    enabled: bool = False
    allowed_origins: tuple[str, ...] = ()
    """``("*",)`` stands for everybody."""
    allowed_headers: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)


def encode_cors(config: CorsConfig) -> bytes:
    """JSON with line feed; Go has an integer for ``enabled``."""
    return gojson.dumps(
        {
            "enabled": int(config.enabled),
            "allowed_origins": list(config.allowed_origins) or None,
            "allowed_headers": list(config.allowed_headers) or None,
            **config.extra,
        },
        sort_keys=False,
        newline=True,
    )


def decode_cors(data: bytes) -> CorsConfig:
    """Raises RecordError."""
    body = gojson.loads_object(data)
    return CorsConfig(
        enabled=body.pop("enabled", 0) in (1, True),
        allowed_origins=_texts(body, "allowed_origins"),
        allowed_headers=_texts(body, "allowed_headers"),
        extra=body,
    )


def encode_ui_headers(headers: dict[str, list[str]]) -> bytes:
    """Header name to values."""
    return gojson.dumps({"headers": headers})


def decode_ui_headers(data: bytes) -> dict[str, list[str]]:
    """Raises RecordError."""
    headers = gojson.loads_object(data).get("headers") or {}
    if not isinstance(headers, dict):
        raise RecordError("the headers of the web interface are no object")
    return {name: list(_texts(dict(headers), name)) for name in headers}


def _texts(body: dict[str, Any], name: str) -> tuple[str, ...]:
    values = body.pop(name, None) or []
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise RecordError(f"{name} is no list of texts")
    return tuple(values)
