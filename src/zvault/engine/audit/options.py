"""The options of an audit device, checked.

What lives here: parsing of the string map that ``sys/audit/<path>`` gets, one class a kind of
device. What never does: opening anything. Source: ``docs/formats/audit.md``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zvault.base.gotime import SECOND_NS, parse_duration
from zvault.engine.errors import InvalidRequestError

_TRUE = {"1", "t", "T", "TRUE", "true", "True"}
_FALSE = {"0", "f", "F", "FALSE", "false", "False"}
STDOUT = "stdout"
DISCARD = "discard"
SOCKET_TYPES = ("tcp", "udp", "unix")
FACILITIES = {
    "KERN": 0,
    "USER": 1,
    "MAIL": 2,
    "DAEMON": 3,
    "AUTH": 4,
    "SYSLOG": 5,
    "LPR": 6,
    "NEWS": 7,
    "UUCP": 8,
    "CRON": 9,
    "AUTHPRIV": 10,
    "FTP": 11,
    **{f"LOCAL{number}": 16 + number for number in range(8)},
}
"""Syslog's names to its numbers (RFC 3164)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordOptions:
    """What a record looks like; the same for every kind of device."""

    log_raw: bool = False
    hmac_accessor: bool = True
    elide_list_responses: bool = False
    prefix: str = ""
    skip_test: bool = False


@dataclass(frozen=True, slots=True)
class FileOptions(RecordOptions):
    """What a file device was told."""

    file_path: str = DISCARD
    """A path (relative ones start at the working directory), ``stdout`` or ``discard``."""
    mode: int = 0o600
    """0 keeps the mode of an existing file."""

    @property
    def path(self) -> Path | None:
        """The file, or None when there is none."""
        return None if self.file_path in (STDOUT, DISCARD) else Path(self.file_path)


@dataclass(frozen=True, slots=True)
class SocketOptions(RecordOptions):
    """What a socket device was told."""

    address: str = ""
    """``host:port``, or the socket's path."""
    socket_type: str = "tcp"
    write_timeout_seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class SyslogOptions(RecordOptions):
    """What a syslog device was told."""

    facility: str = "AUTH"
    tag: str = "vault"


DeviceOptions = FileOptions | SocketOptions | SyslogOptions


def parse_options(kind: str, options: Mapping[str, str]) -> DeviceOptions:
    """Raises InvalidRequestError: no such kind, no place, a value of the wrong kind."""
    reader = _READERS.get(kind)
    if reader is None:
        raise InvalidRequestError(f'unknown backend type: "{kind}"')
    if options.get("format", "json") not in ("", "json"):
        raise InvalidRequestError("unknown format: only json is supported")
    for name in ("filter", "fallback", "exclude"):
        if options.get(name):
            # What it would leave out, or send elsewhere, would be written all the same.
            raise InvalidRequestError(f"option {name!r} is not offered by this server")
    shape = {
        "log_raw": _flag(options, "log_raw", default=False),
        "hmac_accessor": _flag(options, "hmac_accessor", default=True),
        "elide_list_responses": _flag(options, "elide_list_responses", default=False),
        "prefix": options.get("prefix", ""),
        "skip_test": _flag(options, "skip_test", default=False),
    }
    return reader(options, shape)


def refuse_tricks(options: Mapping[str, str]) -> None:
    """Raise InvalidRequestError for what makes of a log a file that something else would obey.

    Only of a device that is asked for: who may do that could otherwise have this server write
    whole lines of their own into any file, or a file that can be run.
    """
    if not options.get("prefix", "").isprintable():
        raise InvalidRequestError("option 'prefix' must be printable text on one line")
    if _mode(options.get("mode", "")) & ~0o666:
        raise InvalidRequestError("option 'mode' must not make a log that can be run")


def _file(options: Mapping[str, str], shape: Mapping[str, Any]) -> FileOptions:
    file_path = options.get("file_path") or options.get("path") or ""
    if not file_path:
        raise InvalidRequestError("file_path is required")
    return FileOptions(
        STDOUT if file_path.lower() == STDOUT else file_path,
        _mode(options.get("mode", "")),
        **shape,
    )


def _socket(options: Mapping[str, str], shape: Mapping[str, Any]) -> SocketOptions:
    address = options.get("address", "")
    if not address:
        raise InvalidRequestError("address is required")
    kind = (options.get("socket_type") or "tcp").lower()
    if kind not in SOCKET_TYPES:
        raise InvalidRequestError("option 'socket_type' must be tcp, udp or unix")
    if kind != "unix" and not address.rpartition(":")[2].isdecimal():
        raise InvalidRequestError("option 'address' must be host:port")
    try:
        timeout = parse_duration(options.get("write_timeout") or "2s") / SECOND_NS
    except ValueError:
        timeout = 0.0
    if timeout <= 0:
        raise InvalidRequestError("option 'write_timeout' must be a duration such as 2s")
    return SocketOptions(address, kind, timeout, **shape)


def _syslog(options: Mapping[str, str], shape: Mapping[str, Any]) -> SyslogOptions:
    facility = (options.get("facility") or "AUTH").upper()
    if facility not in FACILITIES:
        raise InvalidRequestError(f"invalid syslog facility: {facility[:32]}")
    tag = options.get("tag") or "vault"
    if not tag.isprintable() or len(tag) > 32:
        raise InvalidRequestError("option 'tag' must be a short word")
    return SyslogOptions(facility, tag, **shape)


_Reader = Callable[[Mapping[str, str], Mapping[str, Any]], DeviceOptions]
_READERS: dict[str, _Reader] = {"file": _file, "socket": _socket, "syslog": _syslog}


def _flag(options: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = options.get(name, "")
    if text == "":
        return default
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise InvalidRequestError(f"option {name!r} must be true or false")


def _mode(text: str) -> int:
    if text == "":
        return 0o600
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:
        raise InvalidRequestError("option 'mode' must be an octal number such as 0600")
    return mode
