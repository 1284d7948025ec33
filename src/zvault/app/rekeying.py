"""A rekey of a site's Vault, and its key file afterwards.

What lives here: which server and which store of a site that concerns. What never does: the work
(``ops/declare/rekey.py``, ``ops/unseal/keeping.py``).
Invariant: nothing is begun while a migration is open.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from zvault.app.first_setup import active_stage
from zvault.app.geography import SiteGeography
from zvault.app.site import Site
from zvault.app.wiring import SiteOpener, build_new_shares
from zvault.base.errors import InterruptedRunError, PreconditionError, ZvaultError
from zvault.base.secret import Secret
from zvault.ops.declare.initialize import NewKeys
from zvault.ops.migration.operate import Operator
from zvault.ops.unseal.shares import read_shares_file
from zvault.vaultapi.answers import SealStatus


class KeyFileBehindError(InterruptedRunError):
    """The new shares are in force, and the key file still holds the old ones."""

    code = "key-file-behind"


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """Read back and proven. ``key_file``: the one that was renewed; None when there is none."""

    address: str
    store_url: str
    status: SealStatus
    key_file: Path | None


def rekey_site(
    operator: Operator,
    site: Site,
    path: Path,
    numbers: tuple[int, int],
    token: Callable[[], Secret] | None,
) -> Rekeyed:
    """New shares into ``path``, then into the key file when the site has one.

    ``numbers``: shares and threshold, 0 for as now. Raises what ``ops.declare.rekey.rekey`` raises,
    KeyFileBehindError, MigrationRefusedError, OpenRunError.
    """
    state = active_stage(operator)
    target = SiteGeography(site).target(state.description)
    door = build_new_shares(site, SiteOpener(site), token)
    key_files = operator.ports.key_files
    has_key_file = asyncio.run(key_files.exists())
    if has_key_file:
        # Found out before: afterwards it could no longer be told from a key file gone bad.
        asyncio.run(key_files.prove(state.store_url))
    old = list(asyncio.run(operator.ports.credentials.unseal_shares()))
    now = asyncio.run(operator.ports.vault.seal_status(target))
    if not now.reachable or now.sealed:
        raise PreconditionError(
            f"{target.address} is sealed" if now.reachable else f"no answer: {now.reason}",
            hint="a rekey needs a server that is unsealed",
        )
    wanted = None if not any(numbers) else NewKeys(*numbers)
    status = door.rekey(target, state.store_url, old, path, wanted)
    if has_key_file:
        try:
            asyncio.run(key_files.renew(state.store_url, read_shares_file(path)))
        except (ZvaultError, OSError) as error:
            raise KeyFileBehindError(
                f"the new shares are in force and in {path}; the key file was not renewed: {error}",
                hint=f"now: zvault keyfile rotate --shares-file {path}",
            ) from None
    renewed = site.unseal.key_file if has_key_file else None
    return Rekeyed(target.address, state.store_url, status, renewed)


def cancel_rekey(operator: Operator, site: Site, token: Callable[[], Secret] | None) -> str:
    """End a rekey that was begun and not verified; the server's address. Raises as above."""
    state = active_stage(operator)
    target = SiteGeography(site).target(state.description)
    build_new_shares(site, SiteOpener(site), token).cancel_now(target)
    return target.address
