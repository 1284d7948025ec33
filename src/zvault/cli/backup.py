"""``zvault backup take|verify|restore|list|prune``.

What lives here: options to values, one call, the result printed. What never does: a share or a
password in argv or in the output.
"""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from zvault.app.backups import LATEST, open_named, open_place, resolve
from zvault.app.backups import restore as restore_backup
from zvault.app.stores import opened
from zvault.base.clock import Clock, SystemClock
from zvault.base.gotime import SECOND_NS, format_time
from zvault.base.secret import Secret
from zvault.cli.backup_options import (
    DEFAULT_PLACE,
    DEFAULT_STORE,
    NameArgument,
    PlaceCredentialsOption,
    PlaceEndpointOption,
    PlaceOption,
    StoreOption,
)
from zvault.cli.backup_read import read
from zvault.cli.groups import grouped
from zvault.cli.output import emit, progress, reporting_errors
from zvault.cli.store_options import (
    KEYS_DEFAULT,
    S3_DEFAULT,
    KeyOptions,
    S3Options,
)
from zvault.cli.unseal_options import (
    JsonOption,
)
from zvault.ops.backup.catalog import Catalog
from zvault.ops.backup.check import open_backup
from zvault.ops.backup.collect import PassReport
from zvault.ops.backup.errors import BackupUnopenedError, PruneRefusedError
from zvault.ops.backup.hold import DEFAULT_LIMIT_SECONDS, hold_of, hold_of_pid_file
from zvault.ops.backup.record import BackupRecord, Listed
from zvault.ops.backup.retention import Retention, plan_prune
from zvault.ops.backup.take import Taker

app = typer.Typer(no_args_is_help=True, help="Backups of a serving Vault, proven by decrypting.")
app.command("read")(grouped(read))


@app.command()
@grouped
def take(
    store: StoreOption = DEFAULT_STORE,
    place: PlaceOption = DEFAULT_PLACE,
    keys: KeyOptions = KEYS_DEFAULT,
    archive_format: Annotated[
        Literal["tar.zst", "tar.gz"], typer.Option("--format", help="The archive's kind.")
    ] = "tar.zst",
    hold_pid: Annotated[
        int | None,
        typer.Option("--hold-pid", help="The server to hold when the store never stands still."),
    ] = None,
    hold_pid_file: Annotated[
        Path | None, typer.Option("--hold-pid-file", help="The same, its pid read from a file.")
    ] = None,
    hold_limit: Annotated[
        float, typer.Option("--hold-limit", help="Seconds that writes are held at most.")
    ] = DEFAULT_LIMIT_SECONDS,
    s3: S3Options = S3_DEFAULT,
    place_endpoint: PlaceEndpointOption = "",
    place_credentials_file: PlaceCredentialsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a backup while the Vault serves; it counts when every entry of it decrypted."""
    there = s3.elsewhere(place_endpoint, place_credentials_file)

    async def work() -> BackupRecord:
        hold = None
        if hold_pid_file is not None:
            hold = hold_of_pid_file(hold_pid_file, hold_limit)
        elif hold_pid is not None:
            hold = hold_of(hold_pid, hold_limit)
        async with opened(store, s3.access) as storage, open_place(place, there) as target:
            shares = await keys.read(storage)
            taker = Taker(target, SystemClock(), hold=hold, on_pass=_tell_pass)
            return await taker.take(storage, shares, archive_format)

    with reporting_errors(as_json=as_json):
        record = asyncio.run(work())
        if not record.verified:
            raise BackupUnopenedError(
                f"{record.name} was taken and the store in it is not whole:"
                f" {'; '.join(record.problems[:5])}",
                hint="repair the store (zvault store verify) and take another",
            )
        _print(record, as_json, "taken, read back and decrypted")


@app.command()
@grouped
def verify(
    name: NameArgument = LATEST,
    place: PlaceOption = DEFAULT_PLACE,
    keys: KeyOptions = KEYS_DEFAULT,
    s3: S3Options = S3_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Read a backup from its place, check it against its manifest, decrypt every entry."""

    async def work() -> BackupRecord:
        async with open_place(place, s3.access) as target:
            catalog = Catalog(target, SystemClock())
            chosen = await resolve(catalog, name)
            async with open_backup(target, chosen) as backup:
                shares = await keys.read(backup.storage)
            return await catalog.verify(chosen, shares)

    with reporting_errors(as_json=as_json):
        _print(asyncio.run(work()), as_json, "read back and decrypted")


@app.command()
@grouped
def restore(
    destination: Annotated[str, typer.Argument(help="file:PATH or s3://…; must be empty.")],
    name: Annotated[
        str, typer.Option("--name", help="The backup's name, 'latest', or a path to a file.")
    ] = LATEST,
    place: PlaceOption = DEFAULT_PLACE,
    keys: KeyOptions = KEYS_DEFAULT,
    s3: S3Options = S3_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Restore into an empty place; with shares also proves that every entry decrypts there."""

    async def work() -> dict[str, Any]:
        async with open_named(place, name, s3.access) as backup:
            shares: list[Secret] | None = None
            if keys.given:
                shares = await keys.read(backup.storage)
            report = await restore_backup(backup, destination, s3.access, shares)
            return asdict(report) | {"taken": backup.manifest.created}

    with reporting_errors(as_json=as_json):
        result = asyncio.run(work())
        depth = "and decrypted there" if result["decrypted"] else "(not decrypted: no shares given)"
        emit(
            result,
            as_json=as_json,
            lines=[
                f"{result['entries']} entries of {result['taken']} restored to"
                f" {result['destination']}, compared {depth}"
            ],
        )


@app.command("list")
@grouped
def list_command(
    place: PlaceOption = DEFAULT_PLACE,
    s3: S3Options = S3_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Every backup with age, size and whether it was verified."""

    async def work() -> tuple[list[Listed], list[str]]:
        async with open_place(place, s3.access) as target:
            catalog = Catalog(target, SystemClock())
            return await catalog.backups(), await catalog.partials()

    with reporting_errors(as_json=as_json):
        found, partials = asyncio.run(work())
        now_ns = SystemClock().now_ns()
        rows = [_row(listed, now_ns) for listed in found]
        lines = [_line(row) for row in rows]
        lines += [f"{name}  left by an interrupted run" for name in partials]
        emit(
            {"backups": rows, "partials": partials},
            as_json=as_json,
            lines=lines or [f"no backup in {place}"],
        )


@app.command()
@grouped
def prune(
    place: PlaceOption = DEFAULT_PLACE,
    keep_last: Annotated[
        int, typer.Option("--keep-last", min=1, help="Verified ones to keep.")
    ] = 7,
    keep_days: Annotated[int, typer.Option("--keep-days", min=0, help="Days to keep all of.")] = 30,
    plan: Annotated[str, typer.Option("--plan", help="The id that was shown: do it.")] = "",
    s3: S3Options = S3_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Show which backups may go; with --plan ID remove exactly these."""

    async def work() -> tuple[tuple[str, ...], tuple[str, ...], str]:
        async with open_place(place, s3.access) as target:
            clock: Clock = SystemClock()
            catalog = Catalog(target, clock)
            found = await catalog.backups()
            kept = Retention(keep_last, keep_days)
            wanted = plan_prune(found, kept, clock.now_ns(), await catalog.partials())
            if plan and plan != wanted.plan_id:
                raise PruneRefusedError(
                    f"the plan is now {wanted.plan_id}, not {plan}",
                    hint="look at it again, without --plan",
                )
            if plan:
                await catalog.remove(wanted.removed)
            return wanted.removed, wanted.kept, wanted.plan_id

    with reporting_errors(as_json=as_json):
        removed, kept, plan_id = asyncio.run(work())
        did = "removed" if plan else "would remove"
        lines = [f"{did} {name}" for name in removed] + [f"keeps {name}" for name in kept]
        if removed and not plan:
            lines.append(f"to do it: zvault backup prune --plan {plan_id}")
        emit(
            {"done": bool(plan), "kept": list(kept), "plan": plan_id, "removed": list(removed)},
            as_json=as_json,
            lines=lines or ["there is no backup"],
        )


def _tell_pass(report: PassReport) -> None:
    held = " (writes held)" if report.held else ""
    progress(f"pass {report.number}: {report.entries} entries, {report.changed} changed{held}")


def _row(listed: Listed, now_ns: int) -> dict[str, Any]:
    record = listed.record
    return {
        "age_seconds": (now_ns - record.taken_ns) // SECOND_NS if record else None,
        "bytes": listed.bytes,
        "entries": record.entries if record else None,
        "name": listed.name,
        "problems": _problems(listed),
        "store": record.store if record else None,
        "verified": listed.verified,
    }


def _problems(listed: Listed) -> list[str]:
    if listed.record is None:
        return ["there is no record of a verification"]
    if listed.record.verified and not listed.verified:
        return ["the file has another size than when it was verified"]
    return list(listed.record.problems)


def _line(row: dict[str, Any]) -> str:
    age = row["age_seconds"]
    old = "of unknown age" if age is None else f"{age // 3600} h {age % 3600 // 60:02} min old"
    state = "verified" if row["verified"] else f"NOT verified: {'; '.join(row['problems'])}"
    return f"{row['name']}  {old}  {row['bytes']} bytes  {state}"


def _print(record: BackupRecord, as_json: bool, said: str) -> None:
    taken = format_time(record.taken_ns // SECOND_NS * SECOND_NS)
    emit(
        asdict(record) | {"taken": taken},
        as_json=as_json,
        lines=[
            f"{record.name}: {said}",
            f"{record.entries} entries as of {taken} ({record.consistency}), {record.bytes} bytes",
            f"{record.seen.get('secrets', 0)} secrets, {record.seen.get('policies', 0)} policies,"
            f" {record.seen.get('roles', 0)} roles, {record.seen.get('tokens', 0)} tokens",
        ],
    )
