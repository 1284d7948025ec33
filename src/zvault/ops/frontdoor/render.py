"""The front door's Caddy configuration, as a value. Pure.

What lives here: one function from settings to Caddy's native JSON, the form in which the running
proxy gives its configuration back, so that what runs can be compared with what was meant.
Invariants: both sites and both server slots are there from the start, so a cut-over needs no
reload (a reload closes keep-alive connections and answers what it holds with 503); no request
header reaches a log; whatever the door holds gets an answer within ``hold_seconds``.
"""

from typing import Any

from zvault.ops.frontdoor.settings import REQUEST_BUFFER_BYTES, FrontDoorSettings, split_address

PLAINTEXT_SITE = "plaintext"
TLS_SITE = "tls"
INNER_SITE = "slot-b"
PROBE_PATH = "/-/frontdoor"
"""The door answers this itself, never a server: it is there and this site is open."""
PROBE_BODY = '{"frontdoor":"open"}'
REFUSAL_BODY = '{"errors":["plaintext is refused here: use https"]}'
ADMIN_SOCKET = "admin.sock"
_INNER_SOCKET = "slot-b.sock"

_JSON_HEADER = {"Content-Type": ["application/json"], "Cache-Control": ["no-store"]}


def render(settings: FrontDoorSettings) -> dict[str, Any]:
    """Caddy's JSON configuration. ``settings`` are taken as checked."""
    flag = {"root": str(settings.run_dir), "try_files": [settings.flag_file.name]}
    plaintext_routes = [
        {"match": [{"path": [PROBE_PATH], "file": flag}], "handle": [_answer(200, PROBE_BODY)]},
        {"match": [{"file": flag}], "handle": [_proxy(settings)]},
        {"handle": [_answer(403, REFUSAL_BODY) | {"close": True}]},
    ]
    tls_routes = [
        {"match": [{"path": [PROBE_PATH]}], "handle": [_answer(200, PROBE_BODY)]},
        {"handle": [_proxy(settings)]},
    ]
    tls_site = _site(settings, settings.tls_listen, tls_routes, ["h1", "h2"])
    tls_site["tls_connection_policies"] = [{}]
    return {
        "admin": {"listen": f"unix/{ADMIN_SOCKET}|0600", "config": {"persist": False}},
        "logging": {"logs": {"default": _log()}},
        "apps": {
            "http": {
                "grace_period": "10s",
                "metrics": {},
                "servers": {
                    PLAINTEXT_SITE: _site(
                        settings, settings.plaintext_listen, plaintext_routes, ["h1"]
                    ),
                    TLS_SITE: tls_site,
                    INNER_SITE: _tls_slot(settings),
                },
            },
            "tls": {
                "certificates": {
                    "load_files": [
                        {
                            "certificate": str(settings.certificate_file),
                            "key": str(settings.key_file),
                        }
                    ]
                }
            },
        },
    }


def _site(
    settings: FrontDoorSettings, listen: str, routes: list[dict[str, Any]], protocols: list[str]
) -> dict[str, Any]:
    return {
        "listen": [listen],
        "protocols": protocols,
        "automatic_https": {"disable": True},
        "routes": routes,
        "errors": {"routes": _error_routes(settings)},
    }


def _error_routes(settings: FrontDoorSettings) -> list[dict[str, Any]]:
    """No server in time is 503 and "try again"; any other failure keeps its status."""
    held = f"no unsealed server answered within {settings.hold_seconds} s"
    return [
        {
            "match": [{"expression": "{http.error.status_code} in [502, 503, 504]"}],
            "handle": [_answer(503, _errors(held), {"Retry-After": ["5"]})],
            "terminal": True,
        },
        {"handle": [_answer("{http.error.status_code}", _errors("{http.error.status_text}"))]},
    ]


def _proxy(settings: FrontDoorSettings) -> dict[str, Any]:
    """The first unsealed server gets the request; while there is none, the request waits.

    A request is sent again when the connection broke before an answer came, and when the answer
    was 503 (sealed: not carried out). The first kind may be carried out twice: docs/frontdoor.md.
    """
    return {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": settings.plain_upstream}, {"dial": f"unix/{_INNER_SOCKET}"}],
        "transport": _transport(),
        "load_balancing": {
            "selection_policy": {"policy": "first"},
            "try_duration": f"{settings.hold_seconds}s",
            "try_interval": "50ms",
            "retry_match": [
                {"path": ["/*"]},
                {"expression": "{http.reverse_proxy.status_code} == 503"},
            ],
        },
        "health_checks": {
            "active": {
                "uri": "/v1/sys/health",
                "interval": f"{settings.health_interval_ms}ms",
                "timeout": "1s",
                "expect_status": 200,
            }
        },
        "request_buffers": REQUEST_BUFFER_BYTES,
    }


def _tls_slot(settings: FrontDoorSettings) -> dict[str, Any]:
    """A site on a private socket that only adds TLS, for slot B.

    Why: a proxy handler with an http and an https upstream keeps the scheme of a request's first
    try for the later ones, so a held request would reach the TLS server in plaintext.
    When slot B fails the connection is cut, so that the public site tries again elsewhere; an
    error page would pass for the server's answer.
    """
    host, _ = split_address(settings.tls_upstream)
    tls = {
        "ca": {"provider": "file", "pem_files": [str(settings.ca_file)]},
        "server_name": settings.tls_server_name or host,
    }
    proxy = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": settings.tls_upstream}],
        "transport": _transport() | {"tls": tls},
    }
    return {
        "listen": [f"unix/{_INNER_SOCKET}|0600"],
        "protocols": ["h1"],
        "automatic_https": {"disable": True},
        "trusted_proxies_unix": True,
        "routes": [{"handle": [proxy]}],
        "errors": {"routes": [{"handle": [{"handler": "static_response", "abort": True}]}]},
    }


def _transport() -> dict[str, Any]:
    return {"protocol": "http", "dial_timeout": "1s", "versions": ["1.1"]}


def _log() -> dict[str, Any]:
    """Warnings and the door's own life, without requests: their headers carry tokens."""
    return {
        "writer": {"output": "stderr"},
        "level": "INFO",
        "encoder": {
            "format": "filter",
            "wrap": {"format": "json"},
            "fields": {
                "request>headers": {"filter": "delete"},
                "request>uri": {"filter": "delete"},
            },
        },
        "exclude": ["http.log.access", "http.handlers.reverse_proxy.health_checker.active"],
    }


def _answer(
    status: int | str, body: str, headers: dict[str, list[str]] | None = None
) -> dict[str, Any]:
    return {
        "handler": "static_response",
        "status_code": status,
        "headers": _JSON_HEADER | (headers or {}),
        "body": body,
    }


def _errors(text: str) -> str:
    return f'{{"errors":["{text}"]}}'
