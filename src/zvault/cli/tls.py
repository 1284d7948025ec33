"""``zvault tls init|renew|check``: the private CA and the server's certificate.

What lives here: options to values, one call, the result printed.
"""

import signal
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from zvault.base import process
from zvault.base.clock import SystemClock
from zvault.base.errors import PreconditionError, UsageError
from zvault.cli.output import emit, reporting_errors
from zvault.ops.tls.authority import SERVER_DAYS
from zvault.ops.tls.check import (
    DEFAULT_MIN_DAYS,
    PairReport,
    check_files,
    fingerprint,
    read_served,
)
from zvault.ops.tls.errors import TlsBadPairError, TlsNotServedError
from zvault.ops.tls.files import DEFAULT_DIRECTORY, TlsPaths
from zvault.ops.tls.renewal import Listener, await_served, init, renew, utc

app = typer.Typer(no_args_is_help=True, help="The private CA and the server's certificate.")

DirectoryOption = Annotated[Path, typer.Option("--tls-dir", help="Folder of the four PEM files.")]
HostOption = Annotated[
    list[str] | None,
    typer.Option(
        "--host", help="A name or address clients use; loopback is always in. Repeatable."
    ),
]
DaysOption = Annotated[int, typer.Option("--days", min=1, max=825, help="Days it is valid.")]
AddressOption = Annotated[
    str | None, typer.Option("--address", help="https://HOST:PORT to look at with a handshake.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command("init")
def init_command(
    tls_dir: DirectoryOption = DEFAULT_DIRECTORY,
    host: HostOption = None,
    days: DaysOption = SERVER_DAYS,
    name: Annotated[str, typer.Option("--ca-name", help="The CA's name.")] = "zvault private CA",
    as_json: JsonOption = False,
) -> None:
    """Make a CA and a first certificate; nothing is overwritten."""
    with reporting_errors(as_json=as_json):
        report = init(
            TlsPaths.in_directory(tls_dir), host or [], SystemClock(), name=name, days=days
        )
        _print(report, tls_dir, as_json, served=False)


@app.command("renew")
def renew_command(
    tls_dir: DirectoryOption = DEFAULT_DIRECTORY,
    host: HostOption = None,
    days: DaysOption = SERVER_DAYS,
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Make a new key too (pins of the old one break).")
    ] = False,
    pid: Annotated[
        int | None, typer.Option("--reload-pid", help="Send this server SIGHUP afterwards.")
    ] = None,
    pid_file: Annotated[
        Path | None, typer.Option("--reload-pid-file", help="The same, its pid read from a file.")
    ] = None,
    address: AddressOption = None,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds to wait for it.")] = 10.0,
    as_json: JsonOption = False,
) -> None:
    """A new certificate from the same CA; with --address proves that it is served."""
    with reporting_errors(as_json=as_json):
        clock = SystemClock()
        server = _server(pid, pid_file)
        if server is not None and address is None:
            raise UsageError(
                "a reload without a look at the server proves nothing",
                hint="add --address https://HOST:PORT",
            )
        listener = _listener(address, tls_dir) if address else None
        report = renew(
            TlsPaths.in_directory(tls_dir), host or None, clock, days=days, new_key=new_key
        )
        if server is not None and not process.send_signal(server, signal.SIGHUP):
            raise PreconditionError(
                f"the server with pid {server.pid} has ended; the new certificate is on disk",
                hint="start it; it reads the new files",
            )
        if listener is not None:
            await_served(listener, report.fingerprint, timeout_seconds=timeout, clock=clock)
        _print(report, tls_dir, as_json, served=listener is not None)


@app.command("check")
def check_command(
    tls_dir: DirectoryOption = DEFAULT_DIRECTORY,
    host: HostOption = None,
    min_days: Annotated[
        int, typer.Option("--min-days", min=0, help="Fail when fewer days are left.")
    ] = DEFAULT_MIN_DAYS,
    address: AddressOption = None,
    as_json: JsonOption = False,
) -> None:
    """Key, chain, names and time of the pair; with --address also what is served."""
    with reporting_errors(as_json=as_json):
        paths = TlsPaths.in_directory(tls_dir)
        report = check_files(paths, utc(SystemClock()), host or [], min_days)
        if report.problems:
            raise TlsBadPairError(
                f"{paths.certificate}: {'; '.join(report.problems)}", hint="zvault tls renew"
            )
        if address is not None:
            listener = _listener(address, tls_dir)
            shown = fingerprint(read_served(listener.host, listener.port, listener.ca_file))
            if shown != report.fingerprint:
                raise TlsNotServedError(
                    f"{address} shows another certificate than {paths.certificate}",
                    hint="send the server SIGHUP, or use `zvault tls renew --reload-pid-file`",
                )
        _print(report, tls_dir, as_json, served=address is not None)


def _server(pid: int | None, pid_file: Path | None) -> process.ProcessIdentity | None:
    if pid_file is not None:
        try:
            pid = int(pid_file.read_text().strip())
        except (OSError, ValueError):
            raise PreconditionError(
                f"{pid_file} holds no pid", hint="is the server running?"
            ) from None
    if pid is None:
        return None
    server = process.identify(pid)
    if server is None:
        raise PreconditionError(f"no process has the pid {pid}", hint="is the server running?")
    return server


def _listener(address: str, tls_dir: Path) -> Listener:
    parts = urlsplit(address)
    if parts.scheme != "https" or not parts.hostname:
        raise UsageError(f"{address!r} is no https address", hint="write https://HOST:PORT")
    return Listener(parts.hostname, parts.port or 443, TlsPaths.in_directory(tls_dir).ca)


def _print(report: PairReport, tls_dir: Path, as_json: bool, *, served: bool) -> None:
    result: dict[str, Any] = {
        "days_left": report.days_left,
        "fingerprint": report.fingerprint,
        "hosts": list(report.hosts),
        "not_after": report.not_after,
        "serial": report.serial,
        "served": served,
        "spki_pin": report.spki_pin,
        "tls_dir": str(tls_dir),
    }
    emit(
        result,
        as_json=as_json,
        lines=[
            f"certificate {report.serial} for {', '.join(report.hosts)}",
            f"valid until {report.not_after} ({report.days_left} days), key pin {report.spki_pin}",
            "a handshake shows it" if served else "not looked at over the network",
        ],
    )
