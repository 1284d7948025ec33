"""A stage and a site's values become Vault's configuration text.

What lives here: HCL 1 that HashiCorp Vault, OpenBao (file storage) and the embedded engine all
accept. What never does: reading or writing files; credentials (S3 keys come from the file that
``AWS_SHARED_CREDENTIALS_FILE`` names in the server's environment).
Invariant: equal input gives equal bytes, so a hash of the file tells whether it is the one that
zvault made; paths are rendered as given, so relative ones make the file the same on every machine.
Source of keys and shapes: docs/formats/server-config.md.
"""

from dataclasses import dataclass

from zvault.base.errors import UsageError
from zvault.ops.stages.model import Stage, StorageKind


class UnrenderableError(UsageError):
    """A value cannot be written into a configuration file, or one is missing."""

    code = "unrenderable-config"


@dataclass(frozen=True, slots=True)
class FilePlace:
    """File storage below ``path``."""

    path: str


@dataclass(frozen=True, slots=True)
class S3Place:
    """S3 storage: ``path`` is the prefix inside the bucket; an empty endpoint means AWS itself."""

    bucket: str
    path: str
    endpoint: str
    region: str


@dataclass(frozen=True, slots=True)
class ServerValues:
    """What a configuration needs besides the stage; paths as the server will resolve them."""

    address: str
    storage: FilePlace | S3Place
    tls_cert_file: str
    tls_key_file: str
    cluster_name: str
    default_lease_ttl: str
    max_lease_ttl: str


def render_server_config(stage: Stage, values: ServerValues) -> str:
    """The configuration file of ``stage``. Raises UnrenderableError."""
    blocks = [
        f"# Stage {stage.number} ({stage.name}). Written by zvault; edits are replaced.",
        _block("storage", stage.storage.value, _storage(stage, values.storage)),
        _block("listener", "tcp", _listener(stage, values)),
        _block("telemetry", None, {"prometheus_retention_time": "24h", "disable_hostname": True}),
        _pairs(
            {
                "api_addr": f"{stage.scheme}://{values.address}",
                "cluster_name": values.cluster_name,
                "default_lease_ttl": values.default_lease_ttl,
                "max_lease_ttl": values.max_lease_ttl,
                "ui": stage.ui,
                "disable_mlock": stage.disable_mlock,
            }
        ),
    ]
    return "\n\n".join(blocks) + "\n"


def _storage(stage: Stage, place: FilePlace | S3Place) -> dict[str, str | bool]:
    if isinstance(place, FilePlace):
        if stage.storage is not StorageKind.FILE:
            raise UnrenderableError(f"stage {stage.number} keeps its entries in S3")
        return {"path": place.path}
    if stage.storage is not StorageKind.S3:
        raise UnrenderableError(f"stage {stage.number} keeps its entries in files")
    body: dict[str, str | bool] = {"bucket": place.bucket}
    if place.path:
        body["path"] = place.path
    if place.endpoint:
        body["endpoint"] = place.endpoint
        # Every S3-compatible server answers path style; virtual hosts need DNS of their own.
        body["s3_force_path_style"] = "true"
    if place.region:
        body["region"] = place.region
    if place.endpoint.startswith("http://"):
        body["disable_ssl"] = "true"
    return body


def _listener(stage: Stage, values: ServerValues) -> dict[str, str | bool]:
    if not stage.tls:
        return {"address": values.address, "tls_disable": True}
    if not (values.tls_cert_file and values.tls_key_file):
        raise UnrenderableError(f"stage {stage.number} needs a TLS certificate and its key")
    return {
        "address": values.address,
        "tls_disable": False,
        "tls_cert_file": values.tls_cert_file,
        "tls_key_file": values.tls_key_file,
        "tls_min_version": "tls12",
    }


def _block(kind: str, label: str | None, body: dict[str, str | bool]) -> str:
    head = kind if label is None else f"{kind} {_quote(label)}"
    return head + " {\n" + _pairs(body, indent="  ") + "\n}"


def _pairs(body: dict[str, str | bool], indent: str = "") -> str:
    width = max(len(name) for name in body)
    return "\n".join(f"{indent}{name:<{width}} = {_value(value)}" for name, value in body.items())


def _value(value: str | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _quote(value)


def _quote(text: str) -> str:
    # "${" opens an interpolation in HCL 1; no path or address needs it, so it is refused.
    if "${" in text or any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise UnrenderableError(f"{text!r} cannot stand in a configuration file")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
