"""Secrets of a running service: present before it starts, fresh while it runs, never I/O to read.

What lives here: the store as services see it, its one background thread, its health. What never
does: HTTP, decisions about tokens. Invariants: a read is a look-up in memory; a value older than
declared is not served; a callback that fails hurts nobody else.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from types import TracebackType
from typing import Any, TypeVar, overload

from zakupai_common.secret import Secret
from zakupai_common.vault.auth import login_of
from zakupai_common.vault.connection import VaultConnection
from zakupai_common.vault.declared import Declared
from zakupai_common.vault.errors import (
    AnswerError,
    NotDeclaredError,
    SecretAbsentError,
    SettingsError,
    StaleSecretError,
    StartError,
    VaultClientError,
    VaultUnavailableError,
)
from zakupai_common.vault.settings import VaultSettings
from zakupai_common.vault.upkeep import Counts, Entry, Pace, Upkeep

logger = logging.getLogger("zakupai_common.vault")
T = TypeVar("T")
OnChange = Callable[[frozenset[str]], None]
"""Gets the names of what changed; runs in the store's thread."""


@dataclass(frozen=True, slots=True)
class Health:
    """How the secrets are, without any of them."""

    ready: bool
    """Every required secret can be read now."""
    fresh: bool
    """And the last turn read all of them."""
    oldest_age_seconds: float
    """Of the values that are served; 0 when there is none."""
    token_seconds_left: float
    """0: none; infinite: a token without an end."""
    trouble: str
    """Why Vault as a whole is not answering as it should; "" when it is."""
    trouble_code: str
    failing: dict[str, str]
    """Name of a secret → why it is not read anew."""
    counts: Counts


class SecretStore:
    """The declared secrets of one service.

    ``start`` (or ``with``) blocks until all required secrets are there. Start it in the process
    that reads it: the thread does not survive a fork.
    """

    def __init__(
        self,
        settings: VaultSettings,
        declared: Sequence[Declared[Any]],
        *,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
        luck: Random | None = None,
    ) -> None:
        """Declares; does no I/O but reading the CA file. Raises SettingsError."""
        names = [one.name for one in declared]
        if len(set(names)) != len(names):
            raise SettingsError("two secrets are declared under one name")
        self._settings, self._declared = settings, tuple(declared)
        self._by_name = {one.name: one for one in declared}
        self._pace, self._clock = pace or Pace(), clock
        self._vault = VaultConnection.of(settings)
        self._login = login_of(settings, clock)
        self._upkeep = Upkeep(
            self._vault,
            self._login,
            self._declared,
            settings.kv_mount,
            self._pace,
            clock,
            luck or Random(),  # noqa: S311 - spreads load, hides nothing
        )
        self._entries: dict[object, Entry] = {}
        self._callbacks: list[OnChange] = []
        self._lock = threading.Condition()
        self._asked = self._closing = self._turning = self._serving = False
        self._turns = 0
        self._next_at = 0.0
        self._thread: threading.Thread | None = None

    # -- reading ----------------------------------------------------------------------------

    @overload
    def __getitem__(self, which: Declared[T]) -> Secret[T]: ...

    @overload
    def __getitem__(self, which: str) -> Secret[Any]: ...

    def __getitem__(self, which: "Declared[Any] | str") -> Secret[Any]:
        """The value as it was read last. Never waits.

        Raises StaleSecretError when it is older than declared, SecretAbsentError for an optional
        secret that is not there, NotDeclaredError.
        """
        entry = self._entries.get(which)
        if entry is None or self._clock() > entry.serve_until:
            raise self._why(which, entry)
        return entry.secret

    @overload
    def get(self, which: Declared[T]) -> Secret[T] | None: ...

    @overload
    def get(self, which: str) -> Secret[Any] | None: ...

    def get(self, which: "Declared[Any] | str") -> Secret[Any] | None:
        """As ``[]``, but None for an optional secret that is not there."""
        try:
            return self[which]
        except SecretAbsentError:
            return None

    def together(self, *which: "Declared[Any] | str") -> tuple[Secret[Any], ...]:
        """Several values out of one reading, for a user and a password that change together."""
        while True:
            before = self._entries
            found = tuple(self[one] for one in which)
            if self._entries is before:
                return found

    def _why(self, which: "Declared[Any] | str", entry: Entry | None) -> VaultClientError:
        name = which if isinstance(which, str) else which.name
        if which not in (name, self._by_name.get(name)) or name not in self._by_name:
            return NotDeclaredError(
                f"secret {name!r} is not declared", hint="give the store what you read with"
            )
        if not self._serving:
            return SecretAbsentError(f"secret {name!r} is not there: the store is not started")
        because = self._upkeep.errors.get(name) or self._upkeep.trouble
        reason = because.message if because else "it was not read again"
        if entry is None:
            return SecretAbsentError(f"secret {name!r} is not there: {reason}")
        return StaleSecretError(
            f"secret {name!r} was last read {self._clock() - entry.read_at:.0f} s ago: {reason}"
        )

    # -- life -------------------------------------------------------------------------------

    def start(self) -> None:
        """Block until every required secret is there, then keep them in the background.

        Waits for a Vault that is sealed or away as long as ``pace.start`` says; what waiting
        cannot mend (a refused login, an absent or denied secret) fails at once. Raises StartError.
        """
        if self._thread is not None or self._closing:
            raise SettingsError("a store is started once")
        give_up_at = self._clock() + self._pace.start
        while True:
            wait = self._upkeep.turn(read_now=True)
            missing = self._missing()
            if not missing:
                break
            left = give_up_at - self._clock()
            if left <= 0 or not isinstance(self._upkeep.trouble, VaultUnavailableError):
                self._vault.close()
                raise self._start_error(missing)
            with self._lock:
                if self._lock.wait_for(lambda: self._closing, min(wait, left)):
                    raise StartError("closed while starting", missing=missing)
        self._upkeep.changed.clear()
        self._entries, self._serving = self._upkeep.entries, True
        self._next_at = self._clock() + wait
        self._thread = threading.Thread(target=self._run, name="zakupai-secrets", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, end the token if it is ours, forget the values."""
        with self._lock:
            self._closing, self._serving = True, False
            self._lock.notify_all()
        if self._thread is not None:
            self._thread.join(self._settings.timeout_seconds * 4)
            if not self._thread.is_alive():
                self._end_token()
            self._thread = None
        self._vault.close()
        self._entries = self._upkeep.entries = {}

    def __enter__(self) -> "SecretStore":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _end_token(self) -> None:
        if self._login.own and self._upkeep.lease is not None and not self._upkeep.trouble:
            try:
                self._vault.revoke_self()
            except VaultClientError as trouble:
                logger.info("the token is left to expire: %s", trouble)

    def _missing(self) -> dict[str, str]:
        upkeep, missing = self._upkeep, {}
        for one in self._declared:
            error = upkeep.errors.get(one.name) or upkeep.trouble
            # an optional secret may be absent, but not denied: that is a mistake in a policy
            if one.name not in upkeep.entries and (one.required or one.name in upkeep.errors):
                missing[one.name] = error.message if error else "not read"
        return missing

    def _start_error(self, missing: dict[str, str]) -> StartError:
        trouble = self._upkeep.trouble
        reasons = "; ".join(sorted({trouble.message} if trouble else set(missing.values())))
        error = StartError(
            f"cannot start without {', '.join(sorted(missing))}: {reasons}",
            hint=trouble.hint if trouble else "write the secret, or let the role's policy read it",
            missing=missing,
        )
        error.__cause__ = trouble
        return error

    # -- the thread -------------------------------------------------------------------------

    def on_change(self, callback: OnChange) -> Callable[[], None]:
        """Call ``callback`` after values changed; returns what ends that."""
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    def refresh(self, timeout_seconds: float = 10.0) -> bool:
        """Read everything again now, for who was refused a password that may have changed.

        True: all values are as Vault has them. While Vault fails, no request is sent before its
        wait is over. Callers at one time share one reading.
        """
        with self._lock:
            if self._thread is None or self._closing:
                return False
            give_up_at = time.monotonic() + timeout_seconds
            if not self._lock.wait_for(lambda: not self._turning, timeout_seconds):
                return False
            if self._upkeep.trouble is not None and self._clock() < self._next_at:
                return False
            wanted = self._turns + 1
            self._asked = True
            self._lock.notify_all()
            done = self._lock.wait_for(
                lambda: self._turns >= wanted, max(0.0, give_up_at - time.monotonic())
            )
        return done and self._upkeep.trouble is None and not self._upkeep.errors

    def health(self) -> Health:
        """How the secrets are. Never waits."""
        upkeep, now, entries = self._upkeep, self._clock(), self._entries
        served = [entries[one.name] for one in self._declared if one.name in entries]
        ready = self._serving and all(
            one.name in entries and now <= entries[one.name].serve_until
            for one in self._declared
            if one.required
        )
        lease, trouble = upkeep.lease, upkeep.trouble
        failing = {name: error.message for name, error in sorted(upkeep.errors.items())}
        return Health(
            ready,
            ready and trouble is None and not failing,
            max((now - entry.read_at for entry in served), default=0.0),
            max(0.0, lease.ends_at - now) if lease else 0.0,
            trouble.message if trouble else "",
            trouble.code if trouble else "",
            failing,
            Counts(
                upkeep.counts.logins,
                upkeep.counts.renewals,
                upkeep.counts.refreshes,
                upkeep.counts.failures,
            ),
        )

    def _run(self) -> None:
        while True:
            with self._lock:
                wait = max(0.0, self._next_at - self._clock())
                self._lock.wait_for(lambda: self._asked or self._closing, wait)
                if self._closing:
                    return
                asked, self._asked, self._turning = self._asked, False, True
            wait = self._turn(asked)
            changed = frozenset(self._upkeep.changed)
            self._upkeep.changed.clear()
            with self._lock:
                if self._closing:  # what was read since is for nobody
                    self._upkeep.entries, self._turning = {}, False
                    self._lock.notify_all()
                    return
                self._entries = self._upkeep.entries
            if changed:
                self._tell(changed)
            with self._lock:
                self._next_at = self._clock() + wait
                self._turns += 1
                self._turning = False
                self._lock.notify_all()

    def _turn(self, read_now: bool) -> float:
        try:
            return self._upkeep.turn(read_now=read_now)
        except Exception as bug:
            # its text may quote what it stumbled over
            logger.error("upkeep stumbled: %s", type(bug).__name__)
            self._upkeep.trouble = AnswerError(f"upkeep stumbled: {type(bug).__name__}")
            return self._pace.longest_wait

    def _tell(self, changed: frozenset[str]) -> None:
        for callback in tuple(self._callbacks):
            try:
                callback(changed)
            except Exception as error:
                logger.error("a callback for changed secrets failed: %s", type(error).__name__)
