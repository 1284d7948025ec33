"""``zvault store inspect|verify|read|compare|copy|settle``: stores without a server.

What lives here: parse, call one function, print. What never does: a decision about a store.
"""

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from zvault.app.stores import opened, settle_store
from zvault.barrier.unseal import require_initialized
from zvault.base.clock import SystemClock
from zvault.base.errors import VerificationError
from zvault.cli.exits import exit_code
from zvault.cli.groups import grouped
from zvault.cli.output import emit, emit_json, progress, reporting_errors
from zvault.cli.store_options import (
    KEYS_DEFAULT,
    S3_DEFAULT,
    KeyOptions,
    S3Options,
    UrlArgument,
)
from zvault.cli.store_text import (
    comparison_json,
    comparison_lines,
    copy_json,
    copy_lines,
    inspection_lines,
    verify_lines,
)
from zvault.cli.unseal_options import (
    JsonOption,
)
from zvault.offline.inspect import inspect_store
from zvault.offline.open import open_offline
from zvault.offline.read import read_secret
from zvault.offline.verify import VerifyProgress, verify_store
from zvault.storage.compare import compare_stores, refuse_nothing
from zvault.storage.copy import Progress, copy_store, refuse_same
from zvault.storage.errors import CopyInterruptedError

app = typer.Typer(no_args_is_help=True, help="Read, prove, compare and copy stores; no server.")
_TELL_SECONDS = 0.5
ToEndpointOption = Annotated[
    str, typer.Option("--to-endpoint", help="S3 endpoint of the second store, when it differs.")
]
ToCredentialsOption = Annotated[
    Path | None,
    typer.Option("--to-credentials-file", help="S3 credentials of the second store."),
]


@app.command()
@grouped
def inspect(
    url: UrlArgument,
    s3: S3Options = S3_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """What a store is, as far as it can be seen without its keys."""

    async def work() -> None:
        async with opened(url, s3.access) as storage:
            found = await inspect_store(storage)
        emit(found.to_json(), as_json=as_json, lines=inspection_lines(found))
        _finish(found.is_initialized and found.suspicions_count == 0, "there is something odd")

    with reporting_errors(as_json=as_json):
        asyncio.run(work())


@app.command()
@grouped
def verify(
    url: UrlArgument,
    keys: KeyOptions = KEYS_DEFAULT,
    s3: S3Options = S3_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Open every entry, decode what is known, count, and name what does not open or fit."""

    async def work() -> None:
        async with opened(url, s3.access) as storage:
            shares = await keys.read(storage)
            report = await verify_store(storage, shares, _tell_verified())
        emit(report.to_json(), as_json=as_json, lines=verify_lines(report))
        _finish(report.ok, report.describe())

    with reporting_errors(as_json=as_json):
        asyncio.run(work())


@app.command()
@grouped
def read(
    url: UrlArgument,
    path: Annotated[str, typer.Argument(help="MOUNT/PATH, literal: no URL encoding, no data/.")],
    version: Annotated[int | None, typer.Option("--version", help="KV v2 version.")] = None,
    keys: KeyOptions = KEYS_DEFAULT,
    s3: S3Options = S3_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Print the data object of one secret; exit 10 when it is absent, deleted or destroyed."""

    async def work() -> None:
        async with opened(url, s3.access) as storage:
            shares = await keys.read(storage)
            store = await open_offline(storage, shares)
            now_ns = SystemClock().now_ns()
            secret = await read_secret(store, path, version=version, now_ns=now_ns)
        if secret.version:
            progress(f"version {secret.version}, created {secret.created}")
        emit_json(secret.to_json_text(), pretty=not as_json)

    with reporting_errors(as_json=as_json):
        asyncio.run(work())


@app.command()
@grouped
def compare(
    a: UrlArgument,
    b: UrlArgument,
    s3: S3Options = S3_DEFAULT,
    to_endpoint: ToEndpointOption = "",
    to_credentials_file: ToCredentialsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two stores entry by entry, ciphertext only; exit 4 when they differ."""
    second = s3.elsewhere(to_endpoint, to_credentials_file)

    async def work() -> None:
        async with opened(a, s3.access) as one, opened(b, second) as other:
            refuse_same(one, other)
            comparison = await compare_stores(one, other)
            refuse_nothing(comparison, one.url, other.url)
            result = comparison_json(comparison, one.url, other.url)
        emit(result, as_json=as_json, lines=comparison_lines(comparison, a, b))
        _finish(comparison.equal, "the stores differ")

    with reporting_errors(as_json=as_json):
        asyncio.run(work())


@app.command()
@grouped
def copy(
    source: UrlArgument,
    destination: UrlArgument,
    journal: Annotated[
        Path | None,
        typer.Option("--journal", help="Where an interrupted copy is remembered."),
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="A server writes to the source: prove what was copied.")
    ] = False,
    s3: S3Options = S3_DEFAULT,
    to_endpoint: ToEndpointOption = "",
    to_credentials_file: ToCredentialsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy a store into an empty place and prove that both are equal; resumes after a kill."""
    second = s3.elsewhere(to_endpoint, to_credentials_file)
    log = journal or _journal_path(source, destination)
    is_new = _size(log) is None

    async def work() -> None:
        async with opened(source, s3.access) as here:
            await require_initialized(here)
            async with opened(destination, second, read_only=False) as there:
                report = await copy_store(
                    here, there, journal=log, on_progress=_tell_copied, source_may_change=live
                )
        if journal is None:
            log.unlink(missing_ok=True)
        emit(copy_json(report), as_json=as_json, lines=copy_lines(report))

    with reporting_errors(as_json=as_json):
        try:
            asyncio.run(work())
        except KeyboardInterrupt:
            raise CopyInterruptedError(
                f"the copy to {destination} was interrupted",
                hint=f"the same command goes on; {log} remembers it",
            ) from None
        finally:
            if is_new and _size(log) == 0:
                log.unlink()  # nothing was copied, so there is nothing to resume


@app.command()
def settle(url: UrlArgument, as_json: JsonOption = False) -> None:
    """Make a file store whole after its server died: what only its log held goes into the tree."""
    with reporting_errors(as_json=as_json):
        replayed = asyncio.run(settle_store(url))
        lines = [f"{url} is whole; batches brought back from its log: {replayed}"]
        emit({"store": url, "replayed": replayed}, as_json=as_json, lines=lines)


def _journal_path(source: str, destination: str) -> Path:
    """One file a pair of stores, in the working directory, so that the same command resumes."""
    digest = hashlib.sha256(f"{source}\0{destination}".encode()).hexdigest()
    return Path(f"zvault-copy-{digest[:12]}.journal")


def _size(path: Path) -> int | None:
    """Bytes in a file; None when there is none that can be seen."""
    try:
        return path.stat().st_size
    except OSError:
        return None


def _finish(is_good: bool, sentence: str) -> None:
    """The report is out; what is left is the exit code."""
    if not is_good:
        progress(f"zvault: {sentence}")
        raise typer.Exit(exit_code(VerificationError(sentence)))


def _tell_copied(now: Progress) -> None:
    progress(
        f"copied {now.entries} entries, {now.bytes / 1e6:.1f} MB, "
        f"{now.entries_per_second:.0f} entries/s"
    )


def _tell_verified() -> Callable[[VerifyProgress], None]:
    """A progress function that speaks at most twice a second."""
    told = 0.0

    def tell(now: VerifyProgress) -> None:
        nonlocal told
        if now.seconds - told >= _TELL_SECONDS:
            told = now.seconds
            progress(f"opened {now.entries} entries, {now.entries / now.seconds:.0f} entries/s")

    return tell
