"""Which service a path names, and what is no path at all.

What lives here: the split of ``/api/<service>/…`` and the refusal of paths that two programs could
read differently. What never does: I/O, a table of services.
Invariant: what is handed on is byte for byte what came, and every segment of it means the same
before and after percent-decoding: no ``.``, no ``..``, no hidden slash.
"""

import re
from dataclasses import dataclass

PREFIX = b"/api/"
_PLAIN = re.compile(
    rb"/api/([a-z][a-z0-9-]{0,31})((?:/[A-Za-z0-9_~:@!$&'()*+,=-][A-Za-z0-9._~:@!$&'()*+,=-]*)*/?)"
)
_ALLOWED = re.compile(rb"[A-Za-z0-9._~:@!$&'()*+,;=%/-]*")
_BAD_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_CONTROL_OR_SLASH = re.compile(rb"[\x00-\x1f\x7f/\\]")
_ENCODED_TWICE = re.compile(rb"%(?:2[ef5]|5c|[01][0-9a-f]|7f)", re.IGNORECASE)
_NAME = re.compile(rb"[a-z][a-z0-9-]{0,31}")


class PathRefusedError(ValueError):
    """The path could mean something else to the next program; the text says what is wrong."""


class UnknownPathError(LookupError):
    """The path names no service."""


@dataclass(frozen=True, slots=True)
class Target:
    """``path`` as the service sees it: percent-encoded, begins with a slash."""

    service: str
    path: str


def split(raw_path: bytes) -> Target:
    """The service and its path. Raises PathRefusedError, UnknownPathError."""
    plain = _PLAIN.fullmatch(raw_path)
    if plain:
        service, path = plain.groups()
        return Target(service.decode(), path.decode() or "/")
    _check(raw_path)
    service, _, path = raw_path.removeprefix(PREFIX).partition(b"/")
    if not raw_path.startswith(PREFIX) or not _NAME.fullmatch(service):
        raise UnknownPathError("the path names no service")
    return Target(service.decode(), "/" + path.decode())


def _check(raw_path: bytes) -> None:
    if not _ALLOWED.fullmatch(raw_path):
        raise PathRefusedError("the path holds a character that must be percent-encoded")
    if _BAD_PERCENT.search(raw_path):
        raise PathRefusedError("the path holds a percent sign without two hexadecimal digits")
    if b"//" in raw_path:
        raise PathRefusedError("the path holds an empty segment")
    for segment in raw_path.split(b"/"):
        _check_segment(_PERCENT.sub(lambda found: bytes([int(found[1], 16)]), segment))


def _check_segment(segment: bytes) -> None:
    """``segment`` is decoded once."""
    if _CONTROL_OR_SLASH.search(segment):
        raise PathRefusedError("the path holds an encoded slash or control character")
    if segment.partition(b";")[0] in (b".", b".."):
        raise PathRefusedError("the path holds a dot segment")
    if _ENCODED_TWICE.search(segment):
        raise PathRefusedError("the path is percent-encoded twice")
    try:
        segment.decode()
    except UnicodeDecodeError:
        raise PathRefusedError("the path is no UTF-8") from None
