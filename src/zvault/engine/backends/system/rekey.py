"""``sys/rekey``: new shares against a quorum of the old ones.

What lives here: parameters in, Vault's bodies out. What never does: the rules
(``engine/seal/rekey.py``), HTTP; that these answers have no envelope is the server's
(``server/shareholders.py``).
Invariant: nobody needs a token here, the shares are the right to it; only what an earlier rekey
kept (``rekey/backup``) is behind the policies. Source: ``docs/api/sys.md``.
"""

import base64
from typing import Any

from zvault.engine.api import Operation, Request, Response
from zvault.engine.backends.framework import FieldData, Route
from zvault.engine.backends.system.shareholders import share_of, typed
from zvault.engine.errors import InvalidRequestError
from zvault.engine.seal.quorum import Quorum
from zvault.engine.seal.rekey import RekeyOutcome
from zvault.engine.services import Services


class RekeyPaths:
    """Routes below ``sys/rekey`` and ``sys/rekey-recovery-key``."""

    def __init__(self, services: Services) -> None:
        self._rekey = services.rekey

    def routes(self) -> list[Route]:
        """The path table."""
        read, update, delete = Operation.READ, Operation.UPDATE, Operation.DELETE
        # OpenBao's command line asks below "rotate/root", with a token and an envelope.
        base = "(?:rekey|rotate/root)"
        no_recovery = dict.fromkeys((read, update, delete), self._no_recovery_keys)
        return [
            Route(
                f"{base}/init",
                {read: self._status, update: self._begin, delete: self._cancel},
            ),
            Route(f"{base}/update", {update: self._submit}),
            Route(
                f"{base}/verify",
                {
                    read: self._verification,
                    update: self._verify,
                    delete: self._restart_verification,
                },
            ),
            Route("rekey-recovery-key/(?:init|update|verify)", no_recovery),
            Route(f"{base}/backup", {read: self._backup, delete: self._delete_backup}),
            Route("rekey/recovery-key-backup", {read: self._no_backup, delete: self._nothing}),
        ]

    async def _status(self, request: Request, data: FieldData) -> Response:
        return Response(data=self._status_body())

    def _status_body(self) -> dict[str, Any]:
        rekey = self._rekey
        wanted = rekey.wanted
        body = {
            "nonce": rekey.nonce,
            "started": wanted is not None,
            "t": 0 if wanted is None else wanted.secret_threshold,
            "n": 0 if wanted is None else wanted.secret_shares,
            "progress": rekey.progress,
            "required": rekey.config.secret_threshold,
            "pgp_fingerprints": None,
            "backup": False,
            "verification_required": rekey.needs_verification,
        }
        return body | _verification_nonce(rekey.verification_nonce)

    async def _begin(self, request: Request, data: FieldData) -> Response:
        pgp_keys = typed(request, "pgp_keys", list, [])
        shares = typed(request, "secret_shares", int, 0)
        if typed(request, "backup", bool, False) and not pgp_keys:
            raise InvalidRequestError(
                "cannot request a backup of the new keys without providing PGP keys for encryption"
            )
        if pgp_keys:
            raise InvalidRequestError("this server does not encrypt shares with PGP keys")
        await self._rekey.begin(
            shares,
            typed(request, "secret_threshold", int, 0),
            needs_verification=typed(request, "require_verification", bool, False),
        )
        return Response(data=self._status_body())

    async def _cancel(self, request: Request, data: FieldData) -> None:
        await self._rekey.cancel()

    async def _submit(self, request: Request, data: FieldData) -> Response:
        if request.wrap_ttl_seconds:
            raise InvalidRequestError("new shares are not wrapped: the answer is their only copy")
        share, nonce = share_of(request)
        outcome = await self._rekey.submit(share, nonce)
        if outcome is None:
            return Response(data=self._status_body())
        return Response(data=_new_shares(outcome), is_only_copy=not outcome.verification_nonce)

    async def _verification(self, request: Request, data: FieldData) -> Response:
        return Response(data=self._verification_body())

    def _verification_body(self) -> dict[str, Any]:
        wanted = self._rekey.wanted
        if wanted is None:
            raise InvalidRequestError("no rekey configuration found")
        running = self._rekey.verification
        return {
            "nonce": self._rekey.verification_nonce,
            "started": running is not None,
            "t": wanted.secret_threshold,
            "n": wanted.secret_shares,
            "progress": _progress(running),
        }

    async def _verify(self, request: Request, data: FieldData) -> Response:
        share, nonce = share_of(request)
        proven = await self._rekey.verify(share, nonce)
        if proven is None:
            return Response(data=self._verification_body())
        return Response(data={"nonce": proven, "complete": True})

    async def _restart_verification(self, request: Request, data: FieldData) -> Response:
        await self._rekey.restart_verification()
        return Response(data=self._verification_body())

    async def _no_recovery_keys(self, request: Request, data: FieldData) -> Response:
        raise InvalidRequestError("recovery rekeying not supported")

    async def _backup(self, request: Request, data: FieldData) -> Response:
        kept = await self._rekey.backup()
        if kept is None:
            raise InvalidRequestError("no backed-up keys found")
        return Response(data=kept)

    async def _delete_backup(self, request: Request, data: FieldData) -> None:
        await self._rekey.delete_backup()

    async def _no_backup(self, request: Request, data: FieldData) -> Response:
        raise InvalidRequestError("no backed-up keys found")

    async def _nothing(self, request: Request, data: FieldData) -> None:
        """A store sealed by shares has no recovery keys, so there is nothing to delete."""


def _new_shares(outcome: RekeyOutcome) -> dict[str, Any]:
    shares = [share.reveal() for share in outcome.shares]
    return {
        "nonce": outcome.nonce,
        "complete": True,
        "keys": [share.hex() for share in shares],
        "keys_base64": [base64.b64encode(share).decode() for share in shares],
        "pgp_fingerprints": None,
        "backup": False,
        "verification_required": bool(outcome.verification_nonce),
    } | _verification_nonce(outcome.verification_nonce)


def _verification_nonce(nonce: str) -> dict[str, str]:
    return {"verification_nonce": nonce} if nonce else {}


def _progress(quorum: Quorum | None) -> int:
    return 0 if quorum is None else quorum.progress
