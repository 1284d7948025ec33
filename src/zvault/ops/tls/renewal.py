"""Making and renewing the server's certificate, and proving that it is served.

What lives here: init, renew, reload and the look at what came of it. What never does: what a
certificate says (``authority.py``).
Invariants: a CA is never overwritten; a pair is judged before it gets its name; after a reload
success is what a real handshake shows.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from zvault.base.clock import Clock
from zvault.ops.tls.authority import (
    SERVER_DAYS,
    Authority,
    ServerPair,
    hosts_of,
    issue,
    make_authority,
)
from zvault.ops.tls.check import PairReport, check_pair, fingerprint, read_served
from zvault.ops.tls.errors import (
    TlsBadPairError,
    TlsExistsError,
    TlsFileError,
    TlsHandshakeError,
    TlsNotServedError,
)
from zvault.ops.tls.files import (
    TlsPaths,
    load_authority,
    load_certificate,
    load_key,
    load_pair,
    write_authority,
    write_pair,
)

_LOOK_AGAIN_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Listener:
    """Where the server shows its certificate."""

    host: str
    port: int
    ca_file: Path


def utc(clock: Clock) -> datetime:
    """The clock's time as certificates know it."""
    return datetime.fromtimestamp(clock.now_ns() // 1_000_000_000, UTC)


def init(
    paths: TlsPaths, hosts: Sequence[str], clock: Clock, *, name: str, days: int = SERVER_DAYS
) -> PairReport:
    """A new CA and a first pair.

    Raises TlsExistsError when any of the four files is there, TlsBadPairError, TlsFileError,
    UsageError.
    """
    for path in (paths.ca, paths.ca_key, paths.certificate, paths.key):
        if path.exists():
            raise TlsExistsError(
                f"{path} exists", hint="renew with `zvault tls renew`, which keeps the CA"
            )
    now = utc(clock)
    authority = make_authority(name, now)
    pair = issue(authority, hosts, now, days=days)
    report = _judged(pair, authority, now, hosts)
    write_authority(paths, authority)
    write_pair(paths, pair)
    return report


def renew(
    paths: TlsPaths,
    hosts: Sequence[str] | None,
    clock: Clock,
    *,
    days: int = SERVER_DAYS,
    new_key: bool = False,
) -> PairReport:
    """A new certificate from the same CA; the server's key stays unless ``new_key``.

    With the key kept there is one file to replace, so no moment has a pair that does not fit, and
    pins of the key stay true. ``hosts`` None keeps those of the present certificate. Raises
    TlsFileError without a CA or where nothing can be written, TlsBadPairError.
    """
    now = utc(clock)
    authority = load_authority(paths)
    present = load_certificate(paths.certificate) if paths.certificate.exists() else None
    if hosts is None:
        hosts = hosts_of(present) if present else []
    key = None if new_key or not paths.key.exists() else load_key(paths.key)
    pair = issue(authority, hosts, now, days=days, key=key)
    report = _judged(pair, authority, now, hosts)
    write_pair(paths, pair)
    if fingerprint(load_pair(paths).certificate) != report.fingerprint:
        raise TlsFileError(f"{paths.certificate} did not keep what was written", hint="disk full?")
    return report


def await_served(
    listener: Listener,
    wanted: str,
    *,
    timeout_seconds: float,
    clock: Clock,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return when a handshake shows the certificate with fingerprint ``wanted``.

    Raises TlsNotServedError or TlsHandshakeError after the timeout.
    """
    deadline = clock.monotonic() + timeout_seconds
    while True:
        trouble: TlsHandshakeError | None = None
        try:
            served = read_served(listener.host, listener.port, listener.ca_file)
            if fingerprint(served) == wanted:
                return
        except TlsHandshakeError as error:
            trouble = error
        if clock.monotonic() >= deadline:
            raise trouble or TlsNotServedError(
                f"{listener.host}:{listener.port} still shows another certificate after"
                f" {timeout_seconds:g} s",
                hint="does the server read these files, and did the reload signal reach it?",
            )
        sleep(_LOOK_AGAIN_SECONDS)


def _judged(
    pair: ServerPair, authority: Authority, now: datetime, hosts: Sequence[str]
) -> PairReport:
    report = check_pair(pair, authority.certificate, now, hosts)
    if report.problems:
        raise TlsBadPairError(
            f"the new certificate would not serve: {'; '.join(report.problems)}",
            hint="is the CA itself still valid? see `zvault tls check`",
        )
    return report
