"""New shares in the place of the old ones, given out against a quorum of the old ones.

What lives here: one rekey's way: configured, the old shares collected, the new ones made and (when
asked for) proven to have arrived before the old ones stop working. What never does: the entries in
storage (``barrier/rekey.py``), HTTP, shares encrypted with PGP keys: asking for that is refused.
Source: ``docs/api/sys.md``.
Invariants: the new shares open the store only after it has been written whole; progress and new
shares live in memory, so sealing forgets them and the old shares go on.
"""

import asyncio
import base64
from dataclasses import dataclass, replace
from typing import Any

import orjson

from zvault.barrier.barrier import Barrier
from zvault.barrier.paths import UNSEAL_KEYS_BACKUP
from zvault.barrier.seal import SealConfig
from zvault.barrier.unseal import KEY_BYTES, combine_shares, split_unseal_key
from zvault.base.ids import RandomBytes, new_uuid
from zvault.base.secret import Secret
from zvault.crypto.errors import ShareError
from zvault.engine.errors import InternalEngineError, InvalidRequestError
from zvault.engine.seal.quorum import Quorum, require_quorum
from zvault.engine.seal.shares import check_share_length, share_problem
from zvault.storage.api import Delete


@dataclass(frozen=True, slots=True)
class RekeyOutcome:
    """What the last old share brought: the new shares, given out this once."""

    nonce: str
    shares: list[Secret]
    verification_nonce: str
    """"" when the new shares are in force already."""


@dataclass(slots=True)
class _Attempt:
    """One rekey that has begun."""

    config: SealConfig
    old_shares: Quorum
    needs_verification: bool
    new_key: Secret | None = None
    """Made and handed out, not in force before the verification."""
    verification: Quorum | None = None


class Rekey:
    """The rekeys of one unsealed store, one at a time. ``config``: how it is shared out now."""

    def __init__(self, barrier: Barrier, config: SealConfig, random_bytes: RandomBytes) -> None:
        self._barrier = barrier
        self._random_bytes = random_bytes
        self._lock = asyncio.Lock()
        self._attempt: _Attempt | None = None
        self.config = config

    @property
    def nonce(self) -> str:
        """Names the rekey that has begun; "" when none has."""
        return self._attempt.old_shares.nonce if self._attempt is not None else ""

    @property
    def wanted(self) -> SealConfig | None:
        """How the new shares are to be, None when no rekey has begun."""
        return self._attempt.config if self._attempt is not None else None

    @property
    def needs_verification(self) -> bool:
        """Whether the new shares have to come back before they count."""
        return self._attempt is not None and self._attempt.needs_verification

    @property
    def progress(self) -> int:
        """How many of the old shares were given."""
        return self._attempt.old_shares.progress if self._attempt is not None else 0

    @property
    def verification_nonce(self) -> str:
        """Names the verification; "" before there is one."""
        found = self._attempt.verification if self._attempt is not None else None
        return found.nonce if found is not None else ""

    @property
    def verification(self) -> Quorum | None:
        """The verification under way: the new shares are out."""
        attempt = self._attempt
        return None if attempt is None or attempt.new_key is None else attempt.verification

    async def begin(self, shares: int, threshold: int, *, needs_verification: bool) -> None:
        """Start one. Raises InvalidRequestError, InternalEngineError as Vault words it."""
        if threshold > shares:
            raise InvalidRequestError("provided threshold greater than the total shares")
        problem = share_problem(shares, threshold)
        if problem:
            raise InternalEngineError(f"invalid rekey seal configuration: {problem}")
        async with self._lock:
            if self._attempt is not None:
                raise InvalidRequestError("rekey already in progress")
            nonce = new_uuid(self._random_bytes)
            config = replace(
                self.config,
                secret_shares=shares,
                secret_threshold=threshold,
                nonce=nonce,
                backup=False,
                pgp_keys=(),
                # A store from before Vault 1.3 gets a stored key with its rekey.
                stored_shares=None if self.config.stored_shares is None else 1,
            )
            old = Quorum(nonce, self.config.secret_threshold, "rekey")
            self._attempt = _Attempt(config, old, needs_verification)

    async def cancel(self) -> None:
        """Forget the rekey that has begun, if any, and what it gave out."""
        async with self._lock:
            self._attempt = None

    async def submit(self, share: bytes, nonce: str) -> RekeyOutcome | None:
        """Take one old share; the new shares when it was the last one needed.

        Raises InvalidRequestError, InternalEngineError (wrong shares, as in Vault), StorageError:
        then the old shares are in force.
        """
        check_share_length(share)
        async with self._lock:
            attempt = self._attempt
            if attempt is None:
                raise InvalidRequestError("no barrier rekey in progress")
            if attempt.new_key is not None:
                raise InvalidRequestError(
                    "rekey operation already finished; verification must be performed; nonce for"
                    f' the verification operation is "{self.verification_nonce}"'
                )
            collected = attempt.old_shares.add(Secret(share), nonce)
            if collected is None:
                return None
            await require_quorum(
                self._barrier,
                collected,
                self.config,
                InternalEngineError,
                "failed to read root key: ",
            )
            return await self._give_out(attempt)

    async def _give_out(self, attempt: _Attempt) -> RekeyOutcome:
        new_key = Secret(self._random_bytes(KEY_BYTES))
        shares = split_unseal_key(new_key, attempt.config, self._random_bytes)
        nonce = attempt.old_shares.nonce
        if attempt.needs_verification:
            attempt.new_key = new_key
            attempt.verification = self._new_verification(attempt.config)
            return RekeyOutcome(nonce, shares, attempt.verification.nonce)
        await self._put_in_force(attempt.config, new_key)
        return RekeyOutcome(nonce, shares, "")

    def _new_verification(self, config: SealConfig) -> Quorum:
        return Quorum(
            new_uuid(self._random_bytes), config.secret_threshold, "verify", round_name="verify"
        )

    async def _put_in_force(self, config: SealConfig, new_key: Secret) -> None:
        """From here on the new shares open the store; the lock is held."""
        await self._barrier.rekey(Secret(self._random_bytes(KEY_BYTES)), config, new_key)
        self.config = config
        self._attempt = None

    async def restart_verification(self) -> None:
        """Forget the new shares that came back; they start again under another nonce.

        Raises InvalidRequestError when no rekey has begun.
        """
        async with self._lock:
            attempt = self._attempt
            if attempt is None:
                raise InvalidRequestError("no rekey configuration found")
            attempt.verification = self._new_verification(attempt.config)

    async def verify(self, share: bytes, nonce: str) -> str | None:
        """Take one new share back; the verification's nonce once they are proven and in force.

        Raises InvalidRequestError, InternalEngineError, StorageError: then the old shares are in
        force.
        """
        check_share_length(share)
        async with self._lock:
            attempt = self._attempt
            if attempt is None:
                raise InvalidRequestError("no rekey in progress")
            if attempt.new_key is None or attempt.verification is None:
                raise InvalidRequestError("no rekey verification in progress")
            collected = attempt.verification.add(Secret(share), nonce)
            if collected is None:
                return None
            # Whatever comes of these, they do not count twice.
            attempt.verification = self._new_verification(attempt.config)
            try:
                combined = combine_shares(collected, attempt.config)
            except ShareError as error:
                raise InternalEngineError(
                    f"failed to compute key for verification: {error.message}"
                ) from None
            if combined != attempt.new_key:
                raise InvalidRequestError(
                    "rekey verification failed; incorrect key shares supplied"
                )
            await self._put_in_force(attempt.config, attempt.new_key)
            return nonce

    async def backup(self) -> dict[str, Any] | None:
        """What an earlier rekey of Vault kept: its nonce, and by PGP fingerprint encrypted shares.

        Raises StorageError, InternalEngineError when it does not parse.
        """
        stored = await self._barrier.storage.get(UNSEAL_KEYS_BACKUP)
        if stored is None:
            return None
        try:
            body = orjson.loads(stored)
            keys = {
                str(name): [bytes.fromhex(text) for text in body["keys"][name]]
                for name in body["keys"]
            }
            return {
                "nonce": str(body["nonce"]),
                "keys": {name: [key.hex() for key in held] for name, held in keys.items()},
                "keys_base64": {
                    name: [base64.b64encode(key).decode() for key in held]
                    for name, held in keys.items()
                },
            }
        except (ValueError, TypeError, KeyError):
            raise InternalEngineError(f"{UNSEAL_KEYS_BACKUP} does not parse") from None

    async def delete_backup(self) -> None:
        """Remove what an earlier rekey kept. Raises StorageError."""
        await self._barrier.storage.apply([Delete(UNSEAL_KEYS_BACKUP)])
