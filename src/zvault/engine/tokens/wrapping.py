"""Response wrapping: an answer is put away under a token that works once.

What lives here: what becomes of a response that is to be wrapped, and the ways back: look-up,
unwrap, wrap again. What never does: who may ask (``pipeline.py``), paths
(``backends/system/wrapping.py``).
Invariants: a wrapped response goes out to nobody but whoever uses its token; the content is stored
with the token in one step; a token unwraps once, whoever asks at the same time, and its use is
durable before its content is read; what a user wrapped comes back as data, never as a status or a
body of its own.
Source: ``docs/api/sys.md``.
"""

import logging

from zvault.barrier.view import View
from zvault.base.clock import Clock
from zvault.base.errors import ZvaultError
from zvault.base.gotime import SECOND_NS
from zvault.engine.api import Auth, Operation, Request, Response, WrapInfo
from zvault.engine.envelope import envelope
from zvault.engine.errors import (
    InvalidRequestError,
    NotFoundInEngineError,
    PermissionDeniedError,
)
from zvault.engine.policy.builtin import RESPONSE_WRAPPING
from zvault.engine.tokens.revocation import TokenRevocation
from zvault.engine.tokens.service import TokenService
from zvault.engine.tokens.sessions import Session, Sessions
from zvault.engine.userdata import UserData
from zvault.records import gojson
from zvault.records.errors import RecordError
from zvault.records.tokens import TokenEntry
from zvault.records.wrapping import (
    RESPONSE_KEY,
    WRAP_INFO_KEY,
    RawAnswer,
    WrapRecord,
    decode_response,
    decode_wrap_info,
    encode_response,
    encode_wrap_info,
    raw_answer,
    raw_data,
)
from zvault.storage.api import Operation as StorageOperation
from zvault.storage.api import Put

CHECKED_PATHS = frozenset({"sys/wrapping/lookup", "sys/wrapping/unwrap", "sys/wrapping/rewrap"})
WRAP_PATH = "sys/wrapping/wrap"
_POLICIES = (RESPONSE_WRAPPING,)
_INVALID = "wrapping token is not valid or does not exist"
_NOT_VALIDATED = "error validating wrapping token: "
_FORMAT = "x-vault-wrap-format"

_log = logging.getLogger(__name__)


def refuse_format(request: Request) -> None:
    """Tokens are handed out as they are. Raises InvalidRequestError when a JWT is asked for."""
    if any(value.strip().lower() == "jwt" for value in request.headers.get(_FORMAT, ())):
        raise InvalidRequestError(
            "this server does not hand out wrapping tokens as JWT; nothing was done"
        )


class Wrapping:
    """Wraps and unwraps for one unsealed store."""

    def __init__(
        self,
        tokens: TokenService,
        sessions: Sessions,
        revocation: TokenRevocation,
        drawers: View,
        clock: Clock,
    ) -> None:
        self._tokens = tokens
        self._sessions = sessions
        self._revocation = revocation
        self._drawers = drawers
        self._clock = clock

    # -- in the pipeline ---------------------------------------------------------------------

    async def check(self, request: Request) -> None:
        """A look at the wrapping token before anything else, for ``CHECKED_PATHS``.

        Raises PermissionDeniedError, InvalidRequestError, StorageError.
        """
        given = request.data.get("token")
        if given is None:
            token = request.client_token
        elif not isinstance(given, str):
            raise PermissionDeniedError(_NOT_VALIDATED + "could not decode token in request body")
        elif not given:
            raise PermissionDeniedError(_NOT_VALIDATED + "empty token in request body")
        else:
            token = given
        if not token:
            raise PermissionDeniedError(_NOT_VALIDATED + "token is empty")
        await self._session(token)

    async def wrap(self, request: Request, response: Response | None) -> Response | None:
        """What goes out in place of the response. Raises EngineError, StorageError."""
        if request.operation is Operation.LIST and _is_empty(response):
            raise NotFoundInEngineError("unsupported path")
        if response is None or response.wrap_info is not None:
            return response
        stored = _as_data(request, response)
        info = await self._put_away(
            envelope(request.id, stored).rstrip(b"\n"),
            request.wrap_ttl_seconds * SECOND_NS,
            path=request.path,
            creation_path=request.path,
            wrapped_accessor=_accessor_inside(request, response),
            is_plain=stored is response,
        )
        return Response(wrap_info=info, login=response.auth)

    # -- the ways back -----------------------------------------------------------------------

    async def look_up(self, request: Request, token: str) -> WrapRecord:
        """What is known of a wrapping token; takes no use. Raises InvalidRequestError."""
        session = await self._session(token or request.client_token)
        return await self._record(session.token)

    async def unwrap(self, request: Request, token: str) -> Response:
        """The wrapped response as it was. Raises InvalidRequestError, StorageError."""
        _, record, text = await self._take(request, token)
        return _unwrapped(text, is_plain=_is_plain(record))

    async def rewrap(self, request: Request, token: str) -> Response:
        """The same content under a new token of the same, or the wished shorter, TTL."""
        entry, record, text = await self._take(request, token)
        ttl_ns = record.creation_ttl_ns
        if request.wrap_ttl_seconds:
            ttl_ns = min(ttl_ns, request.wrap_ttl_seconds * SECOND_NS)
        inside = _unwrapped(text, is_plain=_is_plain(record)).audited
        info = await self._put_away(
            text.encode("utf-8", "replace"),
            ttl_ns,
            path=request.path,
            creation_path=record.creation_path,
            wrapped_accessor="" if inside is None else _accessor_of(inside, entry.path),
            is_plain=record.is_plain,
        )
        return Response(wrap_info=info)

    # -- behind both -------------------------------------------------------------------------

    async def _session(self, token: str) -> Session:
        session = await self._sessions.find(token, self._clock.now_ns())
        if session is None or session.token.policies != _POLICIES:
            raise InvalidRequestError(_INVALID)
        return session

    async def _take(self, request: Request, token: str) -> tuple[TokenEntry, WrapRecord, str]:
        """Use the token up and read what it holds; it is gone, or goes with the request."""
        caller = request.token
        if (
            caller is not None
            and caller.policies == _POLICIES
            and token in ("", request.client_token)
        ):
            # The pipeline has taken the use of the asking token and removes it afterwards.
            return caller, await self._record(caller), await self._content(caller)
        session = await self._session(token)
        used = await self._tokens.use(session)
        if used is None:
            raise InvalidRequestError(_INVALID)
        try:
            record = await self._record(used.token)
            return used.token, record, await self._content(used.token)
        finally:
            await self._remove(used.token)

    async def _remove(self, entry: TokenEntry) -> None:
        """The token is used up, so it is dead; what fails here its lease makes good."""
        try:
            await self._revocation.revoke_tree(entry.id)
        except ZvaultError as error:
            _log.error("a used wrapping token could not be removed yet: %s", error.message)

    async def _record(self, entry: TokenEntry) -> WrapRecord:
        stored = await self._drawers.get(f"{entry.cubbyhole_id}/{WRAP_INFO_KEY}")
        if stored is None:
            raise InvalidRequestError(_INVALID)
        return decode_wrap_info(stored)

    async def _content(self, entry: TokenEntry) -> str:
        stored = await self._drawers.get(f"{entry.cubbyhole_id}/{RESPONSE_KEY}")
        if stored is None:
            raise InvalidRequestError(_INVALID)
        return decode_response(stored)

    async def _put_away(
        self,
        text: bytes,
        ttl_ns: int,
        *,
        path: str,
        creation_path: str,
        wrapped_accessor: str,
        is_plain: bool,
    ) -> WrapInfo:
        now = self._clock.now_ns()

        def content(entry: TokenEntry) -> list[StorageOperation]:
            drawer = entry.cubbyhole_id
            info = encode_wrap_info(creation_path, now, ttl_ns, is_plain=is_plain)
            writes = (
                Put(f"{drawer}/{RESPONSE_KEY}", encode_response(text)),
                Put(f"{drawer}/{WRAP_INFO_KEY}", info),
            )
            return [self._drawers.absolute(write) for write in writes]

        auth = Auth(policies=_POLICIES, renewable=False)
        entry = TokenEntry(
            policies=_POLICIES,
            path=path,
            num_uses=1,
            creation_time=now // SECOND_NS,
            ttl_ns=ttl_ns,
            explicit_max_ttl_ns=ttl_ns,
        )
        await self._tokens.issue(auth, entry, belongings=content)
        return WrapInfo(
            token=auth.client_token,
            accessor=auth.accessor,
            ttl_seconds=ttl_ns // SECOND_NS,
            creation_time_ns=now,
            creation_path=creation_path,
            wrapped_accessor=wrapped_accessor,
        )


def _is_empty(response: Response | None) -> bool:
    """Nothing to list: Vault wraps no empty list."""
    return response is None or (
        response.wrap_info is None and not (response.data or {}).get("keys")
    )


def _as_data(request: Request, response: Response) -> Response:
    """The response; one that is no plain envelope as data that stands for it."""
    if response.raw_body is not None:
        status = response.status or 200
        answer = RawAnswer(status, response.raw_content_type, response.raw_body)
    elif response.status:
        body = envelope(request.id, response).rstrip(b"\n")
        answer = RawAnswer(response.status, response.raw_content_type, body)
    else:
        return response
    return Response(data=raw_data(answer))


def _accessor_inside(request: Request, response: Response) -> str:
    is_approle = request.mount is not None and request.mount.type == "approle"
    return _accessor_of(response, request.path) if response.auth or is_approle else ""


def _accessor_of(response: Response, path: str) -> str:
    """The accessor of the token, or of the secret id, that a response holds."""
    if response.auth is not None:
        return response.auth.accessor
    found = (response.data or {}).get("secret_id_accessor", "")
    return found if isinstance(found, str) and path.startswith("auth/") else ""


def _is_plain(record: WrapRecord) -> bool:
    """What another server wrapped is known to be data only when a user handed it in."""
    return record.is_plain or record.creation_path == WRAP_PATH


def _unwrapped(text: str, *, is_plain: bool) -> Response:
    """The response behind an envelope's text. ``is_plain``: its data is a user's own."""
    body = gojson.loads_object(text)
    data = body.get("data")
    raw = None if is_plain else raw_answer(data)
    if raw is not None:
        return Response(raw_body=raw.body, raw_content_type=raw.content_type, status=raw.status)
    return Response(raw_body=text.encode("utf-8", "replace"), audited=_as_it_was(body))


def _as_it_was(body: dict[str, object]) -> Response:
    """The response that an envelope describes, for the audit log. Raises RecordError."""
    data, auth, lease = body.get("data"), body.get("auth"), body.get("lease_id")
    warnings = body.get("warnings")
    if not isinstance(data, dict | None) or not isinstance(auth, dict | None):
        raise RecordError("response: a field is not as it must be")
    return Response(
        data=None if data is None else UserData(data),
        auth=None if auth is None else _auth(auth),
        warnings=[str(text) for text in warnings] if isinstance(warnings, list) else [],
        lease_id=lease if isinstance(lease, str) else "",
    )


def _auth(view: dict[str, object]) -> Auth:
    def text(name: str) -> str:
        value = view.get(name)
        return value if isinstance(value, str) else ""

    def texts(name: str) -> list[str]:
        value = view.get(name)
        return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []

    def number(name: str) -> int:
        value = view.get(name)
        return value if type(value) is int else 0

    metadata = view.get("metadata")
    return Auth(
        metadata={k: str(v) for k, v in metadata.items()} if isinstance(metadata, dict) else {},
        num_uses=number("num_uses"),
        token_type=text("token_type"),
        client_token=text("client_token"),
        accessor=text("accessor"),
        entity_id=text("entity_id"),
        token_policies=texts("token_policies"),
        identity_policies=texts("identity_policies"),
        lease_seconds=number("lease_duration"),
    )
