"""``zvault backup read``: one secret, or one version of it, out of a backup.

What lives here: options to values, one call, the result printed. What never does: a restore.
"""

import asyncio
from typing import Annotated

import typer

from zvault.app.backups import open_named
from zvault.base.clock import SystemClock
from zvault.cli.backup_options import DEFAULT_PLACE, NameArgument, PlaceOption
from zvault.cli.output import emit_json, progress, reporting_errors
from zvault.cli.store_options import (
    KEYS_DEFAULT,
    S3_DEFAULT,
    KeyOptions,
    S3Options,
)
from zvault.cli.unseal_options import (
    JsonOption,
)
from zvault.offline.open import open_offline
from zvault.offline.read import read_secret


def read(
    name: NameArgument,
    path: Annotated[str, typer.Argument(help="MOUNT/PATH, literal: no URL encoding, no data/.")],
    version: Annotated[int | None, typer.Option("--version", help="KV v2 version.")] = None,
    place: PlaceOption = DEFAULT_PLACE,
    keys: KeyOptions = KEYS_DEFAULT,
    s3: S3Options = S3_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Print the data object of one secret as it was when the backup was taken."""

    async def work() -> None:
        async with open_named(place, name, s3.access) as backup:
            shares = await keys.read(backup.storage)
            store = await open_offline(backup.storage, shares)
            now_ns = SystemClock().now_ns()
            secret = await read_secret(store, path, version=version, now_ns=now_ns)
            progress(f"from the backup of {backup.manifest.created}")
        if secret.version:
            progress(f"version {secret.version}, created {secret.created}")
        emit_json(secret.to_json_text(), pretty=not as_json)

    with reporting_errors(as_json=as_json):
        asyncio.run(work())
