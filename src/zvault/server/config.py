"""A server configuration in Vault's words: HCL 1 or JSON text to values.

What lives here: which fields there are, their defaults, what is refused. Pure. What never does:
reading files (``config_files.py``), opening anything.
Invariants: an unknown field is a warning, as in Vault; a field that would change who gets in or
where data goes, and that this server cannot honour, is an error, never ignored.
Source: ``vault-api.md`` 11.3; docs/formats/server-config.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zvault.base.secret import Secret
from zvault.engine.audit.declared import DeclaredDevice
from zvault.hcl.parser import parse
from zvault.hcl.values import Item, Object, Stanza
from zvault.server.config_audit import read_audit
from zvault.server.config_fields import ConfigError, Fields, refuse
from zvault.server.config_listener import read_listener
from zvault.server.logs import LEVELS
from zvault.server.settings import (
    DEFAULT_DRAIN_SECONDS,
    DEFAULT_LEASE_NS,
    FileSettings,
    InmemSettings,
    ListenerSettings,
    LogSettings,
    S3Settings,
    StorageSettings,
)

DRAIN_FIELD = "zvault_shutdown_drain"
_WITHOUT_EFFECT = (
    "administrative_namespace_path",
    "cache_size",
    "cluster_addr",
    "default_max_request_duration",
    "disable_clustering",
    "disable_mlock",
    "disable_performance_standby",
    "disable_sealwrap",
    "enable_response_header_hostname",
    "enable_response_header_raft_node_id",
    "enable_ui",
    "experiments",
    "license_path",
    "log_rotate_bytes",
    "log_rotate_duration",
    "log_rotate_max_files",
    "plugin_directory",
    "user_lockout",
)
_NOT_OFFERED = {
    "entropy": "no entropy augmentation",
    "introspection_endpoint": "no introspection endpoint",
    "sentinel": "no Sentinel",
    "service_registration": "no service registration",
    "ui": "no web interface",
}
_REFUSED = ("ha_storage", "ha_backend", "hsm", "kms_library")


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """All of it."""

    storage: StorageSettings
    listeners: Sequence[ListenerSettings]
    default_lease_ttl_ns: int = DEFAULT_LEASE_NS
    max_lease_ttl_ns: int = DEFAULT_LEASE_NS
    api_addr: str = ""
    cluster_name: str = ""
    disable_cache: bool = False
    audit: Sequence[DeclaredDevice] = ()
    """Audit devices that are there from the first unseal on."""
    raw_storage: bool = False
    """Serve ``sys/raw`` to whom the policies let."""
    prometheus: bool = False
    """A ``telemetry`` stanza with a retention that is not zero."""
    log: LogSettings = field(default_factory=LogSettings)
    pid_file: Path | None = None
    drain_seconds: float = DEFAULT_DRAIN_SECONDS
    """After SIGTERM: how long health says 503 while requests are still served."""
    warnings: Sequence[str] = ()
    """What was not understood, or is understood and not offered."""

    @classmethod
    def parse(cls, text: str) -> "ServerConfig":
        """One file's text. Raises HclError (no HCL or JSON) and ConfigError (no configuration)."""
        return read_config(parse(text))

    @property
    def holds_secrets(self) -> bool:
        """Whether the text itself has credentials in it, so that its file must be private."""
        return isinstance(self.storage, S3Settings) and self.storage.secret_key is not None


def read_config(document: Object) -> ServerConfig:
    """A parsed document, or several joined. Raises ConfigError, HclError."""
    fields = Fields(document)
    warnings: list[str] = []
    storage = _read_storage(document, warnings)
    fields.know("storage", "backend", "listener", "seal", "audit", *_WITHOUT_EFFECT)
    _check_seal(document)
    for name in _REFUSED:
        item = fields.item(name)
        if item is not None:
            raise refuse(item, "is not offered by this server")
    for name, words in _NOT_OFFERED.items():
        if fields.item(name) is not None and _is_set(fields, name):
            warnings.append(f"{name}: this server has {words}")
    listeners = [read_listener(stanza, warnings) for stanza in document.stanzas("listener")]
    if not listeners:
        raise ConfigError(
            "no listener is configured", hint='add listener "tcp" { address = "127.0.0.1:8200" }'
        )
    config = ServerConfig(
        storage=storage,
        listeners=tuple(listeners),
        default_lease_ttl_ns=_lease_ttl(fields, "default_lease_ttl"),
        max_lease_ttl_ns=_lease_ttl(fields, "max_lease_ttl"),
        api_addr=fields.text("api_addr"),
        cluster_name=fields.text("cluster_name"),
        disable_cache=fields.boolean("disable_cache"),
        raw_storage=fields.boolean("raw_storage_endpoint"),
        audit=read_audit(document),
        prometheus=_read_prometheus(fields, warnings),
        log=_read_log(fields),
        pid_file=_optional_path(fields, "pid_file"),
        drain_seconds=fields.seconds(DRAIN_FIELD, DEFAULT_DRAIN_SECONDS),
        warnings=warnings,
    )
    if config.default_lease_ttl_ns > config.max_lease_ttl_ns:
        item = fields.item("default_lease_ttl") or fields.item("max_lease_ttl")
        assert item is not None
        raise refuse(item, "makes the default lease TTL greater than the maximum")
    warnings += [unknown_field(item) for item in fields.unknown()]
    return config


def unknown_field(item: Item) -> str:
    """Vault's warning."""
    place = f" at line {item.line}" if item.line else ""
    return f"unknown or unsupported field {item.key} found in configuration{place}"


def _is_set(fields: Fields, name: str) -> bool:
    item = fields.item(name)
    return item is not None and (isinstance(item.value, Object) or fields.boolean(name))


def _lease_ttl(fields: Fields, name: str) -> int:
    return fields.duration_ns(name, DEFAULT_LEASE_NS) or DEFAULT_LEASE_NS


def _optional_path(fields: Fields, name: str) -> Path | None:
    text = fields.text(name)
    return Path(text) if text else None


def _check_seal(document: Object) -> None:
    for stanza in document.stanzas("seal"):
        if stanza.label != "shamir" and not Fields(stanza.body).boolean("disabled"):
            raise refuse(stanza.item, f'"{stanza.label}" is not offered: this server has shamir')


def _read_storage(document: Object, warnings: list[str]) -> StorageSettings:
    stanzas = document.stanzas("storage") or document.stanzas("backend")
    if not stanzas:
        raise ConfigError(
            "a storage backend must be specified", hint='add storage "file" { path = "…" }'
        )
    if len(stanzas) > 1:
        raise refuse(stanzas[1].item, "is there twice; only one storage backend is allowed")
    stanza = stanzas[0]
    readers = {"inmem": _read_inmem, "file": _read_file, "s3": _read_s3}
    reader = readers.get(stanza.label)
    if reader is None:
        raise refuse(stanza.item, f"unknown storage type {stanza.label}")
    fields = Fields(stanza.body)
    settings = reader(stanza, fields)
    warnings += [unknown_field(item) for item in fields.unknown()]
    if isinstance(settings, FileSettings) and not settings.fsync:
        warnings.append("zvault_unsafe_no_fsync: a power cut takes acknowledged writes, or all")
    return settings


def _required(stanza: Stanza, fields: Fields, name: str) -> str:
    text = fields.text(name)
    if not text:
        raise refuse(stanza.item, f'"{stanza.label}" needs {name}')
    return text


def _read_inmem(stanza: Stanza, fields: Fields) -> StorageSettings:
    return InmemSettings()


def _read_file(stanza: Stanza, fields: Fields) -> StorageSettings:
    path = Path(_required(stanza, fields, "path"))
    return FileSettings(path, fsync=not fields.boolean("zvault_unsafe_no_fsync"))


def _read_s3(stanza: Stanza, fields: Fields) -> StorageSettings:
    kms = fields.item("kms_key_id")
    if kms is not None and fields.text("kms_key_id"):
        raise refuse(kms, "is not offered: objects are stored as they are")
    fields.know("max_parallel")
    settings = S3Settings(
        bucket=_required(stanza, fields, "bucket"),
        path=fields.text("path"),
        endpoint=fields.text("endpoint"),
        region=fields.text("region"),
        access_key=_secret(fields, "access_key"),
        secret_key=_secret(fields, "secret_key"),
        session_token=_secret(fields, "session_token"),
        force_path_style=fields.boolean("s3_force_path_style"),
        disable_ssl=fields.boolean("disable_ssl"),
    )
    if (settings.access_key is None) != (settings.secret_key is None):
        raise refuse(stanza.item, "has one of access_key and secret_key without the other")
    return settings


def _secret(fields: Fields, name: str) -> Secret | None:
    text = fields.text(name)
    return Secret(text) if text else None


def _read_prometheus(fields: Fields, warnings: list[str]) -> bool:
    """Whether Prometheus text is offered: a telemetry stanza whose retention is not zero."""
    offered = False
    for telemetry in fields.blocks("telemetry"):
        offered = telemetry.duration_ns("prometheus_retention_time", 1) > 0
        telemetry.know(
            "add_lease_metrics_namespace_labels",
            "disable_hostname",
            "enable_hostname_label",
            "filter_default",
            "lease_metrics_epsilon",
            "maximum_gauge_cardinality",
            "num_lease_metrics_buckets",
            "prefix_filter",
            "usage_gauge_period",
        )
        warnings += [unknown_field(item) for item in telemetry.unknown()]
    return offered


def _read_log(fields: Fields) -> LogSettings:
    levels = list(LEVELS)
    return LogSettings(
        level=fields.choice("log_level", "info", levels) or "info",
        json=fields.choice("log_format", "standard", ["standard", "json"]) == "json",
        file=_optional_path(fields, "log_file"),
        requests_level=fields.choice("log_requests_level", "off", ["off", *levels]),
    )
