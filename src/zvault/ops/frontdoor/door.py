"""The front door as its operator sees it: start, watch, open and close plaintext, stop.

What lives here: the life of one Caddy process that outlives server, agent and ``zvault migrate``.
What never does: what it is configured to do (``render.py``).
Invariants: nothing is reported that was not read back (the configuration from the running proxy,
an open or closed site by a request to it); only the recorded process is ever signalled.
"""

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from zvault.base.atomic_file import fsync_directory, make_folders, require_private, write_atomic
from zvault.base.process import (
    ProcessIdentity,
    is_alive,
    send_signal,
    spawn_detached,
    terminate,
    wait_gone,
)
from zvault.ops.frontdoor.admin import SiteCounts, load_again, running_config, site_counts
from zvault.ops.frontdoor.errors import (
    FrontDoorBusyError,
    FrontDoorCheckError,
    FrontDoorDownError,
    FrontDoorSettingsError,
)
from zvault.ops.frontdoor.probe import (
    Gate,
    find_caddy,
    last_error_line,
    probe,
    require_free,
    serves_certificate,
)
from zvault.ops.frontdoor.render import ADMIN_SOCKET, PLAINTEXT_SITE, TLS_SITE, render
from zvault.ops.frontdoor.settings import FrontDoorSettings, check_settings, split_address

STATE_VERSION = 1
NOTHING = SiteCounts()
_START_SECONDS = 10.0
_STOP_SECONDS = 15.0
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Observation:
    """What was seen just now. ``config_matches``: the proxy runs what the settings mean.

    ``plaintext_refused``: the door's own refusal was read, which is more than not being open.
    """

    running: bool
    pid: int | None = None
    config_matches: bool = False
    plaintext_open: bool = False
    plaintext_refused: bool = False
    tls_open: bool = False
    plaintext: SiteCounts = NOTHING
    tls: SiteCounts = NOTHING
    address: str | None = None


class FrontDoor:
    """One front door. Every method may be called by any process of the same user."""

    def __init__(self, settings: FrontDoorSettings) -> None:
        check_settings(settings)
        self.settings = settings

    def start(self) -> Observation:
        """Start the proxy and prove that both sites answer. Already running as meant: no change.

        Plaintext is open at the first start in a run directory; later it stays as it was.
        Raises FrontDoorSettingsError, FrontDoorMissingError, FrontDoorPortError, FrontDoorBusyError
        (runs with another configuration), FrontDoorDownError (ended at once), FrontDoorCheckError.
        """
        program = find_caddy(self.settings.caddy)
        self._check_files()
        with self._lock():
            process = self._recorded()
            if process is None:
                process = self._spawn(program)
            self._await_config(process)
            seen = self.observe()
        if not seen.tls_open:
            raise FrontDoorCheckError(
                f"{self.settings.tls_url} does not answer with a certificate of "
                f"{self.settings.ca_file}",
                hint="certificate, key and CA file must belong together",
            )
        return seen

    def stop(self) -> None:
        """End the proxy; what it holds is answered first. Not running: no change.

        Raises FrontDoorDownError when it does not end.
        """
        with self._lock():
            process = self._recorded()
            if process is not None and not terminate(process, _STOP_SECONDS):
                send_signal(process, signal.SIGKILL)
                if not wait_gone(process, _STOP_SECONDS):
                    raise FrontDoorDownError(
                        f"the front door (pid {process.pid}) does not end", hint="end it by hand"
                    )
            self.settings.state_file.unlink(missing_ok=True)

    def reload(self) -> Observation:
        """Load the certificate files again and prove that the new one is served.

        Not at a cut-over: it closes keep-alive connections. Raises FrontDoorDownError,
        FrontDoorCheckError.
        """
        self._check_files()
        with self._lock():
            if self._recorded() is None:
                raise FrontDoorDownError("the front door is down", hint="zvault frontdoor start")
            load_again(self.settings.run_dir, render(self.settings))
            seen = self.observe()
        if not serves_certificate(self.settings):
            raise FrontDoorCheckError(
                f"{self.settings.tls_url} does not show {self.settings.certificate_file}",
                hint="certificate, key and CA file must belong together",
            )
        return seen

    def observe(self) -> Observation:
        """Look at everything again. A door that does not run is an observation, not an error."""
        process = self._recorded()
        if process is None:
            return Observation(running=False, address=self.read_address_file())
        counts = site_counts(self.settings.run_dir)
        plaintext = probe(self.settings.plaintext_url, None)
        return Observation(
            running=True,
            pid=process.pid,
            config_matches=running_config(self.settings.run_dir) == render(self.settings),
            plaintext_open=plaintext is Gate.OPEN,
            plaintext_refused=plaintext is Gate.REFUSED,
            tls_open=probe(self.settings.tls_url, self.settings.ca_file) is Gate.OPEN,
            plaintext=counts.get(PLAINTEXT_SITE, NOTHING),
            tls=counts.get(TLS_SITE, NOTHING),
            address=self.read_address_file(),
        )

    def allow_plaintext(self, allowed: bool) -> None:
        """Let requests through the plaintext site, or refuse them (403), from the next one on.

        No reload: the proxy looks for a flag file at every request. Raises FrontDoorCheckError
        when the site, asked afterwards, does not do so; a door that is down does neither.
        """
        self._write_flag(allowed)
        if probe(self.settings.plaintext_url, None) is not (Gate.OPEN if allowed else Gate.REFUSED):
            wanted = "let requests through" if allowed else "refuse requests"
            raise FrontDoorCheckError(
                f"{self.settings.plaintext_url} does not {wanted}", hint="zvault frontdoor status"
            )

    def write_address_file(self, url: str) -> None:
        """Tell clients where to go: one line, replaced atomically, read before each operation."""
        if url not in (self.settings.plaintext_url, self.settings.tls_url):
            raise FrontDoorSettingsError(
                f"{url} is none of this front door's sites",
                hint=f"{self.settings.plaintext_url} or {self.settings.tls_url}",
            )
        write_atomic(self.settings.address_file, f"{url}\n".encode(), mode=0o644)

    def read_address_file(self) -> str | None:
        """The address that clients read; None when there is no file yet."""
        try:
            return self.settings.address_file.read_text().strip()
        except FileNotFoundError:
            return None

    def _check_files(self) -> None:
        settings = self.settings
        for path in (settings.certificate_file, settings.key_file, settings.ca_file):
            if not path.is_file():
                raise FrontDoorSettingsError(
                    f"{path} does not exist", hint="zvault tls init makes a CA and certificates"
                )
        require_private(settings.key_file)

    def _spawn(self, program: Path) -> ProcessIdentity:
        settings = self.settings
        for address in (settings.plaintext_listen, settings.tls_listen):
            require_free(*split_address(address))
        if not settings.config_file.exists():
            self._write_flag(True)
        write_atomic(settings.config_file, json.dumps(render(settings), indent=2).encode())
        (settings.run_dir / ADMIN_SOCKET).unlink(missing_ok=True)
        environment = {
            "HOME": str(settings.run_dir),
            "XDG_DATA_HOME": str(settings.run_dir / "caddy"),
            "XDG_CONFIG_HOME": str(settings.run_dir / "caddy"),
        }
        process = spawn_detached(
            [str(program), "run", "--config", str(settings.config_file)],
            cwd=settings.run_dir,
            env=environment,
            log_path=settings.log_file,
        )
        state = {"version": STATE_VERSION, "pid": process.pid, "started": process.started}
        write_atomic(settings.state_file, json.dumps(state).encode())
        return process

    def _await_config(self, process: ProcessIdentity) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            if not is_alive(process):
                raise FrontDoorDownError(
                    f"the front door ended at once: {last_error_line(self.settings.log_file)}",
                    hint=f"its log is {self.settings.log_file}",
                )
            try:
                config = running_config(self.settings.run_dir)
            except FrontDoorDownError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(_POLL_SECONDS)
                continue
            if config == render(self.settings):
                return
            raise FrontDoorBusyError(
                f"a front door with another configuration runs (pid {process.pid})",
                hint="zvault frontdoor stop, then start; clients are refused in between",
            )

    def _recorded(self) -> ProcessIdentity | None:
        """The process of the state file, if exactly that one still runs."""
        try:
            state = json.loads(self.settings.state_file.read_bytes())
            process = ProcessIdentity(int(state["pid"]), int(state["started"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            raise FrontDoorSettingsError(
                f"{self.settings.state_file} is damaged",
                hint="end the caddy process by hand and remove the file",
            ) from None
        return process if is_alive(process) else None

    def _write_flag(self, allowed: bool) -> None:
        if allowed:
            write_atomic(self.settings.flag_file, b"")
        else:
            self.settings.flag_file.unlink(missing_ok=True)
            fsync_directory(self.settings.run_dir)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """One start or stop at a time; the kernel lets go when its holder dies."""
        make_folders(self.settings.run_dir)
        path = self.settings.run_dir / "frontdoor.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
