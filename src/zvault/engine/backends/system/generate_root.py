"""``sys/generate-root`` and ``sys/decode-token``: a new root token against a quorum of shares.

What lives here: parameters in, Vault's bodies out, and OpenBao's, whose command line asks below
``sys/generate-root-token`` with a token and an envelope. What never does: the rules
(``engine/seal/root_generation.py``), HTTP.
Invariant: no policy grants a root token; a quorum of shares does. Source: ``docs/api/sys.md``.
"""

from typing import Any

from zvault.crypto.errors import EncodedTokenError
from zvault.crypto.one_time_pad import decode_token
from zvault.engine.api import Operation, Request, Response
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData, Route
from zvault.engine.backends.system.shareholders import share_of, typed
from zvault.engine.errors import InvalidRequestError
from zvault.engine.seal.root_generation import Generation
from zvault.engine.services import Services

_OPENBAO = "sys/generate-root-token/"


class GenerateRootPaths:
    """Routes to a new root token."""

    def __init__(self, services: Services) -> None:
        self._generation = services.root_generation

    def routes(self) -> list[Route]:
        """The path table."""
        read, update, delete = Operation.READ, Operation.UPDATE, Operation.DELETE
        return [
            Route(
                "generate-root(?:-token)?/attempt",
                {read: self._attempt, update: self._attempt_begin, delete: self._attempt_cancel},
            ),
            Route("generate-root(?:-token)?/update", {update: self._attempt_submit}),
            Route(
                "decode-token",
                {update: self._decode},
                {
                    "encoded_token": Field(FieldKind.STRING, ""),
                    "otp": Field(FieldKind.STRING, ""),
                },
            ),
        ]

    def _body(
        self, request: Request, now: Generation, otp: str = "", otp_length: int = 0
    ) -> dict[str, Any]:
        """``otp_length`` 0: the answer to a share, which does not name it."""
        body = {
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
        if request.path.startswith(_OPENBAO):
            del body["encoded_root_token"]
            for name in ("encoded_token",) if otp_length else ("otp", "otp_length"):
                del body[name]
        return body

    async def _attempt(self, request: Request, data: FieldData) -> Response:
        generation = self._generation
        return Response(
            data=self._body(request, generation.status(), otp_length=generation.otp_length)
        )

    async def _attempt_begin(self, request: Request, data: FieldData) -> Response:
        generation = self._generation
        otp = typed(request, "otp", str, "")
        if typed(request, "pgp_key", str, ""):
            raise InvalidRequestError("this server does not encrypt tokens with PGP keys")
        made = await generation.begin(otp)
        return Response(data=self._body(request, generation.status(), made, generation.otp_length))

    async def _attempt_cancel(self, request: Request, data: FieldData) -> None:
        await self._generation.cancel()

    async def _attempt_submit(self, request: Request, data: FieldData) -> Response:
        share, nonce = share_of(request)
        now = await self._generation.submit(share, nonce)
        return Response(data=self._body(request, now))

    async def _decode(self, request: Request, data: FieldData) -> Response:
        try:
            token = decode_token(data["encoded_token"], data["otp"])
        except EncodedTokenError as error:
            raise InvalidRequestError(error.message) from None
        return Response(data={"token": token})
