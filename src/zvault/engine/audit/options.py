"""The options of a file device, checked.

What lives here: parsing of the string map that ``sys/audit/<path>`` gets. What never does: opening
the file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zvault.engine.errors import InvalidRequestError

_TRUE = {"1", "t", "T", "TRUE", "true", "True"}
_FALSE = {"0", "f", "F", "FALSE", "false", "False"}
STDOUT = "stdout"
DISCARD = "discard"


@dataclass(frozen=True, slots=True)
class FileOptions:
    """What a file device was told."""

    file_path: str
    """A path (relative ones start at the working directory), ``stdout`` or ``discard``."""
    mode: int = 0o600
    """0 keeps the mode of an existing file."""
    log_raw: bool = False
    hmac_accessor: bool = True
    elide_list_responses: bool = False
    prefix: str = ""
    skip_test: bool = False

    @property
    def path(self) -> Path | None:
        """The file, or None when there is none."""
        return None if self.file_path in (STDOUT, DISCARD) else Path(self.file_path)


def parse_options(options: Mapping[str, str]) -> FileOptions:
    """Raises InvalidRequestError for a missing path and for values of the wrong kind."""
    file_path = options.get("file_path") or options.get("path") or ""
    if not file_path:
        raise InvalidRequestError("file_path is required")
    if options.get("format", "json") not in ("", "json"):
        raise InvalidRequestError("unknown format: only json is supported")
    return FileOptions(
        file_path=STDOUT if file_path.lower() == STDOUT else file_path,
        mode=_mode(options.get("mode", "")),
        log_raw=_flag(options, "log_raw", default=False),
        hmac_accessor=_flag(options, "hmac_accessor", default=True),
        elide_list_responses=_flag(options, "elide_list_responses", default=False),
        prefix=options.get("prefix", ""),
        skip_test=_flag(options, "skip_test", default=False),
    )


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
