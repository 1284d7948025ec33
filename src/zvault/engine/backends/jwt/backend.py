"""Auth methods ``jwt`` and ``oidc``: logins by a token that somebody else has signed.

What lives here: the paths of a mount, configuration and roles in storage, the login's order. What
never does: signatures (``crypto/jws``), keys fetched (``keys``), claims (``claims``). The browser
flow of ``oidc`` is not run: its paths say so.
Invariants: nothing of a token is believed before a trusted key has signed it; what a login grants
is the role's, only names and metadata are the token's.
Source: ``docs/api/jwt.md``.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from zvault.crypto import jws
from zvault.crypto.errors import SignatureError, TokenFormError
from zvault.engine.api import Auth, MountContext, Operation, Request, Response
from zvault.engine.backends.cidrs import admits
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData, Route, Router
from zvault.engine.backends.jwt import claims as rules
from zvault.engine.backends.jwt.configuration import CONFIG_FIELDS, config_data, new_config
from zvault.engine.backends.jwt.fetch import FetchError
from zvault.engine.backends.jwt.keys import KeySource, check_reachable
from zvault.engine.backends.jwt.roles import (
    ROLE_FIELDS,
    VERBOSE_WARNING,
    changed_role,
    role_data,
)
from zvault.engine.backends.listing import list_keys
from zvault.engine.backends.token_params import auth_fields, renewal_fields
from zvault.engine.errors import InternalEngineError, InvalidRequestError, PermissionDeniedError
from zvault.engine.locks import KeyLocks
from zvault.records import gojson
from zvault.records.errors import RecordError
from zvault.records.jwt_auth import (
    CONFIG_KEY,
    ROLE_PREFIX,
    JwtConfig,
    JwtRole,
    decode_config,
    decode_role,
    encode_config,
    encode_role,
)

_NAME = r"(?P<name>(?a:\w(?:[\w.-]*\w)?))"
_LOGIN_FIELDS = {"role": Field(FieldKind.STRING, ""), "jwt": Field(FieldKind.STRING, "")}
_FLOW_FIELDS = {
    name: Field(FieldKind.STRING, "")
    for name in ("role", "redirect_uri", "client_nonce", "state", "code", "id_token")
}
NO_FLOW = "OIDC login is not configured for this mount: this server does not run the browser flow"


class Jwt:
    """The backend of one mount."""

    unauthenticated_paths = ("login", "oidc/auth_url", "oidc/callback")
    root_paths = ()

    def __init__(self, context: MountContext) -> None:
        self._context = context
        self._view = context.view
        self._locks = KeyLocks()
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="jwt-fetch")
        self._source: KeySource | None = None
        config = {Operation.READ: self._read_config, Operation.UPDATE: self._write_config}
        role = {
            Operation.READ: self._read_role,
            Operation.UPDATE: self._write_role,
            Operation.DELETE: self._delete_role,
        }
        flow = {Operation.UPDATE: self._no_flow}
        self._router = Router(
            [
                Route("config", config, CONFIG_FIELDS),
                Route("role/?", {Operation.LIST: self._list_roles}),
                Route(f"role/{_NAME}", role, ROLE_FIELDS, self._role_exists),
                Route("login", {Operation.UPDATE: self._log_in}, _LOGIN_FIELDS),
                Route("oidc/auth_url", flow, _FLOW_FIELDS),
                Route("oidc/callback", {**flow, Operation.READ: self._no_flow}, _FLOW_FIELDS),
            ]
        )

    async def start(self) -> None:
        """Nothing to prepare: keys are fetched by the first login."""

    async def stop(self) -> None:
        """Let go of the threads that fetch."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def exists(self, request: Request) -> bool | None:
        """Existence check of roles; None for every other path."""
        return await self._router.exists(request)

    async def handle(self, request: Request) -> Response | None:
        """Serve one request."""
        return await self._router.handle(request)

    async def _config(self) -> JwtConfig | None:
        stored = await self._view.get(CONFIG_KEY)
        return None if stored is None else decode_config(stored)

    async def _read_config(self, request: Request, data: FieldData) -> Response | None:
        config = await self._config()
        return None if config is None else Response(data=config_data(config))

    async def _write_config(self, request: Request, data: FieldData) -> None:
        config = new_config(data)
        if not config.jwt_validation_pubkeys:
            wrong = await check_reachable(config, self._pool)
            if wrong:
                raise InvalidRequestError(f"error checking {wrong} URL")
        async with self._locks.hold(CONFIG_KEY):
            self._source = None
            await self._view.put(CONFIG_KEY, encode_config(config))
            self._source = None

    async def _role(self, name: str) -> JwtRole | None:
        """``name`` in lower case (``_role_name``)."""
        stored = await self._view.get(ROLE_PREFIX + name)
        return None if stored is None else _upgraded(decode_role(stored))

    async def _role_exists(self, request: Request, data: FieldData) -> bool:
        return await self._role(_role_name(data)) is not None

    async def _list_roles(self, request: Request, data: FieldData) -> Response | None:
        return await list_keys(self._view.list, ROLE_PREFIX)

    async def _read_role(self, request: Request, data: FieldData) -> Response | None:
        role = await self._role(_role_name(data))
        return None if role is None else Response(data=role_data(role))

    async def _write_role(self, request: Request, data: FieldData) -> Response | None:
        name = _role_name(data)
        async with self._locks.hold(ROLE_PREFIX + name):
            role = changed_role(await self._role(name) or JwtRole(), data)
            await self._view.put(ROLE_PREFIX + name, encode_role(role))
        return Response(warnings=[VERBOSE_WARNING]) if role.verbose_oidc_logging else None

    async def _delete_role(self, request: Request, data: FieldData) -> None:
        name = _role_name(data)
        async with self._locks.hold(ROLE_PREFIX + name):
            await self._view.delete(ROLE_PREFIX + name)

    async def _no_flow(self, request: Request, data: FieldData) -> Response:
        raise InvalidRequestError(NO_FLOW)

    async def _log_in(self, request: Request, data: FieldData) -> Response:
        config = await self._config()
        if config is None:
            raise InvalidRequestError("could not load configuration")
        name = (data["role"] or config.default_role).lower()
        if not name:
            raise InvalidRequestError("missing role")
        role = await self._role(name)
        if role is None:
            raise InvalidRequestError(f'role "{name}" could not be found')
        if role.role_type == "oidc":
            raise InvalidRequestError("role with oidc role_type is not allowed")
        if not data["jwt"]:
            raise InvalidRequestError("missing token")
        if not admits(role.token_bound_cidrs, request.remote_address):
            raise PermissionDeniedError("permission denied")
        source = self._key_source(config)
        claims = await _verified(source, data["jwt"])
        rules.check_registered(claims, role, source.issuer, self._context.clock.now_ns())
        user = rules.user_name(claims, role)
        metadata = {**rules.metadata(claims, role), "role": name}
        groups = rules.group_names(claims, role)
        rules.check_bound(claims, role)
        return Response(
            auth=Auth(
                metadata=metadata,
                internal_data={"role": name},
                display_name=user,
                alias_name=user,
                group_names=tuple(groups),
                **auth_fields(role, request.remote_address),
            )
        )

    def _key_source(self, config: JwtConfig) -> KeySource:
        source = self._source
        if source is None or source.config != config:
            source = self._source = KeySource(config, self._context.clock, self._pool)
        return source

    async def renew(self, auth: Auth) -> Auth:
        """What a renewal grants: the role as it is now. Raises InternalEngineError."""
        name = auth.internal_data.get("role") or auth.metadata.get("role")
        role = await self._role(str(name)) if name else None
        if role is None:
            # The status is Vault's.
            raise InternalEngineError(
                f"1 error occurred:\n\t* failed to renew entry: role {name} does not exist during "
                "renewal\n\n"
            )
        return replace(auth, **renewal_fields(role))


def _role_name(data: FieldData) -> str:
    """As it is stored: names of roles are lower case, whatever case they are asked for in."""
    name: str = data["name"]
    return name.lower()


async def _verified(source: KeySource, text: str) -> rules.Claims:
    """The claims of a token that a trusted key has signed. Raises InvalidRequestError."""
    before = "error validating token: "
    try:
        token = jws.parse(text, jws.ALGORITHMS)
        if token.algorithm not in source.algorithms:
            raise InvalidRequestError(
                f"{before}invalid algorithm (alg) header parameter: token signed with unexpected "
                "algorithm"
            )
        await source.check(token)
        jws.refuse_repeated_names(token.payload)
        return gojson.loads_object(token.payload)
    except (TokenFormError, SignatureError) as error:
        raise InvalidRequestError(
            f"{before}error verifying token signature: {error.message}"
        ) from None
    except FetchError:
        raise InvalidRequestError(f"{before}the issuer's keys could not be fetched") from None
    except RecordError:
        raise InvalidRequestError(f"{before}the claims are no JSON object") from None


def _upgraded(role: JwtRole) -> JwtRole:
    """A stored role as it counts today: old fields fill the new ones that are empty."""
    return replace(
        role,
        role_type=role.role_type or "oidc",
        token_policies=role.token_policies or role.policies,
        token_ttl_ns=role.token_ttl_ns or role.ttl_ns,
        token_max_ttl_ns=role.token_max_ttl_ns or role.max_ttl_ns,
        token_period_ns=role.token_period_ns or role.period_ns,
        token_num_uses=role.token_num_uses or role.num_uses,
        token_bound_cidrs=role.token_bound_cidrs or role.bound_cidrs,
    )


def make(context: MountContext) -> Jwt:
    """The backend for one mount."""
    return Jwt(context)
