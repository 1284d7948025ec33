"""What ``sys/mounts`` and ``sys/auth`` tell about a mount, and what they take.

What lives here: the JSON of a mount and of its tuning, and the fields of both. Pure.
Source: ``docs/api/sys.md``.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from zvault.base.gotime import SECOND_NS
from zvault.engine.backends.fields import invalid_duration, lifetime_ns
from zvault.engine.backends.system.locked_users import lockout_shown
from zvault.engine.errors import InvalidRequestError
from zvault.engine.mounts.plugins import running_version
from zvault.records.mounts import AUTH, MountConfig, MountEntry

TOKEN_TYPES = {"default-service": 3, "default-batch": 4, "service": 1, "batch": 2}
_TOKEN_TYPE_NAMES = {0: "default-service", **{number: name for name, number in TOKEN_TYPES.items()}}
_BUILTIN = frozenset({"system", "identity", "cubbyhole", "token"})
_TTLS = ("default_lease_ttl", "max_lease_ttl")
_HEADER_LISTS = ("passthrough_request_headers", "allowed_response_headers")
_AUDIT_LISTS = ("audit_non_hmac_request_keys", "audit_non_hmac_response_keys")


def mount_info(entry: MountEntry, version: str) -> dict[str, Any]:
    """One mount as ``sys/mounts`` shows it. ``version``: of plugins built into the server."""
    info: dict[str, Any] = {
        "accessor": entry.accessor,
        "config": _config(entry),
        "description": entry.description,
        "external_entropy_access": entry.external_entropy_access,
        "local": entry.local,
        "options": None if entry.type in _BUILTIN else dict(entry.options or {}),
        "plugin_version": str(entry.extra.get("plugin_version", "")),
        "running_plugin_version": running_version(entry, version),
        "running_sha256": str(entry.extra.get("running_sha256", "")),
        "seal_wrap": entry.seal_wrap,
        "type": entry.type,
        "uuid": entry.uuid,
    }
    if entry.type not in _BUILTIN:
        info["deprecation_status"] = "supported"
    return info


def _config(entry: MountEntry) -> dict[str, Any]:
    config = entry.config
    result: dict[str, Any] = {
        "default_lease_ttl": config.default_lease_ttl_ns // SECOND_NS,
        "force_no_cache": config.force_no_cache,
        "max_lease_ttl": config.max_lease_ttl_ns // SECOND_NS,
    }
    result |= _optional(config)
    if entry.table == AUTH:
        result["token_type"] = _TOKEN_TYPE_NAMES.get(config.token_type, "default-service")
    lockout = lockout_shown(config)
    if lockout:
        result["user_lockout_config"] = lockout
    return result


def _optional(config: MountConfig) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name in (*_AUDIT_LISTS, *_HEADER_LISTS):
        values = getattr(config, name)
        if values:
            result[name] = list(values)
    if config.listing_visibility:
        result["listing_visibility"] = config.listing_visibility
    return result


def tuning(entry: MountEntry, default_ttl_ns: int, max_ttl_ns: int) -> dict[str, Any]:
    """What ``…/tune`` shows: the limits that are in effect."""
    result: dict[str, Any] = {
        "default_lease_ttl": default_ttl_ns // SECOND_NS,
        "description": entry.description,
        "force_no_cache": entry.config.force_no_cache,
        "max_lease_ttl": max_ttl_ns // SECOND_NS,
    }
    result |= _optional(entry.config)
    if entry.options:
        result["options"] = dict(entry.options)
    if entry.table == AUTH:
        result["token_type"] = _TOKEN_TYPE_NAMES.get(entry.config.token_type, "default-service")
    return result | lockout_shown(entry.config)


def new_config(given: Mapping[str, Any], table: str, system_max_ns: int) -> MountConfig:
    """The configuration that a new mount asks for. Raises InvalidRequestError."""
    before = MountConfig(token_type=TOKEN_TYPES["default-service"] if table == AUTH else 0)
    for name in _TTLS:
        if given.get(name) is not None:
            try:
                _ttl(name, given[name])
            except InvalidRequestError as error:
                start = f"unable to parse {name.split('_')[0]} TTL of {str(given[name])[:32]}: "
                raise InvalidRequestError(start + error.message) from None
    wanted = {name: _ttl(name, given.get(name, 0) or 0) for name in _TTLS}
    if wanted["max_lease_ttl"] and wanted["default_lease_ttl"] > wanted["max_lease_ttl"]:
        raise InvalidRequestError("given default lease TTL greater than given max lease TTL")
    return changed_config(before, given, table, system_max_ns)


def changed_config(
    config: MountConfig, given: Mapping[str, Any], table: str, system_max_ns: int
) -> MountConfig:
    """``config`` with every setting in ``given``. Raises InvalidRequestError."""
    changes: dict[str, Any] = {}
    for name in _TTLS:
        if given.get(name) is not None:
            changes[f"{name}_ns"] = _ttl(name, given[name])
    for name in (*_AUDIT_LISTS, *_HEADER_LISTS):
        if given.get(name) is not None:
            changes[name] = _words(name, given[name])
    if given.get("listing_visibility") is not None:
        visibility = given["listing_visibility"]
        if visibility not in ("", "hidden", "unauth"):
            raise InvalidRequestError(f"invalid listing_visibility {visibility}")
        changes["listing_visibility"] = visibility
    if given.get("force_no_cache") is not None:
        changes["force_no_cache"] = bool(given["force_no_cache"])
    if given.get("token_type") is not None:
        changes["token_type"] = _token_type(given["token_type"], table)
    result = replace(config, **changes)
    _check_ttls(result, system_max_ns)
    return result


def _check_ttls(config: MountConfig, system_max_ns: int) -> None:
    default, longest = config.default_lease_ttl_ns, config.max_lease_ttl_ns
    if longest and default > longest:
        raise InvalidRequestError(
            f"backend max lease TTL of {longest // SECOND_NS} would be less than backend default "
            f"lease TTL of {default // SECOND_NS}"
        )
    if not longest and default > system_max_ns:
        raise InvalidRequestError(
            f"given default lease TTL greater than system max lease TTL of "
            f"{system_max_ns // SECOND_NS}"
        )


def _ttl(name: str, value: Any) -> int:
    """A negative one is refused: it would live as an ordinary number in a store handed over."""
    if value in ("system", ""):
        return 0
    try:
        result = lifetime_ns(value)
    except ValueError:
        raise InvalidRequestError(invalid_duration(value)) from None
    if result < 0:
        raise InvalidRequestError(f"{name} cannot be negative")
    return result


def _words(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [word.strip() for word in value.split(",")]
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise InvalidRequestError(f"{name} must be a list of strings")
    return tuple(word for word in value if word)


def _token_type(value: Any, table: str) -> int:
    if table != AUTH:
        raise InvalidRequestError("'token_type' can only be modified on auth mounts")
    if value not in TOKEN_TYPES:
        raise InvalidRequestError("invalid value for 'token_type'")
    return TOKEN_TYPES[value]
