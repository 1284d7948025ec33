"""What a service is told from outside: addresses, files, names. Nothing secret.

What lives here: the environment of a service as a value, and the refusals that come before
anything is opened. What never does: a secret, or a default for one.
Invariant: outside development a service starts neither from an ``.env`` nor with a secret in its
environment; all that is missing is named at once.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

DEVELOPMENT = "development"
SECRET_NAMES = frozenset(
    {
        "API_KEY",
        "DATABASE_PASSWORD",
        "DATABASE_URL",
        "GOSZAKUP_TOKEN",
        "JWT_SECRET_KEY",
        "OPENAI_API_KEY",
        "PGPASSWORD",
        "POSTGRES_PASSWORD",
        "REDIS_PASSWORD",
        "SESSION_SECRET",
        "TELEGRAM_BOT_TOKEN",
        "VAULT_SECRET_ID",
        "VAULT_TOKEN",
        "ZAKUPAI_API_KEY",
    }
)
"""Names under which secrets came by environment before they lived in Vault."""
REFRESH, MOST_REFRESH_SECONDS = "ZAKUPAI_SECRETS_REFRESH_SECONDS", 3600
_URL_NAME = re.compile(r"ZAKUPAI_([A-Z_]+)_URL")
_URL_PASSWORD = re.compile(r"://[^/\s:@]*:[^/\s@]+@")


class SettingsError(Exception):
    """The service cannot start as it was called; the text says all that is wrong."""


@dataclass(frozen=True)
class ServiceSettings:
    """One service's surroundings. ``database_host`` may be a folder with PostgreSQL's socket."""

    environment: str = "production"
    host: str = "127.0.0.1"
    port: int = 8000
    log_level: str = "INFO"
    database_host: str = ""
    database_port: int = 5432
    database_name: str = ""
    redis_host: str = ""
    redis_port: int = 6379
    redis_timeout_seconds: float = 0.2
    secrets_refresh_seconds: float = 60.0
    """How often all secrets are read again."""
    urls: Mapping[str, str] = field(default_factory=dict)
    """Addresses of other services by name, from ``ZAKUPAI_NAME_URL``."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What the service's own variables say, by their names; those that are set."""

    @property
    def in_development(self) -> bool:
        return self.environment == DEVELOPMENT


def settings_from_environment(
    environ: Mapping[str, str] | None = None,
    *,
    folder: Path | None = None,
    database: bool = False,
    redis: bool = False,
    urls: Sequence[str] = (),
    options: Sequence[str] = (),
) -> ServiceSettings:
    """Read ``ZAKUPAI_*``; ``folder`` is where an ``.env`` would lie (the working folder).

    ``database`` and ``redis``: the service needs them. ``urls``: names of services and servers
    whose address it needs. ``options``: names of further variables. Raises SettingsError.
    """
    told = dict(os.environ if environ is None else environ)
    environment = told.get("ZAKUPAI_ENVIRONMENT", "production")
    wrong = [] if environment == DEVELOPMENT else _forbidden(told, folder or Path.cwd())
    wanted = {"ZAKUPAI_DATABASE_HOST": database, "ZAKUPAI_DATABASE_NAME": database}
    wanted["ZAKUPAI_REDIS_HOST"] = redis
    wanted |= {f"ZAKUPAI_{name.upper()}_URL": True for name in urls}
    wrong += [
        f"{name} is not set" for name, needed in wanted.items() if needed and not told.get(name)
    ]
    ports = {}
    for name, default in (("PORT", 8000), ("DATABASE_PORT", 5432), ("REDIS_PORT", 6379)):
        text = told.get(f"ZAKUPAI_{name}", str(default))
        if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
            wrong.append(f"ZAKUPAI_{name} is no port")
            text = "0"
        ports[name] = int(text)
    refresh = told.get(REFRESH, "60")
    if not (refresh.isascii() and refresh.isdigit() and 0 < int(refresh) <= MOST_REFRESH_SECONDS):
        wrong.append(f"{REFRESH} is no number of seconds from 1 to {MOST_REFRESH_SECONDS}")
    if wrong:
        raise SettingsError("; ".join(wrong))
    return ServiceSettings(
        environment=environment,
        host=told.get("ZAKUPAI_HOST", "127.0.0.1"),
        port=ports["PORT"],
        log_level=told.get("ZAKUPAI_LOG_LEVEL", "INFO").upper(),
        database_host=told.get("ZAKUPAI_DATABASE_HOST", ""),
        database_port=ports["DATABASE_PORT"],
        database_name=told.get("ZAKUPAI_DATABASE_NAME", ""),
        redis_host=told.get("ZAKUPAI_REDIS_HOST", ""),
        redis_port=ports["REDIS_PORT"],
        secrets_refresh_seconds=float(refresh),
        urls={
            found[1].lower(): value
            for name, value in sorted(told.items())
            if value and (found := _URL_NAME.fullmatch(name))
        },
        options={name: told[name] for name in options if told.get(name)},
    )


def _forbidden(environ: Mapping[str, str], folder: Path) -> list[str]:
    """What only development may have: a file of variables, secrets among the variables."""
    wrong = []
    if (folder / ".env").exists():
        wrong.append(
            f"there is an .env in {folder}: outside development secrets come from Vault only"
        )
    for name, value in sorted(environ.items()):
        if value and (
            name in SECRET_NAMES or (name.startswith("ZAKUPAI_") and _URL_PASSWORD.search(value))
        ):
            wrong.append(f"{name} is in the environment: this secret belongs into Vault")
    return wrong
