"""Identity tokens: issued to entities, looked into, and what others need to check them.

What lives here: ``identity/oidc/config``, ``token``, ``introspect`` and ``.well-known``. What never
does: keys and roles changed (``oidc_keys``), storage.
Invariants: a token's subject is the entity of the token that asked; nobody gets one whose entity is
gone or disabled; private numbers never leave.
Source: ``docs/api/identity.md``.
"""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from zvault.base.clock import Clock
from zvault.base.gotime import SECOND_NS
from zvault.crypto import jwk, jws
from zvault.crypto.errors import SignatureError, TokenFormError
from zvault.engine.api import Operation, Request, Response
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData, Route
from zvault.engine.backends.identity.oidc_store import ALGORITHMS, OidcStore
from zvault.engine.backends.identity.oidc_template import rendered
from zvault.engine.errors import InvalidRequestError
from zvault.engine.identity.store import IdentityStore
from zvault.records import gojson
from zvault.records.errors import RecordError
from zvault.records.oidc import OidcConfig

_NAME = r"(?P<name>(?a:\w(?:[\w.-]*\w)?))"
_ISSUER_PATH = "/v1/identity/oidc"
_ISSUER_WARNING = (
    'If "issuer" is set explicitly, all tokens must be validated against that address, including '
    'those issued by secondary clusters. Setting issuer to "" will restore the default behavior '
    "of using the cluster's api_addr as the issuer."
)
_BAD_ISSUER = (
    "invalid issuer, which must include only a scheme, host, and optional port (e.g. "
    "https://example.com:8200)"
)
_HOST = re.compile(r"[A-Za-z0-9.\-_]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")
LEEWAY_SECONDS = 60
"""Of introspection, for clocks that do not agree."""


class OidcTokens:
    """Everything that is done with tokens."""

    def __init__(
        self,
        store: OidcStore,
        identity: IdentityStore,
        clock: Clock,
        api_address: Callable[[], str],
    ) -> None:
        self._store = store
        self._identity = identity
        self._clock = clock
        self._api_address = api_address

    def routes(self) -> list[Route]:
        """The path table."""
        text = Field(FieldKind.STRING, "")
        config = {Operation.READ: self._read_config, Operation.UPDATE: self._write_config}
        known = "oidc/.well-known"
        return [
            Route("oidc/config/?", config, {"issuer": text}),
            Route(f"oidc/token/{_NAME}", {Operation.READ: self._issue}, {"name": text}),
            Route(
                "oidc/introspect/?",
                {Operation.UPDATE: self._introspect},
                {"token": text, "client_id": text},
            ),
            Route(f"{known}/openid-configuration/?", {Operation.READ: self._discovery}),
            Route(f"{known}/keys/?", {Operation.READ: self._published}),
        ]

    async def _read_config(self, request: Request, data: FieldData) -> Response:
        return Response(data={"issuer": (await self._store.config()).issuer})

    async def _write_config(self, request: Request, data: FieldData) -> Response | None:
        if "issuer" not in data:
            return None
        issuer = data["issuer"]
        if issuer:
            _check_issuer(issuer)
        async with self._store.changing:
            await self._store.save_config(OidcConfig(issuer))
        return Response(warnings=[_ISSUER_WARNING]) if issuer else None

    async def _issuer(self) -> str:
        return ((await self._store.config()).issuer or self._api_address()) + _ISSUER_PATH

    async def _issue(self, request: Request, data: FieldData) -> Response:
        name = data["name"]
        role = await self._store.role(name)
        if role is None:
            raise InvalidRequestError(f'role "{name}" not found')
        key = await self._store.named_key(role.key)
        if key is None:
            raise InvalidRequestError(f'key "{role.key}" not found')
        if not {"*", role.client_id} & set(key.allowed_client_ids):
            raise InvalidRequestError(
                f'the key "{role.key}" does not list the client ID of the role "{name}" as an '
                "allowed client ID"
            )
        entity_id = request.token.entity_id if request.token is not None else ""
        if not entity_id:
            raise InvalidRequestError("no entity associated with the request's token")
        who = self._identity.view_of(entity_id)
        if who is None or who.disabled:
            raise InvalidRequestError("the request's entity is not there or disabled")
        ready = await self._store.ready_key(role.key)
        if ready is None or ready.signing_key is None:
            raise InvalidRequestError(f'key "{role.key}" not found')
        now_ns = self._clock.now_ns()
        now = now_ns // SECOND_NS
        claims: dict[str, Any] = {
            **rendered(role.template, who.template, now_ns),
            "iss": await self._issuer(),
            "namespace": "root",
            "sub": entity_id,
            "aud": role.client_id,
            "exp": now + role.token_ttl_ns // SECOND_NS,
            "iat": now,
        }
        signing = ready.signing_key
        token = jws.sign(
            jwk.private_key(signing), ready.algorithm, str(signing["kid"]), gojson.dumps(claims)
        )
        ttl = role.token_ttl_ns // SECOND_NS
        return Response(data={"client_id": role.client_id, "token": token, "ttl": ttl})

    async def _introspect(self, request: Request, data: FieldData) -> Response:
        problem = await self._problem(data["token"], data["client_id"])
        answer: dict[str, Any] = {"active": not problem}
        if problem:
            answer["error"] = problem
        return Response(raw_body=gojson.dumps(answer, sort_keys=False))

    async def _problem(self, text: str, client_id: str) -> str:
        """Why a token is not active; "" when it is."""
        try:
            token = jws.parse(text, jws.ALGORITHMS)
        except TokenFormError as error:
            return f"error parsing token: {error.message}"
        if not await self._is_ours(token):
            return "unable to validate the token signature"
        try:
            claims = gojson.loads_object(token.payload)
        except RecordError:
            return "failed to parse token claims"
        wrong = self._wrong_claim(claims, await self._issuer(), client_id)
        if wrong:
            return f"error validating claims: {wrong}"
        who = self._identity.view_of(str(claims.get("sub", "")))
        if who is None:
            return "entity was not found"
        return "entity is disabled" if who.disabled else ""

    async def _is_ours(self, token: jws.SignedToken) -> bool:
        names = await self._store.key_names()
        for published in await self._store.public_keys(names):
            if published.get("kid") != token.key_id or published.get("alg") != token.algorithm:
                continue
            try:
                jws.verify(token, jwk.public_key(published))
            except (SignatureError, TokenFormError):
                continue
            return True
        return False

    def _wrong_claim(self, claims: dict[str, Any], issuer: str, client_id: str) -> str:
        if claims.get("iss") != issuer:
            return "validation failed, invalid issuer claim (iss)"
        if client_id and claims.get("aud") != client_id:
            return "validation failed, invalid audience claim (aud)"
        expires, now = claims.get("exp"), self._clock.now_ns() // SECOND_NS
        if not isinstance(expires, int) or now > expires + LEEWAY_SECONDS:
            return "validation failed, token is expired (exp)"
        return ""

    async def _discovery(self, request: Request, data: FieldData) -> Response:
        issuer = await self._issuer()
        body = {
            "issuer": issuer,
            "jwks_uri": f"{issuer}/.well-known/keys",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": list(ALGORITHMS),
        }
        return Response(raw_body=gojson.dumps(body, sort_keys=False))

    async def _published(self, request: Request, data: FieldData) -> Response:
        """Keys that some role signs with."""
        used = set()
        for name in await self._store.role_names():
            role = await self._store.role(name)
            if role is not None:
                used.add(role.key)
        keys = await self._store.public_keys(sorted(used))
        return Response(raw_body=gojson.dumps({"keys": keys}, sort_keys=False))


def _check_issuer(issuer: str) -> None:
    """Raises InvalidRequestError unless it is scheme, host and port."""
    try:
        parts = urlsplit(issuer)
    except ValueError:
        raise InvalidRequestError(_BAD_ISSUER) from None
    is_plain = issuer == f"{parts.scheme}://{parts.netloc}"
    if parts.scheme not in ("http", "https") or not is_plain or not _HOST.fullmatch(parts.netloc):
        raise InvalidRequestError(_BAD_ISSUER)
