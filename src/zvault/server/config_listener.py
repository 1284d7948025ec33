"""The ``listener`` stanza.

What lives here: its fields, their defaults, what is refused. Pure.
Source: ``vault-api.md`` 11.3, 1.6.
"""

from pathlib import Path

from zvault.base.errors import UsageError
from zvault.hcl.values import Object, Stanza
from zvault.server.config_fields import Fields, refuse
from zvault.server.forwarded import ForwardedForPolicy
from zvault.server.listeners import split_address
from zvault.server.protocol import Limits
from zvault.server.settings import DEFAULT_ADDRESS, ListenerSettings, TlsSettings

_WITHOUT_EFFECT = (
    "cluster_address",
    "disable_replication_status_endpoints",
    "inflight_requests_logging",
    "profiling",
    "socket_group",
    "socket_user",
    "tls_disable_client_certs",
    "tls_prefer_server_cipher_suites",
)
_REFUSED = (
    "agent_api",
    "proxy_protocol_authorized_addrs",
    "proxy_protocol_behavior",
    "tls_acme_ca_directory",
    "tls_acme_domains",
    "tls_cipher_suites",
)
_NARROWING = (
    "chroot_namespace",
    "redact_addresses",
    "redact_cluster_name",
    "redact_version",
    "role",
)
"""Refused too, unless they say what is so anyway: a listener never lets in, or tells, more than it
was told to."""
_WIDEST = ("", "false", "0", "default", "root", "/")
_CEREMONIES = {
    "disable_unauthed_rekey_endpoints": ("sys/rekey/", "sys/rekey-recovery-key/"),
    "disable_unauthed_generate_root_endpoints": ("sys/generate-root/",),
}


def read_listener(stanza: Stanza, warnings: list[str]) -> ListenerSettings:
    """One listener. Raises ConfigError."""
    if stanza.label not in ("tcp", "unix"):
        raise refuse(stanza.item, f'"{stanza.label}" is not a listener type')
    fields = Fields(stanza.body)
    fields.know(*_WITHOUT_EFFECT)
    for name in _REFUSED:
        item = fields.item(name)
        if item is not None:
            raise refuse(item, "is not offered by this server")
    for name in _NARROWING:
        item = fields.item(name)
        if item is not None and fields.text(name).lower() not in _WIDEST:
            raise refuse(item, "is not offered by this server")
    settings = ListenerSettings(
        kind=stanza.label,
        address=_read_address(stanza, fields),
        socket_mode=_read_mode(fields),
        tls=_read_tls(stanza, fields),
        limits=_read_limits(fields),
        unauthenticated_metrics=any(
            block.boolean("unauthenticated_metrics_access") for block in fields.blocks("telemetry")
        ),
        require_request_header=fields.boolean("require_request_header"),
        closed_paths=tuple(
            path for name, paths in _CEREMONIES.items() if fields.boolean(name) for path in paths
        ),
        forwarded_for=_read_forwarded_for(fields),
        custom_headers=_read_headers(fields),
    )
    warnings += [
        f"unknown or unsupported field {item.key} found in configuration"
        + (f" at line {item.line}" if item.line else "")
        for item in fields.unknown()
    ]
    return settings


def _read_address(stanza: Stanza, fields: Fields) -> str:
    address = fields.text("address", DEFAULT_ADDRESS if stanza.label == "tcp" else "")
    item = fields.item("address") or stanza.item
    if stanza.label == "unix":
        if not address:
            raise refuse(item, "of a unix listener must be the socket's path")
        return address
    try:
        split_address(address)
    except UsageError:
        raise refuse(item, 'must be "host:port"') from None
    return address


def _read_mode(fields: Fields) -> int:
    item = fields.item("socket_mode")
    text = fields.text("socket_mode", "600")
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if item is not None and not 0 <= mode <= 0o777:
        raise refuse(item, "must be an octal mode such as 600")
    return mode


def _read_tls(stanza: Stanza, fields: Fields) -> TlsSettings | None:
    names = ("tls_cert_file", "tls_key_file", "tls_client_ca_file")
    cert, key, client_ca = (fields.text(name) for name in names)
    versions = {
        name: fields.choice(name, default, ["tls12", "tls13"])
        for name, default in (("tls_min_version", "tls12"), ("tls_max_version", "tls13"))
    }
    require_client = fields.boolean("tls_require_and_verify_client_cert")
    if fields.boolean("tls_disable") or stanza.label == "unix":
        return None
    if not cert or not key:
        raise refuse(stanza.item, "needs tls_cert_file and tls_key_file, or tls_disable = true")
    if require_client and not client_ca:
        raise refuse(stanza.item, "needs tls_client_ca_file to verify client certificates")
    return TlsSettings(
        cert_file=Path(cert),
        key_file=Path(key),
        min_version=versions["tls_min_version"],
        max_version=versions["tls_max_version"],
        client_ca_file=Path(client_ca) if client_ca else None,
        require_client_cert=require_client,
    )


def _read_limits(fields: Fields) -> Limits:
    default = Limits()
    return Limits(
        max_request_bytes=fields.whole_number("max_request_size", default.max_request_bytes)
        or default.max_request_bytes,
        max_request_seconds=fields.seconds("max_request_duration", default.max_request_seconds),
        read_header_seconds=fields.seconds("http_read_header_timeout", default.read_header_seconds),
        read_seconds=fields.seconds("http_read_timeout", default.read_seconds),
        idle_seconds=fields.seconds("http_idle_timeout", default.idle_seconds),
        write_seconds=fields.seconds("http_write_timeout", 0) or default.write_seconds,
    )


def _read_forwarded_for(fields: Fields) -> ForwardedForPolicy:
    return ForwardedForPolicy(
        authorized=tuple(fields.networks("x_forwarded_for_authorized_addrs")),
        hop_skips=fields.whole_number("x_forwarded_for_hop_skips", 0),
        reject_not_present=fields.boolean("x_forwarded_for_reject_not_present", default=True),
        reject_not_authorized=fields.boolean("x_forwarded_for_reject_not_authorized", default=True),
    )


def _read_headers(fields: Fields) -> dict[str, dict[str, str]]:
    """Group (``default``, ``4xx``, ``404``) to header to value; several values join with ``;``."""
    result: dict[str, dict[str, str]] = {}
    item = fields.item("custom_response_headers")
    if item is None:
        return result
    for block in fields.blocks("custom_response_headers"):
        for group in block.unknown():
            if not isinstance(group.value, Object):
                raise refuse(group, "must be a block of headers")
            headers = Fields(group.value)
            for header in group.value.items:
                value = "; ".join(headers.texts(header.key))
                if not _is_header(header.key, value):
                    raise refuse(header, "is no response header that may be set")
                result.setdefault(group.key, {})[header.key] = value
    return result


def _is_header(name: str, value: str) -> bool:
    plain = name.replace("-", "").isalnum() and name.isascii() and value.isascii()
    return plain and value.isprintable() and not name.lower().startswith("x-vault-")
