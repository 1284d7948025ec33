"""One turn of keeping a service's secrets: the token alive, the values read.

What lives here: the state between turns and what one turn does. What never does: a thread, a wait;
``store.py`` has both. Invariants: a failing Vault gets one request a turn; values that were read
stay until they are older than declared; a 403 with a token that is good is a policy's, and never
leads to a login.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from zakupai_common.secret import Secret
from zakupai_common.vault import lease as leases
from zakupai_common.vault.auth import Login
from zakupai_common.vault.connection import KvMount, VaultConnection
from zakupai_common.vault.declared import Declared
from zakupai_common.vault.errors import (
    CertificateError,
    LoginRefusedError,
    PermissionDeniedError,
    RequestRefusedError,
    SecretAbsentError,
    SettingsError,
    VaultClientError,
    VaultUnavailableError,
)

logger = logging.getLogger("zakupai_common.vault")


@dataclass(frozen=True, slots=True)
class Pace:
    """How often and how long, in seconds.

    ``refresh``: between two reads of all secrets. ``max_age``: how long a value may be served
    without being read again. ``start``: how long a start waits for Vault. ``first_wait`` and
    ``longest_wait``: after failures.
    """

    refresh: float = 60.0
    max_age: float = 24 * 3600.0
    start: float = 60.0
    first_wait: float = 0.5
    longest_wait: float = 30.0

    def __post_init__(self) -> None:
        if min(self.refresh, self.max_age, self.first_wait, self.longest_wait) <= 0:
            raise SettingsError("every pace must be more than 0 seconds")
        if self.max_age < self.refresh:
            raise SettingsError("values would be too old before they are read again")


@dataclass(frozen=True, slots=True)
class Entry:
    """A value and until when, on the monotonic clock, it may be served."""

    secret: Secret[Any]
    read_at: float
    serve_until: float


@dataclass(slots=True)
class Counts:
    """What was done since the start; each only grows."""

    logins: int = 0
    renewals: int = 0
    refreshes: int = 0
    failures: int = 0


@dataclass(slots=True)
class Upkeep:
    """The state; ``turn`` moves it on. Not for two threads at once."""

    vault: VaultConnection
    login: Login
    declared: Sequence[Declared[Any]]
    kv_mount: str
    pace: Pace
    clock: Callable[[], float] = time.monotonic
    luck: Random = field(default_factory=Random)
    entries: dict[object, Entry] = field(default_factory=dict)
    """By name and by declaration. Replaced as a whole, never changed: readers take no lock."""
    lease: leases.Lease | None = None
    errors: dict[str, VaultClientError] = field(default_factory=dict)
    """By name: why the last read of this secret failed."""
    trouble: VaultClientError | None = None
    """Why the last turn failed as a whole."""
    counts: Counts = field(default_factory=Counts)
    _mount: KvMount | None = None
    _read_at: float = -math.inf
    _in_a_row: int = 0
    _proven: bool = False
    """The token was good in this turn, so a refusal is about what it may do."""
    changed: set[str] = field(default_factory=set)
    """Names whose value differs from what was served before; the caller empties it."""

    def turn(self, *, read_now: bool = False) -> float:
        """Do what is due; seconds until the next turn. Raises nothing of Vault's."""
        self._proven = False
        try:
            if isinstance(self.trouble, CertificateError):
                self.vault.reopen()
            trouble = self._keep_token()
            if read_now or self.clock() >= self._read_at:
                self._read_all()
        except VaultClientError as failure:
            trouble = failure
        if trouble is not None:
            return self._after(trouble)
        if self.trouble is not None:
            logger.info("Vault is there again, after %d failures", self._in_a_row)
        self.trouble, self._in_a_row = None, 0
        due_at = self.lease.due_at if self.lease else 0.0
        return max(0.0, min(self._read_at, due_at) - self.clock())

    def _after(self, trouble: VaultClientError) -> float:
        if self.trouble is None or self.trouble.code != trouble.code:
            logger.warning("secrets are served as they were read: %s", trouble)
        self.trouble = trouble
        self._in_a_row += 1
        self.counts.failures += 1
        wait = leases.backoff_seconds(
            self._in_a_row,
            self.luck.random(),
            first=self.pace.first_wait,
            longest=self.pace.longest_wait,
        )
        asked = trouble.retry_after if isinstance(trouble, VaultUnavailableError) else 0.0
        return max(wait, min(asked, self.pace.longest_wait))

    # -- the token --------------------------------------------------------------------------

    def _keep_token(self) -> VaultClientError | None:
        """A live token. Returns what stands in the way of a new one while the old one lives."""
        due = leases.Due.LOGIN if self.lease is None else self.lease.due(self.clock())
        if due is leases.Due.RENEWAL and self._renew():
            return None
        if due is leases.Due.NOTHING:
            return None
        try:
            self._log_in()
        except (LoginRefusedError, SettingsError) as refusal:
            if self.lease is None or self.clock() >= self.lease.ends_at:
                self.lease = None
                raise
            self.vault.use(self.lease.token)
            return refusal
        return None

    def _renew(self) -> bool:
        """Prolong the token's life; False when Vault will not, and the token is given up."""
        assert self.lease is not None
        now = self.clock()
        try:
            grant = self.vault.renew_self()
        except (PermissionDeniedError, RequestRefusedError) as refusal:
            logger.info("the token is not renewed: %s", refusal)
            self.lease = None
            return False
        self.counts.renewals += 1
        self._proven = True
        self.lease = leases.prolong(
            self.lease,
            grant.seconds,
            renewable=grant.renewable,
            now=now,
            luck=self.luck.random(),
        )
        return True

    def _log_in(self) -> None:
        now = self.clock()
        grant = self.login(self.vault)
        self.counts.logins += 1
        self._proven = True
        self.vault.use(grant.token)
        self.lease = leases.begin(
            grant.token,
            grant.seconds,
            renewable=grant.renewable,
            now=now,
            luck=self.luck.random(),
        )

    def _token_is_dead(self) -> bool:
        """After a refusal: was it about the token, or about what it may do?

        Raises VaultUnavailableError when a fresh token ended while answers were waited for.
        """
        if self._proven:
            if self.lease is not None and self.clock() >= self.lease.ends_at:
                self.lease = None
                raise VaultUnavailableError("the token ended before the secrets were read")
            return False
        try:
            self.vault.lookup_self()
        except PermissionDeniedError:
            self.lease = None
            return True
        self._proven = True
        return False

    # -- the values -------------------------------------------------------------------------

    def _read_all(self) -> None:
        now = self.clock()
        paths = dict.fromkeys(one.path for one in self.declared)
        contents = {path: self._read_path(path) for path in paths}
        entries = dict(self.entries)
        for one in self.declared:
            self._take(one, contents[one.path], entries, now)
        self.entries = entries
        self.counts.refreshes += 1
        jitter = 1 - leases.EARLIER_BY_UP_TO * self.luck.random()
        self._read_at = self.clock() + self.pace.refresh * jitter

    def _read_path(self, path: str) -> Mapping[str, Any] | VaultClientError:
        """What the path holds, or why it cannot be told. Raises when Vault as a whole fails."""
        while True:
            try:
                return self._read(path)
            except PermissionDeniedError as denied:
                if not self._token_is_dead():
                    return denied
            except (SecretAbsentError, RequestRefusedError) as refusal:
                return refusal
            self._log_in()  # after which the token counts as good, so this is the last round

    def _read(self, path: str) -> Mapping[str, Any]:
        try:
            if self._mount is None:
                self._mount = self.vault.mount_of(f"{self.kv_mount}/{path}")
            return self.vault.read_kv(self._mount, path)
        except SecretAbsentError:
            self._mount = None  # the mount may have been made anew, with another version
            raise

    def _take(
        self,
        one: Declared[Any],
        content: Mapping[str, Any] | VaultClientError,
        entries: dict[object, Entry],
        now: float,
    ) -> None:
        """Put one value into ``entries``, or keep the old one and note why."""
        old = entries.get(one.name)
        try:
            if isinstance(content, VaultClientError):
                raise content
            secret = Secret(one.pick(content))
        except VaultClientError as error:
            if one.required or old is not None or not isinstance(error, SecretAbsentError):
                self._note(one.name, error)
            return
        self.errors.pop(one.name, None)
        if old is not None and old.secret == secret:
            secret = old.secret
        else:
            self.changed.add(one.name)
        entries[one.name] = entries[one] = Entry(secret, now, now + self.pace.max_age)

    def _note(self, name: str, error: VaultClientError) -> None:
        before = self.errors.get(name)
        if before is None or before.code != error.code:
            logger.warning("secret %s is not read anew: %s", name, error)
        self.errors[name] = error
