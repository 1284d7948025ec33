"""Files of a site behind the migration's doors: configuration, state, key file, certificate.

What lives here: the formats of the state file and where things lie. What never does: a decision.
"""

import asyncio
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import orjson

from zvault.base.atomic_file import (
    SHARED_FOLDER_MODE,
    fsync_directory,
    make_folders,
    write_atomic,
)
from zvault.base.clock import Clock
from zvault.base.errors import PreconditionError, VerificationError
from zvault.base.secret import Secret
from zvault.ops.migration.model import Retired, SiteState, Target
from zvault.ops.migration.stores import Opener
from zvault.ops.stages.model import STAGES
from zvault.ops.tls import renewal
from zvault.ops.tls.check import check_files, fingerprint, problem_of, read_served
from zvault.ops.tls.errors import TlsHandshakeError
from zvault.ops.tls.files import TlsPaths
from zvault.ops.unseal.keeping import Maker, destroy_key_file, load_key_file, prove_key_file
from zvault.ops.unseal.passwords import PasswordSource
from zvault.storage.errors import StoreUrlError
from zvault.storage.urls import parse_store_url

STATE_FORMAT = 1
_CONFIG_MODE = 0o644
_SERVED_SECONDS = 10.0
_RUN_BYTES = 4 << 20
"""Journal, records, configuration and the lines of a log that a run makes, and room to spare."""


class BrokenStateError(VerificationError):
    """The site's state file cannot be read."""

    code = "broken-site-state"


@dataclass(frozen=True, slots=True)
class ConfigFiles:
    """The Files port: text files without secrets."""

    async def read(self, path: Path) -> str | None:
        try:
            return path.read_text()
        except FileNotFoundError:
            return None

    async def write(self, path: Path, text: str) -> None:
        make_folders(path.parent, SHARED_FOLDER_MODE)
        write_atomic(path, text.encode(), _CONFIG_MODE)

    async def remove(self, path: Path) -> None:
        if path.exists():
            path.unlink()
            fsync_directory(path.parent)


class _StateBody(msgspec.Struct):
    format: int
    stage: int
    store_url: str
    run: str
    retired: list[Retired]


@dataclass(frozen=True, slots=True)
class StateFile:
    """The State port: one JSON file, replaced atomically; the migration's commit."""

    path: Path

    async def read(self) -> SiteState | None:
        try:
            body = msgspec.json.decode(self.path.read_bytes(), type=_StateBody)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError:
            raise BrokenStateError(
                f"{self.path} cannot be read",
                hint="the journal says which stage is active: zvault journal",
            ) from None
        if body.format > STATE_FORMAT:
            raise BrokenStateError(
                f"{self.path} has format {body.format}, newer than {STATE_FORMAT}",
                hint="use the zvault that wrote it",
            )
        self._require_known(body)
        return SiteState(body.stage, body.store_url, body.run, tuple(body.retired))

    def _require_known(self, body: _StateBody) -> None:
        """A stage that exists, on storage that it has."""
        row = STAGES.get(body.stage)
        try:
            kinds = [parse_store_url(url).kind for url in _urls(body)]
        except StoreUrlError:
            kinds = []
        if row is None or not kinds or kinds[0] != row.storage.value:
            raise BrokenStateError(
                f"{self.path} names stage {body.stage} on {body.store_url!r}, which cannot be",
                hint="the journal says which stage is active: zvault journal",
            )

    async def write(self, state: SiteState) -> None:
        make_folders(self.path.parent)
        body = _StateBody(
            STATE_FORMAT, state.stage, state.store_url, state.run, list(state.retired)
        )
        content = orjson.dumps(msgspec.to_builtins(body), option=orjson.OPT_INDENT_2)
        write_atomic(self.path, content + b"\n")


def _urls(body: _StateBody) -> list[str]:
    return [body.store_url, *(old.url for old in body.retired)]


@dataclass(frozen=True, slots=True)
class KeyFileDoor:
    """The KeyFiles port."""

    path: Path
    root: Path
    password_path: Path | None
    """None when the password does not lie in a file of this site (a systemd credential)."""
    password: Callable[[], PasswordSource]
    maker: Maker
    opener: Opener
    name: str
    allow_password_beside: bool

    async def exists(self) -> bool:
        return self.path.exists()

    async def fingerprint(self) -> str:
        try:
            return load_key_file(self.path).header.vault.fingerprint
        except (PreconditionError, VerificationError):
            return ""

    async def create(self, store_url: str, shares: Sequence[Secret]) -> None:
        storage = await self.opener(store_url, read_only=True)
        try:
            password = self.password().read()
            await self.maker.create(self.path, storage, shares, password, self.name)
        finally:
            await storage.close()

    async def renew(self, store_url: str, shares: Sequence[Secret]) -> None:
        storage = await self.opener(store_url, read_only=True)
        try:
            password = self.password().read()
            await self.maker.rotate(self.path, storage, password, password, shares)
        finally:
            await storage.close()

    async def prove(self, store_url: str) -> None:
        storage = await self.opener(store_url, read_only=True)
        try:
            key_file, password = load_key_file(self.path), self.password().read()
            await prove_key_file(key_file, password, storage, self.maker.prove)
        finally:
            await storage.close()

    def shares(self) -> Sequence[Secret]:
        """What the key file holds, opened with the password. Raises KeyFileError."""
        return load_key_file(self.path).open(self.password().read())

    async def destroy(self) -> None:
        destroy_key_file(self.path, self.path.name)

    async def layout_risk(self) -> str:
        if self.password_path is None or self.allow_password_beside:
            return ""
        if not self.password_path.is_relative_to(self.root):
            return ""
        return (
            f"the password {self.password_path} lies in the same tree as the key file, so whoever"
            " copies the tree has both"
        )


@dataclass(frozen=True, slots=True)
class TlsDoor:
    """The Tls port: the pair of the private CA."""

    paths: TlsPaths
    hosts: tuple[str, ...]
    clock: Clock
    name: str

    async def problem(self) -> str:
        return problem_of(self.paths, renewal.utc(self.clock), self.hosts)

    async def issue(self) -> None:
        if self.paths.ca.exists():
            renewal.renew(self.paths, list(self.hosts) or None, self.clock)
        else:
            renewal.init(self.paths, list(self.hosts), self.clock, name=f"{self.name} private CA")

    async def shown_problem(self, target: Target) -> str:
        listener, wanted = self._listener(target), self._fingerprint()
        try:
            served = await asyncio.to_thread(
                read_served, listener.host, listener.port, listener.ca_file
            )
        except TlsHandshakeError as error:
            return error.message
        if fingerprint(served) != wanted:
            return f"{target.address} shows another certificate than {self.paths.certificate.name}"
        return ""

    def _listener(self, target: Target) -> renewal.Listener:
        parts = urlsplit(target.address)
        return renewal.Listener(parts.hostname or "", parts.port or 443, self.paths.ca)

    def _fingerprint(self) -> str:
        return check_files(self.paths, renewal.utc(self.clock)).fingerprint

    async def require_served(self, target: Target) -> None:
        listener, wanted = self._listener(target), self._fingerprint()
        await asyncio.to_thread(
            renewal.await_served,
            listener,
            wanted,
            timeout_seconds=_SERVED_SECONDS,
            clock=self.clock,
        )


@dataclass(frozen=True, slots=True)
class MachineDoor:
    """The Machine port. ``root`` is where relative store URLs begin.

    ``written`` are the folders that a run writes to: journal and records, configuration, logs.
    """

    clock: Clock
    root: Path
    written: Sequence[Path] = ()

    def now_ns(self) -> int:
        return self.clock.now_ns()

    def monotonic(self) -> float:
        return self.clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def trouble(self) -> str:
        for folder in map(_nearest, self.written):
            if not os.access(folder, os.W_OK | os.X_OK):
                return f"{folder} cannot be written to"
            free = shutil.disk_usage(folder).free
            if free < _RUN_BYTES:
                return f"{free} bytes are free at {folder}, {_RUN_BYTES} are needed"
        return ""

    def free_bytes(self, store_url: str) -> int | None:
        place = parse_store_url(store_url)
        if place.kind != "file":
            return None
        return shutil.disk_usage(_nearest(self.root / place.path)).free


@dataclass(slots=True)
class OperatorCredentials:
    """The Credentials port: sources that are read when asked for.

    What the key file holds is kept until the command ends: deriving its key takes most of a second,
    and the proof asks again while clients wait.
    """

    shares_source: Callable[[], Sequence[Secret]] | None
    token_source: Callable[[], Secret] | None
    key_file: KeyFileDoor
    opened: Sequence[Secret] = ()

    async def has_shares(self) -> bool:
        return self.shares_source is not None

    async def shares(self) -> Sequence[Secret]:
        if self.shares_source is None:
            raise PreconditionError("no shares were given", hint="--shares-file FILE, or --prompt")
        return self.shares_source()

    async def unseal_shares(self) -> Sequence[Secret]:
        if self.shares_source is not None:
            return await self.shares()
        if not self.opened:
            self.opened = self.key_file.shares()
        return self.opened

    async def has_token(self) -> bool:
        return self.token_source is not None

    async def token(self) -> Secret:
        if self.token_source is None:
            raise PreconditionError("no token was given", hint="--token-file FILE (mode 0600)")
        return self.token_source()


def _nearest(folder: Path) -> Path:
    """The folder, or the one that it will be made in."""
    while not folder.exists():
        folder = folder.parent
    return folder


def remove_empty_folder(folder: Path) -> None:
    """What an emptied file store leaves; a folder with something in it stays."""
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        fsync_directory(folder.parent)


def folder_bytes(folder: Path) -> int:
    """What a tree takes on its disk, blocks counted."""
    total = 0
    for here, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(here) / name).stat().st_blocks * 512
            except FileNotFoundError:
                continue
    return total
