"""The process of a service: ``serve`` and ``migrate``.

What lives here: the command line that every service has, uvicorn's set-up, the refusals to start.
What never does: anything after a refusal; the exit code is 2 for a wrong call, 3 when secrets are
missing, 4 when the database cannot be migrated.
Invariant: the port is bound only after every declared secret is present.
"""

import argparse
import gc
import logging
import os
import signal
import sys
from pathlib import Path
from types import FrameType

import uvicorn
from alembic.util.exc import CommandError
from dotenv import dotenv_values
from sqlalchemy.exc import SQLAlchemyError

from zakupai_common.migrations import upgrade
from zakupai_common.vault.errors import SettingsError as VaultSettingsError
from zakupai_common.vault.errors import StartError
from zakupai_common.vault.settings import VaultSettings
from zakupai_common.vault.store import SecretStore
from zakupai_common.vault.upkeep import Pace
from zakupai_common.web.logs import set_up_logs
from zakupai_common.web.redaction import Redactor
from zakupai_common.web.service import Service, create_app, database_settings
from zakupai_common.web.settings import (
    DEVELOPMENT,
    ServiceSettings,
    SettingsError,
    settings_from_environment,
)

EXIT_USAGE, EXIT_SECRETS, EXIT_DATABASE = 2, 3, 4
_GRACE_SECONDS = 10
_COLLECT_AFTER = (20_000, 20, 20)
"""New containers before the collector looks at the young ones, and how often it looks further."""
_log = logging.getLogger("zakupai.start")


def main(service: Service, arguments: list[str] | None = None) -> int:
    """The service's command. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog=f"zakupai-{service.name}", description=service.title, allow_abbrev=False
    )
    parser.add_argument("command", choices=("serve", "migrate"))
    parser.add_argument("--env-file", type=Path, help="settings from a file; development only")
    told = parser.parse_args(arguments)
    set_up_logs(service.name, Redactor())
    try:
        environ = _environment(told.env_file)
        settings = settings_from_environment(
            environ,
            database=service.database,
            redis=service.redis,
            urls=service.urls,
            options=service.options,
        )
        pace = Pace(refresh=settings.secrets_refresh_seconds)
        vault = VaultSettings.from_environment(environ)
        store = SecretStore(vault, service.declared(), pace=pace)
    except (SettingsError, VaultSettingsError) as error:
        _log.critical("%s does not start: %s", service.name, error)
        return EXIT_USAGE
    set_up_logs(service.name, Redactor(lambda: service.live_values(store)), settings.log_level)
    try:
        store.start()
    except StartError as error:
        _log.critical(
            "%s does not start: %s", service.name, error, extra={"missing": error.missing}
        )
        return EXIT_SECRETS
    try:
        if told.command == "migrate":
            return _migrate(service, settings, store)
        return _serve(service, settings, store)
    finally:
        store.close()


def _environment(env_file: Path | None) -> dict[str, str]:
    """The process's environment, in development over what a file says."""
    environ = dict(os.environ)
    if env_file is None:
        return environ
    if environ.get("ZAKUPAI_ENVIRONMENT") != DEVELOPMENT:
        raise SettingsError(
            f"--env-file is for ZAKUPAI_ENVIRONMENT={DEVELOPMENT} only: elsewhere settings come "
            "from the environment and secrets from Vault"
        )
    if not env_file.is_file():
        raise SettingsError(f"there is no file {env_file}")
    filed = {name: value for name, value in dotenv_values(env_file).items() if value is not None}
    return {**filed, **environ}


def _migrate(service: Service, settings: ServiceSettings, store: SecretStore) -> int:
    try:
        upgrade(service.package, database_settings(settings), service.database_login(store))
    except (SQLAlchemyError, CommandError) as error:
        cause = getattr(error, "orig", None) or error
        _log.critical("the schema is not migrated: %s", str(cause).strip().splitlines()[0])
        return EXIT_DATABASE
    _log.info("the schema is migrated")
    return 0


def _serve(service: Service, settings: ServiceSettings, store: SecretStore) -> int:
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(service, settings, store),
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            proxy_headers=False,  # uvicorn would believe X-Forwarded-For of whoever is on loopback
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            timeout_keep_alive=75,
        )
    )
    gc.collect()
    gc.freeze()  # what is there now stays: no collection needs to look at it again
    gc.set_threshold(*_COLLECT_AFTER)
    # Once it has ended in order, uvicorn raises the signal that it got once more: left to its
    # default, SIGTERM would end the process there, and nobody would end the token.
    signal.signal(signal.SIGTERM, _leave)
    server.run()
    return 0 if server.started else 1


def _leave(_: int, __: FrameType | None) -> None:
    sys.exit(0)


def exit_with(service: Service) -> None:
    """What the console script of a service calls."""
    sys.exit(main(service))
