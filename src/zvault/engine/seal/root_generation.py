"""A new root token against a quorum of shares, for who has lost every other one.

What lives here: one generation's way, and the one-time pad that carries the token. What never does:
HTTP, PGP. Source: ``docs/api/sys.md``.
Invariants: a token is made only when the shares have opened the stored root key; it leaves only
under the pad, and it is stored before it leaves.
"""

import asyncio
from dataclasses import dataclass

from zvault.barrier.barrier import Barrier
from zvault.base.clock import Clock
from zvault.base.gotime import SECOND_NS
from zvault.base.ids import RandomBytes, base62, new_uuid
from zvault.base.secret import Secret
from zvault.crypto.one_time_pad import encode_token
from zvault.engine.api import Auth
from zvault.engine.errors import InvalidRequestError
from zvault.engine.policy import builtin
from zvault.engine.seal.quorum import Quorum, require_quorum
from zvault.engine.seal.rekey import Rekey
from zvault.engine.seal.shares import check_share_length
from zvault.engine.tokens.service import TokenService
from zvault.engine.tokens.store import ID_LENGTH, inner_prefix
from zvault.records.tokens import TokenEntry

_ABORTED = "root generation aborted: unable to authenticate: unable to retrieve stored keys: "


@dataclass(frozen=True, slots=True)
class Generation:
    """How far it is. ``encoded_token`` once it is complete, "" before."""

    nonce: str
    progress: int
    required: int
    encoded_token: str = ""


@dataclass(slots=True)
class _Attempt:
    otp: Secret
    shares: Quorum


class RootGeneration:
    """The root generations of one unsealed store, one at a time."""

    def __init__(
        self,
        barrier: Barrier,
        rekey: Rekey,
        tokens: TokenService,
        clock: Clock,
        random_bytes: RandomBytes,
    ) -> None:
        self._barrier = barrier
        self._rekey = rekey
        self._tokens = tokens
        self._clock = clock
        self._random_bytes = random_bytes
        self._lock = asyncio.Lock()
        self._attempt: _Attempt | None = None

    @property
    def otp_length(self) -> int:
        """Bytes of a root token, so of its pad."""
        return len(inner_prefix(self._barrier.family)) + ID_LENGTH

    def status(self) -> Generation:
        """The generation that has begun; its nonce is "" when none has."""
        required = self._rekey.config.secret_threshold
        if self._attempt is None:
            return Generation("", 0, required)
        return Generation(self._attempt.shares.nonce, self._attempt.shares.progress, required)

    async def begin(self, otp: str) -> str:
        """Start one; returns the pad that was made when ``otp`` is "", else "".

        Raises InvalidRequestError.
        """
        made = "" if otp else base62(self._random_bytes, self.otp_length)
        pad = Secret(otp or made)
        if len(pad) != self.otp_length:
            raise InvalidRequestError("OTP string is wrong length")
        async with self._lock:
            if self._attempt is not None:
                raise InvalidRequestError("root generation already in progress")
            threshold = self._rekey.config.secret_threshold
            quorum = Quorum(new_uuid(self._random_bytes), threshold, "root generation")
            self._attempt = _Attempt(pad, quorum)
        return made

    async def cancel(self) -> None:
        """Forget the generation that has begun, if any."""
        async with self._lock:
            self._attempt = None

    async def submit(self, share: bytes, nonce: str) -> Generation:
        """Take one share; complete when it was the last one needed.

        Raises InvalidRequestError (wrong shares too: the shares given so far are forgotten, the
        generation stays), StorageError.
        """
        check_share_length(share)
        async with self._lock:
            attempt = self._attempt
            if attempt is None:
                raise InvalidRequestError("no root generation in progress")
            config = self._rekey.config
            # A rekey in between has changed how many are needed.
            attempt.shares.threshold = config.secret_threshold
            collected = attempt.shares.add(Secret(share), nonce)
            if collected is None:
                return self.status()
            await require_quorum(self._barrier, collected, config, InvalidRequestError, _ABORTED)
            token = await self._new_root_token()
            self._attempt = None
            required = len(collected)
            return Generation(nonce, required, required, encode_token(token, attempt.otp))

    async def _new_root_token(self) -> Secret:
        auth = Auth(policies=(builtin.ROOT,), renewable=False)
        entry = TokenEntry(
            policies=(builtin.ROOT,),
            path="auth/token/root",
            display_name="root",
            creation_time=self._clock.now_ns() // SECOND_NS,
        )
        await self._tokens.issue(auth, entry)
        return Secret(auth.client_token)
