"""``zakupai-gateway-invite``: an invitation from the operator, also the first one.

What lives here: options and exit codes; it runs where the gateway runs, with its settings and its
Vault role. Exit code 0: the invitation works and lies in the file; 1: not made; 2: usage.
Invariant: the invitation is in the file (0600) only, never printed.
"""

import argparse
import asyncio
import os
import sys
from contextlib import closing
from pathlib import Path

from zakupai_common.db import Database, DatabaseUnavailableError
from zakupai_common.vault.errors import VaultClientError
from zakupai_common.vault.private_file import write_private
from zakupai_common.vault.settings import VaultSettings
from zakupai_common.vault.store import SecretStore
from zakupai_common.web.errors import ProblemError
from zakupai_common.web.parts import utc_now
from zakupai_common.web.service import database_settings
from zakupai_common.web.settings import SettingsError, settings_from_environment
from zakupai_gateway import credentials
from zakupai_gateway.billing import Billing
from zakupai_gateway.gateway import IDENTITY_KEYS
from zakupai_gateway.service import SERVICE


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    told = _parser().parse_args(arguments)
    try:
        settings = settings_from_environment(database=True, options=SERVICE.options)
        if "billing" not in settings.urls:
            raise SettingsError("ZAKUPAI_BILLING_URL is not set")
        store = SecretStore(VaultSettings.from_environment(os.environ), SERVICE.declared())
        store.start()
    except (SettingsError, VaultClientError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    with closing(store):
        database = Database(database_settings(settings), lambda: SERVICE.database_login(store))
        try:
            asyncio.run(_invite(told, settings.urls["billing"], database, store))
        except (ProblemError, DatabaseUnavailableError, OSError) as error:
            sys.stderr.write(f"no invitation was made: {error}\n")
            return 1
    print(f"the invitation is in {told.out}; it works once, for two days")
    return 0


async def _invite(
    told: argparse.Namespace, billing_address: str, database: Database, store: SecretStore
) -> None:
    key = store[IDENTITY_KEYS["billing"]].reveal().encode()
    billing = Billing(billing_address, lambda: key)
    email = credentials.plain_email(told.email)
    try:
        account = await billing.make_user(told.tg_id, email)
        async with database.begin() as connection:
            token, _ = await credentials.invite(
                connection, account.user, email, utc_now(), tuple(told.scope) or None
            )
    finally:
        await billing.close()
        await database.close()
    write_private(told.out, token)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="zakupai-gateway-invite", description=__doc__)
    parser.add_argument("--tg-id", type=int, required=True, help="Telegram's id of the user")
    parser.add_argument("--email", required=True, help="what the user logs in with")
    parser.add_argument("--scope", action="append", default=[], help="for example billing:admin")
    parser.add_argument("--out", type=Path, required=True, help="a new file for the invitation")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
