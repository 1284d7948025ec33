"""``sys/rekey``, ``sys/generate-root``, ``sys/decode-token``: what holders of shares do.

What lives here: parameters in, Vault's bodies out. What never does: the rules (``engine/rekey.py``,
``engine/root_generation.py``), HTTP; that these answers have no envelope is the server's
(``server/shareholders.py``).
Invariant: nobody needs a token here, the shares are the right to it; only the kept shares of an
earlier rekey (``rekey/backup``) are behind the policies. Source: ``docs/api/sys.md``.
"""

import base64
from typing import Any, TypeVar

from zvault.engine.api import Operation, Request, Response
from zvault.engine.errors import InvalidRequestError
from zvault.engine.fields import FieldKind
from zvault.engine.framework import Field, FieldData, Route
from zvault.engine.quorum import Quorum
from zvault.engine.rekey import RekeyOutcome
from zvault.engine.root_generation import Generation, decode_token
from zvault.engine.services import Services
from zvault.engine.shares import read_share

_T = TypeVar("_T")
UNENVELOPED = (
    "rekey/init",
    "rekey/update",
    "rekey/verify",
    "rekey-recovery-key/init",
    "rekey-recovery-key/update",
    "rekey-recovery-key/verify",
    "generate-root/attempt",
    "generate-root/update",
)
"""Paths whose answer is its data alone."""
UNAUTHENTICATED = (*UNENVELOPED, "decode-token")


class Shareholders:
    """Routes that a quorum of shares opens."""

    def __init__(self, services: Services) -> None:
        self._rekey = services.rekey
        self._generation = services.root_generation

    def routes(self) -> list[Route]:
        """The path table."""
        read, update, delete = Operation.READ, Operation.UPDATE, Operation.DELETE
        no_recovery = dict.fromkeys((read, update, delete), self._no_recovery_keys)
        return [
            Route(
                "rekey/init",
                {read: self._status, update: self._begin, delete: self._cancel},
            ),
            Route("rekey/update", {update: self._submit}),
            Route(
                "rekey/verify",
                {
                    read: self._verification,
                    update: self._verify,
                    delete: self._restart_verification,
                },
            ),
            Route("rekey-recovery-key/(?:init|update|verify)", no_recovery),
            Route("rekey/backup", {read: self._backup, delete: self._delete_backup}),
            Route("rekey/recovery-key-backup", {read: self._no_backup, delete: self._nothing}),
            Route(
                "generate-root/attempt",
                {read: self._attempt, update: self._attempt_begin, delete: self._attempt_cancel},
            ),
            Route("generate-root/update", {update: self._attempt_submit}),
            Route(
                "decode-token",
                {update: self._decode},
                {
                    "encoded_token": Field(FieldKind.STRING, ""),
                    "otp": Field(FieldKind.STRING, ""),
                },
            ),
        ]

    # -- rekey -------------------------------------------------------------------------------

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
        pgp_keys = _typed(request, "pgp_keys", list, [])
        shares = _typed(request, "secret_shares", int, 0)
        if _typed(request, "backup", bool, False) and not pgp_keys:
            raise InvalidRequestError(
                "cannot request a backup of the new keys without providing PGP keys for encryption"
            )
        if pgp_keys:
            raise InvalidRequestError("this server does not encrypt shares with PGP keys")
        await self._rekey.begin(
            shares,
            _typed(request, "secret_threshold", int, 0),
            needs_verification=_typed(request, "require_verification", bool, False),
        )
        return Response(data=self._status_body())

    async def _cancel(self, request: Request, data: FieldData) -> None:
        await self._rekey.cancel()

    async def _submit(self, request: Request, data: FieldData) -> Response:
        share, nonce = _share(request)
        outcome = await self._rekey.submit(share, nonce)
        return Response(data=self._status_body() if outcome is None else _new_shares(outcome))

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
        share, nonce = _share(request)
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

    # -- generate-root -----------------------------------------------------------------------

    def _generation_body(self, now: Generation, otp: str, otp_length: int) -> dict[str, Any]:
        return {
            "nonce": now.nonce,
            "started": bool(now.nonce),
            "progress": now.progress,
            "required": now.required,
            "complete": bool(now.encoded_token),
            "encoded_token": now.encoded_token,
            "encoded_root_token": now.encoded_token,
            "pgp_fingerprint": "",
            "otp": otp,
            "otp_length": otp_length,
        }

    async def _attempt(self, request: Request, data: FieldData) -> Response:
        generation = self._generation
        body = self._generation_body(generation.status(), "", generation.otp_length)
        return Response(data=body)

    async def _attempt_begin(self, request: Request, data: FieldData) -> Response:
        generation = self._generation
        otp = _typed(request, "otp", str, "")
        if _typed(request, "pgp_key", str, ""):
            raise InvalidRequestError("this server does not encrypt tokens with PGP keys")
        made = await generation.begin(otp)
        body = self._generation_body(generation.status(), made, generation.otp_length)
        return Response(data=body)

    async def _attempt_cancel(self, request: Request, data: FieldData) -> None:
        await self._generation.cancel()

    async def _attempt_submit(self, request: Request, data: FieldData) -> Response:
        share, nonce = _share(request)
        now = await self._generation.submit(share, nonce)
        # Only the attempt's own answers name the pad's length.
        return Response(data=self._generation_body(now, "", 0))

    async def _decode(self, request: Request, data: FieldData) -> Response:
        return Response(data={"token": decode_token(data["encoded_token"], data["otp"])})


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


def _share(request: Request) -> tuple[bytes, str]:
    """Share and nonce. Raises InvalidRequestError, which never repeats the share."""
    text = _typed(request, "key", str, "")
    if not text:
        raise InvalidRequestError("'key' must be specified in request body as JSON")
    return read_share(text), _typed(request, "nonce", str, "")


def _typed(request: Request, name: str, kind: type[_T], default: _T) -> _T:
    """A raw handler's parameter: no coercion. Raises InvalidRequestError."""
    value = request.data.get(name)
    if value is None:
        return default
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise InvalidRequestError(f"failed to parse JSON input: {name} is no {kind.__name__}")
    return value
