"""What a KV version 2 request says: its fields, read and checked.

What lives here: functions from request data to values and to changed messages. What never does:
storage.
Invariant: an error names the field, never its value (data are secrets).
"""

from typing import Any

from zvault.base.gotime import SECOND_NS
from zvault.engine.backends.fields import FieldKind, coerce
from zvault.engine.backends.framework import Field, FieldData
from zvault.engine.backends.kv.rules import cas_number, check_custom_metadata
from zvault.engine.errors import InvalidRequestError
from zvault.records.kv2 import Configuration, KeyMetadata, make_duration, make_timestamp

_UINT32 = 0xFFFFFFFF
MAX_VERSION = 2**63 - 1
_VERSION = {"version": Field(FieldKind.INT, 0)}
_VERSIONS = {"versions": Field(FieldKind.COMMA_INTS, [])}
_MAP = Field(FieldKind.MAP, {})
_LIMITS = {
    "max_versions": Field(FieldKind.INT, 0),
    "cas_required": Field(FieldKind.BOOL, False),
}
_CONFIG = {**_LIMITS, "delete_version_after": Field(FieldKind.SIGNED_DURATION, 0)}
_METADATA = {
    **_LIMITS,
    "delete_version_after": Field(FieldKind.DURATION, 0),
    "metadata_cas": Field(FieldKind.INT, 0),
    "custom_metadata": _MAP,
}
_SECTIONS = {
    "data": {**_VERSION, "data": _MAP, "options": _MAP},
    "metadata": _METADATA,
    "subkeys": {**_VERSION, "depth": Field(FieldKind.INT, 0)},
    "delete": _VERSIONS,
    "undelete": _VERSIONS,
    "destroy": _VERSIONS,
}


def check_fields(section: str, data: dict[str, Any]) -> None:
    """Raises BadFieldError for a value that a path which begins with ``section`` does not take."""
    FieldData(_SECTIONS[section], data)


def version_of(data: dict[str, Any]) -> int:
    """The version asked for; 0 = the current one (also for what is below)."""
    return min(max(int(FieldData(_VERSION, data)["version"]), 0), MAX_VERSION)


def depth_of(data: dict[str, Any]) -> int:
    """How deep ``subkeys`` goes; 0 = all the way."""
    return int(FieldData(_SECTIONS["subkeys"], data)["depth"])


def versions_of(data: dict[str, Any]) -> list[int]:
    """The version numbers of delete, undelete and destroy. Raises InvalidRequestError.

    Numbers that no version can have are left out, as versions that do not exist are.
    """
    numbers: list[int] = FieldData(_VERSIONS, data)["versions"]
    if not numbers:
        raise InvalidRequestError("No version number provided")
    return [number for number in numbers if 0 < number <= MAX_VERSION]


def write_of(data: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The options of a write (absent and null are empty) and the secret itself, null included.

    Raises BadFieldError, InvalidRequestError.
    """
    fields = FieldData(_SECTIONS["data"], data)
    if "data" not in data:
        raise InvalidRequestError("no data provided")
    return fields["options"], None if data["data"] is None else fields["data"]


def apply_config(config: Configuration, data: dict[str, Any]) -> Configuration | None:
    """The settings with what ``data`` changes; None when it changes nothing."""
    fields = FieldData(_CONFIG, data)
    changed = Configuration()
    changed.CopyFrom(config)
    if "max_versions" in fields:
        changed.max_versions = fields["max_versions"] & _UINT32
    if "cas_required" in fields:
        changed.cas_required = fields["cas_required"]
    if "delete_version_after" in fields:
        delay: int = fields["delete_version_after"]
        changed.ClearField("delete_version_after")
        if delay:
            changed.delete_version_after.CopyFrom(make_duration(max(delay, -SECOND_NS)))
    present = ("max_versions", "cas_required", "delete_version_after")
    return changed if any(name in fields for name in present) else None


def apply_metadata(
    meta: KeyMetadata,
    config: Configuration,
    data: dict[str, Any],
    now_ns: int,
    is_openbao: bool,
) -> bool:
    """Change ``meta`` as a metadata write says; False when no field is one of ours."""
    fields = FieldData(_METADATA, data)
    custom = _custom(fields["custom_metadata"]) if "custom_metadata" in fields else None
    if custom is not None:
        check_custom_metadata(custom)
    present = [n for n in ("max_versions", "cas_required", "delete_version_after") if n in fields]
    if not present and custom is None:
        return False
    _check_metadata_cas(meta, config, data)
    for name in present:
        _set(meta, name, fields[name])
    if custom is not None:
        meta.custom_metadata.clear()
        meta.custom_metadata.update(custom)
    if not meta.HasField("created_time"):
        meta.created_time.CopyFrom(make_timestamp(now_ns))
        meta.updated_time.CopyFrom(meta.created_time)
    _count(meta, is_openbao)
    return True


def says_metadata(data: dict[str, Any]) -> bool:
    """Whether ``data`` has a field of a metadata write."""
    return any(name in data for name in _METADATA)


def merge_metadata(
    meta: KeyMetadata, config: Configuration, data: dict[str, Any], is_openbao: bool
) -> bool:
    """Change ``meta`` as a merge patch says; null puts a field back to its default."""
    names = ("max_versions", "cas_required", "delete_version_after")
    fields = FieldData(_METADATA, data)
    values = {name: fields[name] for name in names if name in data}
    if values.get("max_versions", 0) < 0:
        raise InvalidRequestError("max_versions cannot be negative")
    if not values and "custom_metadata" not in data:
        return False
    _check_metadata_cas(meta, config, data)
    for name, value in values.items():
        _set(meta, name, value)
    if "custom_metadata" in data:
        custom = dict(meta.custom_metadata)
        patch = data["custom_metadata"]
        merged = {} if patch is None else _merged(custom, fields["custom_metadata"])
        check_custom_metadata(merged)
        meta.custom_metadata.clear()
        meta.custom_metadata.update(merged)
    _count(meta, is_openbao)
    return True


def _set(meta: KeyMetadata, name: str, value: Any) -> None:
    if name == "max_versions":
        meta.max_versions = value & _UINT32
    elif name == "cas_required":
        meta.cas_required = value
    else:
        meta.ClearField("delete_version_after")
        if value:
            meta.delete_version_after.CopyFrom(make_duration(value))


def _custom(given: dict[str, Any]) -> dict[str, str]:
    """Custom metadata of a write: values become strings as Vault's weak decoding has it."""
    return {key: "" if item is None else _custom_text(item) for key, item in given.items()}


def _merged(custom: dict[str, str], patch: dict[str, Any]) -> dict[str, str]:
    for key, item in patch.items():
        if item is None:
            custom.pop(key, None)
        elif isinstance(item, str):
            custom[key] = item
        else:
            raise InvalidRequestError("custom_metadata validation failed: expected strings")
    return custom


def _custom_text(value: Any) -> str:
    try:
        return str(coerce(FieldKind.STRING, value))
    except (ValueError, TypeError):
        raise InvalidRequestError("custom_metadata validation failed: expected strings") from None


def _check_metadata_cas(meta: KeyMetadata, config: Configuration, data: dict[str, Any]) -> None:
    """OpenBao's check-and-set on metadata; mounts of Vault never require it."""
    given = data.get("metadata_cas")
    if given is None:
        if config.metadata_cas_required or meta.metadata_cas_required:
            raise InvalidRequestError("metadata check-and-set parameter required for this call")
    elif cas_number(given) != meta.current_metadata_version:
        raise InvalidRequestError(
            "metadata check-and-set parameter did not match the current version"
        )


def _count(meta: KeyMetadata, is_openbao: bool) -> None:
    if is_openbao:
        meta.current_metadata_version += 1
