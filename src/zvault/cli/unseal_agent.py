"""``zvault unseal-agent`` and ``zvault unseal``.

What lives here: options to values, one call, the result printed. What never does: a share in argv.
"""

import contextlib
import resource
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from zvault.base.clock import SystemClock
from zvault.base.secret import Secret
from zvault.cli.output import emit, reporting_errors
from zvault.cli.unseal_options import (
    DEFAULT_ADDRESS,
    DEFAULT_KEY_FILE,
    AddressOption,
    CaFileOption,
    CredentialOption,
    JsonOption,
    KeyFileOption,
    OwnerOption,
    PasswordFdOption,
    PasswordFileOption,
    PinOption,
    SharesFileOption,
    password_source,
    peer_rules,
)
from zvault.ops.runtime.process import DetachedProcess
from zvault.ops.unseal.agent import Agent, StopNow
from zvault.ops.unseal.material import KeyFileMaterial
from zvault.ops.unseal.passwords import FilePassword
from zvault.ops.unseal.peer import PeerRules
from zvault.ops.unseal.report import SingleInstance, StatusJournal
from zvault.ops.unseal.shares import prompt_shares, read_shares_file
from zvault.ops.unseal.submit import Unsealed, submit_round
from zvault.ops.unseal.supervisor import RecordSupervisor

_WATCH_SECONDS = 2.0
_UNSEAL_SECONDS = 120.0
"""A store with very many leases takes long to unseal, above all on object storage."""
DEFAULT_RUN_DIR = Path("monitoring/vault/run")

RunDirOption = Annotated[
    Path, typer.Option("--run-dir", help="Where pid file and status file of the agent are.")
]
RecordOption = Annotated[
    Path | None,
    typer.Option(
        "--server-record", help="The embedded server's server.json: restart it if it dies."
    ),
]
LogOption = Annotated[
    Path, typer.Option("--server-log", help="Log of a server that the agent restarts.")
]
OnceOption = Annotated[
    bool, typer.Option("--once", help="End when it is unsealed, or with the reason why not.")
]
TimeoutOption = Annotated[float, typer.Option("--timeout", help="Seconds that --once waits.")]


def register(program: typer.Typer) -> None:
    """Add the commands."""
    program.command("unseal-agent", help="Keep a Vault unsealed, unattended.")(unseal_agent)
    program.command("unseal", help="Unseal a Vault by hand and read back that it is.")(unseal)


def unseal_agent(
    address: AddressOption = DEFAULT_ADDRESS,
    key_file: KeyFileOption = DEFAULT_KEY_FILE,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    password_credential: CredentialOption = None,
    owner: OwnerOption = None,
    ca_file: CaFileOption = None,
    spki_pin: PinOption = None,
    run_dir: RunDirOption = DEFAULT_RUN_DIR,
    server_record: RecordOption = None,
    server_log: LogOption = Path("monitoring/vault/logs/vault.log"),
    once: OnceOption = False,
    timeout: TimeoutOption = 30.0,
    as_json: JsonOption = False,
) -> None:
    """Watches seal-status; gives shares up to the threshold when it is sealed."""
    with reporting_errors(as_json=as_json):
        password = password_source(password_file, password_fd, password_credential)
        supervisor = None
        if server_record is not None:
            supervisor = RecordSupervisor(
                DetachedProcess("server", server_record, server_log, Path.cwd())
            )
        find_pid = supervisor.pid if supervisor else None
        rules = peer_rules(address, owner, ca_file, spki_pin, find_pid)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if not isinstance(password, FilePassword):
            password.read()
        clock = SystemClock()
        with contextlib.closing(SingleInstance(run_dir)):
            agent = Agent(
                watcher=rules.connect(_WATCH_SECONDS),
                vault=rules.connect(_UNSEAL_SECONDS),
                material=KeyFileMaterial(key_file, password),
                clock=clock,
                journal=StatusJournal(address, run_dir, clock),
                supervisor=supervisor,
            )
            stop = _stop_on_signals(agent)
            if not once:
                agent.run(stop)
                return
            agent.run_once(stop, timeout)
        seconds = agent.memory.last_unseal_seconds
        emit(
            {"sealed": False, "unsealed_after_seconds": seconds},
            as_json=as_json,
            lines=["unsealed" if seconds is None else f"unsealed after {seconds:.3f} s"],
        )


def unseal(
    address: AddressOption = DEFAULT_ADDRESS,
    shares_file: SharesFileOption = None,
    key_file: Annotated[
        Path | None, typer.Option("--key-file", help="Take the shares from this key file.")
    ] = None,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    password_credential: CredentialOption = None,
    owner: OwnerOption = None,
    ca_file: CaFileOption = None,
    spki_pin: PinOption = None,
    as_json: JsonOption = False,
) -> None:
    """Shares come from a file, a key file, or are asked for one by one."""
    with reporting_errors(as_json=as_json):
        rules = peer_rules(address, owner, ca_file, spki_pin)
        given: list[Secret] | None = None
        if shares_file is not None:
            given = read_shares_file(shares_file)
        elif key_file is not None:
            password = password_source(password_file, password_fd, password_credential)
            given = KeyFileMaterial(key_file, password).shares()
        done = _unseal(rules, given)
        state = (
            "was already unsealed; the shares were not tried"
            if not done.submitted
            else (f"unsealed with {done.submitted} shares; read back: sealed=false")
        )
        emit(
            {
                "address": address,
                "cluster_id": done.status.cluster_id,
                "sealed": done.status.sealed,
                "submitted": done.submitted,
                "version": done.status.version,
            },
            as_json=as_json,
            lines=[f"{address}: {state}"],
        )


def _unseal(rules: PeerRules, given: list[Secret] | None) -> Unsealed:
    vault = rules.connect(_UNSEAL_SECONDS)
    if given is None:
        status = vault.seal_status()
        wanted = status.sealed and status.initialized
        given = prompt_shares(status.threshold) if wanted else []
    return submit_round(vault, given)


def _stop_on_signals(agent: Agent) -> threading.Event:
    stop = threading.Event()

    def on_signal(*_: object) -> None:
        stop.set()
        if agent.submitting:
            raise StopNow

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    return stop
