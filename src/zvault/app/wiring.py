"""The one place where a site's doors get their concrete classes.

What lives here: construction. What never does: anything that could go wrong at run time other than
a missing file.
"""

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from zvault.app.doors_backup import BackupDoor
from zvault.app.doors_clients import ClientsDoor, front_door_settings
from zvault.app.doors_files import (
    ConfigFiles,
    KeyFileDoor,
    MachineDoor,
    OperatorCredentials,
    StateFile,
    TlsDoor,
    folder_bytes,
    remove_empty_folder,
)
from zvault.app.doors_process import AgentDoor, ServerDoor, agent_process, embedded_runtime
from zvault.app.doors_rekey import NewSharesDoor
from zvault.app.doors_vault import AuditFileDoor, VaultDoor
from zvault.app.geography import SiteGeography
from zvault.app.site import Site
from zvault.app.stores import S3Access, open_store
from zvault.base.atomic_file import make_folders
from zvault.base.clock import Clock, SystemClock
from zvault.base.secret import Secret
from zvault.offline.known import Known
from zvault.offline.proof import prove_unseal_key
from zvault.offline.verify import verify_store
from zvault.ops.frontdoor.door import FrontDoor
from zvault.ops.migration.errors import UnprovenStoreError
from zvault.ops.migration.journal import Journal, PlannedJournalFile
from zvault.ops.migration.operate import Operator
from zvault.ops.migration.ports import Ports, Proof
from zvault.ops.migration.stores import OpenedStores
from zvault.ops.unseal.keeping import Maker
from zvault.ops.unseal.passwords import FilePassword, PasswordSource, credential_password
from zvault.ops.unseal.peer import resolve_owner
from zvault.storage.api import Storage
from zvault.storage.copy import Progress
from zvault.storage.file import FileStorage
from zvault.storage.urls import StoreUrl, parse_store_url
from zvault.storage.walk import inventory

PROBE_FOLDER = "zvault-probe/"
_BLOCK_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Brought:
    """What the operator brought to a command; read when asked for."""

    shares: Callable[[], Sequence[Secret]] | None = None
    token: Callable[[], Secret] | None = None


@dataclass(frozen=True, slots=True)
class SiteOpener:
    """Opens the stores of a site; relative ``file:`` URLs begin at its root."""

    site: Site

    async def __call__(self, url: str, *, read_only: bool) -> Storage:
        place = parse_store_url(url)
        if place.kind == "s3":
            return open_store(url, self._access(), read_only=read_only)
        absolute = replace(place, path=self.site.root / place.path)
        return open_store(str(absolute), read_only=read_only)

    def _access(self) -> S3Access:
        s3 = self.site.s3
        # Without the file the two names come from the environment; the server needs the file.
        named = s3.credentials_file if s3.credentials_file.exists() else None
        return S3Access(s3.endpoint, s3.region, s3.provider, named, s3.allow_http)


def build_ports(
    site: Site, brought: Brought, on_progress: Callable[[Progress], None], clock: Clock
) -> Ports:
    """Every door of a site."""
    opener, geography = SiteOpener(site), SiteGeography(site)
    runtime = embedded_runtime(site)
    key_files = build_key_files(site, opener, clock)
    return Ports(
        stores=_stores(site, opener, on_progress, clock),
        server=ServerDoor(runtime),
        agent=AgentDoor(site, agent_process(site)),
        vault=VaultDoor(
            site.canary,
            site.relative(site.places.audit_file),
            resolve_owner(site.unseal.owner or None),
            lambda: runtime.observe().pid,
        ),
        audit_file=AuditFileDoor(site.places.audit_file),
        front_door=ClientsDoor(FrontDoor(front_door_settings(site))),
        backups=BackupDoor(site, opener, clock, lambda: runtime.observe().pid),
        key_files=key_files,
        new_shares=build_new_shares(site, opener, brought.token),
        tls=TlsDoor(geography.tls_paths, site.tls_hosts, clock, site.name),
        files=ConfigFiles(),
        state=StateFile(site.places.run_dir / "site.json"),
        credentials=OperatorCredentials(brought.shares, brought.token, key_files),
        machine=MachineDoor(clock, site.root, _written(site)),
    )


@contextlib.contextmanager
def operator_of(
    site: Site,
    brought: Brought,
    say: Callable[[str], None],
    on_progress: Callable[[Progress], None] = lambda _: None,
    *,
    planning: bool = False,
) -> Iterator[Operator]:
    """The operator of a site, holding its journal; one who is only ``planning`` leaves no trace.

    Raises SecondOperatorError, JournalCorruptError, JournalTooNewError.
    """
    clock = SystemClock()
    if planning:
        journal = Journal(PlannedJournalFile(journal_path(site)))
    else:
        make_folders(site.places.run_dir)
        journal = Journal.open(journal_path(site))
    try:
        yield Operator(
            ports=build_ports(site, brought, on_progress, clock),
            journal=journal,
            geography=SiteGeography(site),
            limits=site.limits,
            say=say,
            new_run=lambda: new_run_id(clock),
        )
    finally:
        journal.close()


def journal_path(site: Site) -> Path:
    """Where the journal lies."""
    return site.places.run_dir / "journal.jsonl"


def new_run_id(clock: Clock) -> str:
    """A name for a run that sorts by time and fits into a folder's name."""
    moment = datetime.fromtimestamp(clock.now_ns() // 1_000_000_000, UTC)
    return f"r{moment:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def password_of(site: Site) -> PasswordSource:
    """Where the key file's password comes from."""
    if site.unseal.password_credential:
        return credential_password(site.unseal.password_credential, os.environ)
    return FilePassword(site.unseal.password_file)


def _written(site: Site) -> list[Path]:
    places = site.places
    return [
        places.run_dir,
        places.config_dir,
        places.log_file.parent,
        site.front_door.address_file.parent,
    ]


def build_key_files(site: Site, opener: SiteOpener, clock: Clock) -> KeyFileDoor:
    """The key file of a site."""
    return KeyFileDoor(
        path=site.unseal.key_file,
        root=site.root,
        password_path=None if site.unseal.password_credential else site.unseal.password_file,
        password=lambda: password_of(site),
        maker=Maker(prove=prove_unseal_key, clock=clock),
        opener=opener,
        name=site.name,
        allow_password_beside=site.unseal.allow_password_beside_key_file,
    )


def build_new_shares(
    site: Site, opener: SiteOpener, token: Callable[[], Secret] | None
) -> NewSharesDoor:
    """Rekeys of a site's server."""
    runtime = embedded_runtime(site)
    return NewSharesDoor(
        opener, resolve_owner(site.unseal.owner or None), lambda: runtime.observe().pid, token
    )


def _stores(
    site: Site, opener: SiteOpener, on_progress: Callable[[Progress], None], clock: Clock
) -> OpenedStores:
    async def remove_place(url: str) -> None:
        place: StoreUrl = parse_store_url(url)
        if place.kind == "file":
            remove_empty_folder(site.root / place.path)

    return OpenedStores(
        opener=opener,
        probe=_probe,
        probe_folder=PROBE_FOLDER,
        prover=_prove,
        share_checker=prove_unseal_key,
        measure=_measure,
        remove_place=remove_place,
        on_progress=on_progress,
        clock=clock,
    )


async def _probe(storage: Storage) -> None:
    from zvault.storage.s3 import S3Storage

    if isinstance(storage, S3Storage):
        await storage.check_access()


async def _prove(storage: Storage, shares: Sequence[Secret], *, still: bool, known: Known) -> Proof:
    report = await verify_store(storage, shares, known=known)
    if report.unopened_count or (still and not report.ok):
        raise UnprovenStoreError(
            f"{storage.url} does not hold up: {report.describe()}",
            hint="zvault store verify names everything",
        )
    return Proof(report.entries, report.secrets, decrypted=report.entries - report.known)


async def _measure(storage: Storage) -> int:
    """What a file store of these entries takes; a value grows by base64 and its block."""
    if isinstance(storage, FileStorage):
        return folder_bytes(storage.path)
    total = 0
    async for info in inventory(storage):
        size = (info.size or 0) * 4 // 3 + 64
        total += -(-size // _BLOCK_BYTES) * _BLOCK_BYTES + _BLOCK_BYTES
    return total
