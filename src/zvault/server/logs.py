"""The server's log: one line an event, as Vault writes it, or one JSON object.

What lives here: the format and where it goes. What never does: a request's data, a token, a key:
nobody may log what a client sent beyond its path.
A log file that was moved away is opened anew by itself, so rotation needs no signal.
"""

import logging
import sys
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler

import orjson

from zvault.base.errors import UsageError
from zvault.server.failures import describe
from zvault.server.settings import LogSettings

LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "err": logging.ERROR,
}


class LogFileError(UsageError):
    """The log file cannot be opened."""

    code = "bad-log-file"


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{int(record.msecs):03d}Z"


def _level(record: logging.LogRecord) -> str:
    return "warn" if record.levelno == logging.WARNING else record.levelname.lower()


def _module(record: logging.LogRecord) -> str:
    return record.name.removeprefix("zvault.")


def _text(record: logging.LogRecord) -> str:
    """The message; of an exception that came with it only kind and place, no traceback."""
    error = record.exc_info[1] if record.exc_info else None
    return record.getMessage() + (f" ({describe(error)})" if error is not None else "")


class TextFormatter(logging.Formatter):
    """``2026-11-21T20:40:00.088Z [INFO]  server: text``."""

    def format(self, record: logging.LogRecord) -> str:
        level = f"[{_level(record).upper()}]"
        text = _text(record).replace("\n", "\\n")
        return f"{_time(record)} {level:<7} {_module(record)}: {text}"


class JsonFormatter(logging.Formatter):
    """hclog's JSON: ``@level``, ``@message``, ``@module``, ``@timestamp``."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "@level": _level(record),
            "@message": _text(record),
            "@module": _module(record),
            "@timestamp": _time(record),
        }
        return orjson.dumps(line).decode()


def set_level(level: str) -> None:
    """Log from this level on."""
    logging.getLogger("zvault").setLevel(LEVELS[level])


def configure(settings: LogSettings) -> None:
    """Send everything below the logger ``zvault`` to one place. Raises LogFileError."""
    handler: logging.Handler
    if settings.file is None:
        handler = logging.StreamHandler(sys.stderr)
    else:
        try:
            handler = WatchedFileHandler(settings.file, encoding="utf-8")
        except OSError as error:
            raise LogFileError(
                f"log file {settings.file} cannot be opened ({error.strerror})",
                hint="check log_file",
            ) from None
    handler.setFormatter(JsonFormatter() if settings.json else TextFormatter())
    root = logging.getLogger("zvault")
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    set_level(settings.level)
    root.propagate = False
