"""Configuration files: one, several, or a folder of them, joined in order.

What lives here: reading. What never does: which fields there are.
Invariant: a file that holds credentials must be nobody else's to read.
"""

from collections.abc import Sequence
from pathlib import Path

from zvault.base.atomic_file import require_private
from zvault.hcl.errors import HclError
from zvault.hcl.parser import parse
from zvault.hcl.values import Object
from zvault.server.config import ServerConfig, read_config
from zvault.server.config_fields import ConfigError

_SUFFIXES = (".hcl", ".json")


def load(paths: Sequence[Path]) -> ServerConfig:
    """The configuration that the files say together; of a single value the last one counts.

    Raises ConfigError with file and line, PreconditionError for credentials in an open file.
    """
    files = [file for path in paths for file in _files(path)]
    if not files:
        raise ConfigError("no configuration file is given", hint="--config FILE")
    documents = [(file, _parse(file)) for file in files]
    joined = Object(tuple(item for _, document in documents for item in document.items))
    try:
        config = read_config(joined)
    except (HclError, ConfigError) as error:
        raise _loading_error(_guilty(documents), error.message) from None
    if config.holds_secrets:
        for file in files:
            require_private(file)
    return config


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES)
    return [path]


def _parse(file: Path) -> Object:
    try:
        return parse(file.read_text())
    except FileNotFoundError:
        raise ConfigError(f"{file} does not exist", hint="name an existing file") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise _loading_error(str(file), str(reason)) from None
    except HclError as error:
        raise _loading_error(str(file), error.message) from None


def _guilty(documents: Sequence[tuple[Path, Object]]) -> str:
    """The file to name: the only one, or all that were joined."""
    return ", ".join(str(file) for file, _ in documents)


def _loading_error(place: str, problem: str) -> ConfigError:
    return ConfigError(
        f"error loading configuration from {place}: {problem}",
        hint="see docs/formats/server-config.md",
    )
