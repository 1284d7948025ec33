"""``zvault keyfile create|verify|rotate|show|destroy``.

What lives here: options to values, one call, the result printed. What never does: a share or a
password in argv or in the output.
"""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from zvault.app.stores import opened
from zvault.base.clock import SystemClock
from zvault.base.errors import UsageError
from zvault.base.secret import Secret
from zvault.cli.groups import grouped
from zvault.cli.output import emit, progress, reporting_errors
from zvault.cli.store_options import (
    S3_DEFAULT,
    S3Options,
)
from zvault.cli.unseal_options import (
    DEFAULT_KEY_FILE,
    CredentialOption,
    JsonOption,
    KeyFileOption,
    PasswordFdOption,
    PasswordFileOption,
    SharesFileOption,
    password_source,
)
from zvault.offline.proof import prove_unseal_key
from zvault.offline.threshold import threshold_of
from zvault.ops.unseal.keeping import Maker, destroy_key_file, load_key_file, prove_key_file
from zvault.ops.unseal.keyfile import DEFAULT_ITERATIONS
from zvault.ops.unseal.keyfile_header import KeyFileHeader, public_fields
from zvault.ops.unseal.material import KeyFileMaterial
from zvault.ops.unseal.passwords import check_new_password
from zvault.ops.unseal.shares import prompt_shares, read_shares_file
from zvault.storage.api import Storage

app = typer.Typer(no_args_is_help=True, help="Shares under a password, proven against the store.")
DEFAULT_STORE = "file:monitoring/vault/data"

StoreOption = Annotated[
    str, typer.Option("--store", help="The Vault's store: the key is proven there, offline.")
]
IterationsOption = Annotated[
    int, typer.Option("--iterations", help="PBKDF2 iterations, at least 250,000.")
]
NameOption = Annotated[str, typer.Option("--name", help="What people call this Vault.")]
OldFileOption = Annotated[
    Path | None,
    typer.Option("--from-old", help="Take the shares from this older key file."),
]


@app.command()
@grouped
def create(
    key_file: KeyFileOption = DEFAULT_KEY_FILE,
    store: StoreOption = DEFAULT_STORE,
    shares_file: SharesFileOption = None,
    from_old: OldFileOption = None,
    old_password_file: Annotated[
        Path | None, typer.Option("--old-password-file", help="Password of --from-old.")
    ] = None,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    password_credential: CredentialOption = None,
    name: NameOption = "",
    iterations: IterationsOption = DEFAULT_ITERATIONS,
    s3: S3Options = S3_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Make a key file from shares, proven by opening the store with it."""

    async def work() -> KeyFileHeader:
        async with opened(store, s3.access) as storage:
            shares = await _given_shares(storage, shares_file, from_old, old_password_file)
            source = password_source(password_file, password_fd, password_credential, new=True)
            password = source.read()
            _remark(check_new_password(password))
            return await _maker(iterations).create(key_file, storage, shares, password, name)

    with reporting_errors(as_json=as_json):
        _print(asyncio.run(work()), key_file, as_json, f"{key_file} made; it opens {store}")


@app.command()
@grouped
def verify(
    key_file: KeyFileOption = DEFAULT_KEY_FILE,
    store: StoreOption = DEFAULT_STORE,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    password_credential: CredentialOption = None,
    s3: S3Options = S3_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Open it with the password, and the store's root key and keyring with what is inside."""

    async def work() -> KeyFileHeader:
        loaded = load_key_file(key_file)
        password = password_source(password_file, password_fd, password_credential).read()
        async with opened(store, s3.access) as storage:
            await prove_key_file(loaded, password, storage, prove_unseal_key)
        return loaded.header

    with reporting_errors(as_json=as_json):
        _print(asyncio.run(work()), key_file, as_json, f"{key_file} opens {store}")


@app.command()
@grouped
def rotate(
    key_file: KeyFileOption = DEFAULT_KEY_FILE,
    store: StoreOption = DEFAULT_STORE,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    new_password_file: Annotated[
        Path | None, typer.Option("--new-password-file", help="The new password (default: same).")
    ] = None,
    shares_file: SharesFileOption = None,
    iterations: IterationsOption = DEFAULT_ITERATIONS,
    s3: S3Options = S3_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """A new password, new shares (after a rekey), or both; the old file stays until proven."""
    if new_password_file is None and shares_file is None:
        progress("neither --new-password-file nor --shares-file: only salt and nonce change")

    async def work() -> KeyFileHeader:
        old = password_source(password_file, password_fd, None).read()
        new = old
        if new_password_file is not None:
            new = password_source(new_password_file, None, None).read()
            _remark(check_new_password(new))
        shares = read_shares_file(shares_file) if shares_file else None
        async with opened(store, s3.access) as storage:
            return await _maker(iterations).rotate(key_file, storage, old, new, shares)

    with reporting_errors(as_json=as_json):
        _print(asyncio.run(work()), key_file, as_json, f"{key_file} renewed; it opens {store}")


@app.command()
def show(key_file: KeyFileOption = DEFAULT_KEY_FILE, as_json: JsonOption = False) -> None:
    """The header: what the file is for. No password needed, no secret shown."""
    with reporting_errors(as_json=as_json):
        header = load_key_file(key_file).header
        _print(header, key_file, as_json, f"{key_file} is whole; not opened, not proven")


@app.command()
def destroy(
    key_file: KeyFileOption = DEFAULT_KEY_FILE,
    yes: Annotated[str, typer.Option("--yes", help="The file's own name, to confirm.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Overwrite and remove it. Copies of it elsewhere call for a rekey."""
    with reporting_errors(as_json=as_json):
        destroy_key_file(key_file, yes)
        emit(
            {"destroyed": str(key_file)},
            as_json=as_json,
            lines=[f"{key_file} overwritten and removed; snapshots may keep old blocks"],
        )


async def _given_shares(
    storage: Storage, shares_file: Path | None, old: Path | None, old_password: Path | None
) -> list[Secret]:
    if shares_file is not None and old is not None:
        raise UsageError("shares come from one place", hint="give --shares-file or --from-old")
    if shares_file is not None:
        return read_shares_file(shares_file)
    if old is not None:
        return KeyFileMaterial(old, password_source(old_password, None, None)).shares()
    return prompt_shares(await threshold_of(storage))


def _maker(iterations: int) -> Maker:
    return Maker(prove_unseal_key, SystemClock(), iterations=iterations)


def _remark(text: str) -> None:
    if text:
        progress(f"remark: {text}")


def _print(header: KeyFileHeader, path: Path, as_json: bool, said: str) -> None:
    result: dict[str, Any] = {"key_file": str(path), "header": public_fields(header)}
    emit(
        result,
        as_json=as_json,
        lines=[
            said,
            f"{header.held} of {header.total} shares, threshold {header.threshold};"
            f" PBKDF2 {header.iterations} iterations; made {header.created}",
            f"for {header.vault.name or 'a Vault'} with seal {header.vault.fingerprint[:16]}",
        ],
    )
