"""A site's first set-up: keys for its server, its declaration brought into its Vault.

What lives here: which server and which store of a site that concerns, and the wiring to
``ops/declare``. What never does: the work.
Invariant: what carries keys or the operator's token goes to our own server only, proven on the
connection it travels on.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from zvault.app.doors_process import embedded_runtime
from zvault.app.geography import SiteGeography
from zvault.app.site import Site
from zvault.app.wiring import SiteOpener
from zvault.base.secret import Secret
from zvault.offline.proof import prove_unseal_key
from zvault.ops.declare.initialize import NewKeys, initialize
from zvault.ops.migration.errors import MigrationRefusedError, OpenRunError
from zvault.ops.migration.ledger import open_run
from zvault.ops.migration.model import SiteState
from zvault.ops.migration.operate import Operator
from zvault.ops.stages.model import FIRST
from zvault.ops.unseal.peer import PeerRules, resolve_owner
from zvault.ops.unseal.shares import read_shares_file
from zvault.vaultapi.answers import SealStatus
from zvault.vaultapi.client import VaultApi

_CALL_SECONDS = 60.0


class LaterStageEmptyError(MigrationRefusedError):
    """A stage that is reached by moving a Vault has a server without keys."""

    code = "later-stage-empty"


@dataclass(frozen=True, slots=True)
class Initialized:
    """Read back and proven."""

    address: str
    store_url: str
    status: SealStatus


def initialize_site(operator: Operator, site: Site, path: Path, wanted: NewKeys) -> Initialized:
    """Keys for the server of the active stage; see ``ops.declare.initialize``.

    Raises also MigrationRefusedError without an active stage, OpenRunError, LaterStageEmptyError.
    """
    state = active_stage(operator)

    def prove(shares: Sequence[Secret]) -> None:
        asyncio.run(_prove(SiteOpener(site), state.store_url, shares))

    with _vault(site, state) as vault:
        if state.stage != FIRST and not vault.seal_status().initialized:
            raise LaterStageEmptyError(
                f"stage {state.stage} is active and its server has no keys, so its entries are gone"
                " or elsewhere",
                hint="zvault status names the store; restore a backup, do not begin anew",
            )
        status = initialize(vault, path, wanted, read_shares_file, prove)
        return Initialized(vault.address, state.store_url, status)


@contextmanager
def vault_of(operator: Operator, site: Site, token: Secret) -> Iterator[VaultApi]:
    """The Vault of the active stage for somebody with a token. Raises as ``initialize_site``."""
    with _vault(site, active_stage(operator)) as vault:
        yield vault.with_token(token)


def active_stage(operator: Operator) -> SiteState:
    """The site's state. Raises OpenRunError while a run is open, MigrationRefusedError."""
    waiting = open_run(operator.journal.records)
    if waiting is not None:
        raise OpenRunError(
            f"run {waiting.id} is not finished",
            hint="zvault resume goes on, zvault rollback turns back",
        )
    state = asyncio.run(operator.ports.state.read())
    if state is None:
        raise MigrationRefusedError(
            "this site has no active stage yet", hint="zvault stage up --stage 7"
        )
    return state


@contextmanager
def _vault(site: Site, state: SiteState) -> Iterator[VaultApi]:
    target = SiteGeography(site).target(state.description)
    runtime = embedded_runtime(site)
    rules = PeerRules(
        target.address,
        resolve_owner(site.unseal.owner or None),
        lambda: runtime.observe().pid,
        target.ca_file,
    )
    with closing(rules.connect(_CALL_SECONDS)) as vault:
        yield vault


async def _prove(opener: SiteOpener, store_url: str, shares: Sequence[Secret]) -> None:
    storage = await opener(store_url, read_only=True)
    try:
        await prove_unseal_key(storage, shares)
    finally:
        await storage.close()
