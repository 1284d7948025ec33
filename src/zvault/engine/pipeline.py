"""A request's way: token, route, access, audit, backend, audit.

What lives here: the whole security argument of a request, on one screen (``_authenticated``). What
never does: what a path means, storage, HTTP.
Invariants: nothing reaches a backend that its token's policies do not allow and that the audit
devices have not recorded; every outcome, refusals included, is recorded before it is answered; the
chain does not suspend while caches answer.
"""

import logging

from zvault.barrier.errors import ViewPathError
from zvault.base.clock import Clock
from zvault.base.errors import ZvaultError
from zvault.engine.api import Operation, Request, Response
from zvault.engine.audit.auth_view import LOGIN, REFUSED, AuthView
from zvault.engine.audit.batch import AuditFailedError
from zvault.engine.audit.broker import AuditBroker
from zvault.engine.errors import (
    BadFieldError,
    EngineError,
    InternalEngineError,
    InvalidRequestError,
    NotFoundInEngineError,
    PermissionDeniedError,
    permission_denied,
)
from zvault.engine.identity.login import LoginService
from zvault.engine.leases.secret_leases import SecretLeases
from zvault.engine.mounts.mounted import Mounted, prefix_of
from zvault.engine.mounts.router import Router
from zvault.engine.telemetry.metrics import Metrics
from zvault.engine.tokens.revocation import TokenRevocation
from zvault.engine.tokens.service import USED_UP, TokenService
from zvault.engine.tokens.sessions import Session, Sessions
from zvault.engine.tokens.wrapping import CHECKED_PATHS, Wrapping, refuse_format
from zvault.storage.errors import InvalidKeyError

_REQUEST = ("core", "handle_request")
_LOGIN = ("core", "handle_login_request")
_DENIED_TEXT = "permission denied"
_WRITES = (Operation.CREATE, Operation.UPDATE, Operation.PATCH)

_log = logging.getLogger(__name__)


class Pipeline:
    """Handles requests of one unsealed store."""

    def __init__(
        self,
        router: Router[Mounted],
        sessions: Sessions,
        tokens: TokenService,
        revocation: TokenRevocation,
        logins: LoginService,
        secrets: SecretLeases,
        wrapping: Wrapping,
        audit: AuditBroker,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._router = router
        self._sessions = sessions
        self._tokens = tokens
        self._revocation = revocation
        self._logins = logins
        self._secrets = secrets
        self._wrapping = wrapping
        self._audit = audit
        self._clock = clock
        self._now, self._now_ns = clock.monotonic, clock.now_ns
        self._metrics = metrics
        self._request_time = metrics.summary(_REQUEST)
        self._login_time = metrics.summary(_LOGIN)

    async def handle(self, request: Request) -> Response | None:
        """Serve one request; None means "nothing" (204 or 404). Raises EngineError."""
        started = self._now()
        timer = self._request_time
        try:
            found = self._router.find(request.path)
            mounted = None
            if found is not None and found[1].is_reachable:
                prefix, mounted = found
                request.mount = mounted.entry
                request.relative_path = request.path[len(prefix) :]
                if request.path in CHECKED_PATHS:
                    await self._check_wrapping(request)
                if request.relative_path in mounted.open_paths:
                    timer = self._login_time
                    return await self._open(request, mounted)
            session = self._sessions.ready(request.client_token, self._now_ns())
            if session is not None:
                return await self._authorised(request, mounted, session)
            return await self._authenticated(request, mounted)
        except EngineError:
            raise
        except (ViewPathError, InvalidKeyError) as error:
            text = "relative paths not supported" if ".." in request.path else error.message
            raise InvalidRequestError(text) from None
        except ZvaultError as error:
            raise _internal(error) from error
        except Exception as error:
            raise _unexpected(request) from error
        finally:
            timer.add((self._now() - started) * 1e3)

    async def _check_wrapping(self, request: Request) -> None:
        """Requests about a wrapping token that is none are refused before anybody is asked."""
        try:
            await self._wrapping.check(request)
        except ZvaultError as error:
            raise await self._refuse(request, _internal(error)) from None

    async def _authenticated(self, request: Request, mounted: Mounted | None) -> Response | None:
        try:
            session = await self._session(request)
        except ZvaultError as error:
            raise await self._refuse(request, _internal(error)) from error
        if session is None:
            raise await self._refuse(request, PermissionDeniedError(_DENIED_TEXT))
        try:
            return await self._authorised(request, mounted, session)
        finally:
            if session.token.num_uses == USED_UP:
                await self._take_away(session)

    async def _take_away(self, session: Session) -> None:
        """Remove a used-up token. It is dead already; what fails here its lease makes good."""
        try:
            await self._revocation.revoke_tree(session.token.id)
        except ZvaultError as error:
            _log.error("a used-up token could not be removed yet: %s", error.message)

    async def _authorised(
        self, request: Request, mounted: Mounted | None, session: Session
    ) -> Response | None:
        request.token = session.token
        request.policies = session.policies
        request.identity_policies = session.identity_policies
        if mounted is not None and request.operation is Operation.UPDATE:
            try:
                await _tell_create_from_update(request, mounted)
            except ZvaultError as error:
                raise await self._refuse(request, _internal(error)) from error
        acl = session.acl
        decision = acl.decide(
            request.operation, request.path, request.data, request.wrap_ttl_seconds * 10**9
        )
        needs_sudo = mounted is not None and request.relative_path in mounted.root_paths
        if not decision.allowed or (needs_sudo and not decision.sudo):
            raise await self._refuse(request, permission_denied())
        request.is_root = acl.is_root
        request.has_sudo = decision.sudo
        view = decision.view
        if mounted is None:
            return await self._audited(request, None, view, _no_route(request))
        return await self._audited(request, mounted, view, _bad_write(request))

    async def _session(self, request: Request) -> Session | None:
        """Who is asking, one use taken off a counted token.

        None for no valid token, a wrong address, a disabled entity.
        """
        if not request.client_token:
            return None
        session = await self._sessions.find(request.client_token, self._now_ns())
        if session is None or session.entity_disabled:
            return None
        if not session.admits(request.remote_address):
            return None
        return await self._tokens.use(session) if session.token.num_uses else session

    async def _open(self, request: Request, mounted: Mounted) -> Response | None:
        request.unauthenticated = True
        try:
            return await self._audited(request, mounted, LOGIN, _bad_write(request))
        except EngineError as error:
            error.messages = [_plain(text) for text in error.messages]
            raise

    async def _audited(
        self,
        request: Request,
        mounted: Mounted | None,
        view: AuthView,
        failure: EngineError | None = None,
    ) -> Response | None:
        self._audit.log_request(request, view)
        try:
            if failure is not None or mounted is None:
                raise failure or NotFoundInEngineError()
            response = await self._served(request, mounted)
        except ZvaultError as error:
            self._audit.log_response(request, None, view, _audit_text(error))
            raise
        except Exception as error:
            failed = _unexpected(request)
            self._audit.log_response(request, None, view, _audit_text(failed))
            raise failed from error
        shown = response if response is None or response.audited is None else response.audited
        try:
            self._audit.log_response(request, shown, view)
        except AuditFailedError:
            if response is None or not response.is_only_copy:
                raise
            _log.error("new shares go out without a record: withheld, nobody could unseal again")
        return response

    async def _served(self, request: Request, mounted: Mounted) -> Response | None:
        if request.wrap_ttl_seconds:
            refuse_format(request)
        if not mounted.is_reachable:
            raise _no_route(request)
        mounted.inside += 1
        try:
            started = self._now()
            response = await mounted.backend.handle(request)
            mounted.timer(self._metrics, request.operation).add((self._now() - started) * 1e3)
            if request.unauthenticated and response is not None and response.auth is not None:
                await self._logins.complete(request, mounted, response)
            if response is not None and response.secret is not None:
                await self._secrets.register(request, response)
            if request.wrap_ttl_seconds:
                return await self._wrapping.wrap(request, response)
            return response
        finally:
            mounted.leave()

    async def _refuse(self, request: Request, error: EngineError) -> EngineError:
        """Record a refusal; returns what the caller raises."""
        is_denied = isinstance(error, PermissionDeniedError)
        text = _DENIED_TEXT if is_denied else _audit_text(error)
        self._audit.log_request(request, REFUSED, text)
        self._audit.log_response(request, None, REFUSED, _audit_text(error))
        return error


async def _tell_create_from_update(request: Request, mounted: Mounted) -> None:
    """Writing what is not there yet needs the right to create.

    A path that cannot be fails in the backend again, for those who may hear of it. Raises
    BadFieldError: real servers look at the fields before they look at rights here.
    """
    try:
        exists = await mounted.backend.exists(request)
    except BadFieldError:
        raise
    except (EngineError, ViewPathError, InvalidKeyError):
        return
    if exists is False:
        request.operation = Operation.CREATE


def _bad_write(request: Request) -> InvalidRequestError | None:
    if request.path.endswith("/") and request.operation in _WRITES:
        return InvalidRequestError("cannot write to a path ending in '/'")
    return None


def _plain(text: str) -> str:
    """Without the list of one that Vault makes of errors, except where nobody is logged in."""
    head, tail = "1 error occurred:\n\t* ", "\n\n"
    return text[len(head) : -len(tail)] if text.startswith(head) and text.endswith(tail) else text


def _no_route(request: Request) -> NotFoundInEngineError:
    return NotFoundInEngineError(f'no handler for route "{request.path}". route entry not found.')


def _internal(error: ZvaultError) -> EngineError:
    """Storage, or an entry in it, does not let the request through."""
    if isinstance(error, EngineError):
        return error
    return InternalEngineError(f"1 error occurred:\n\t* {error.message}\n\n")


def _unexpected(request: Request) -> InternalEngineError:
    """A fault of ours: the log has it all, the client nothing."""
    _log.exception("request %s on %s failed", request.operation, mount_of(request))
    return InternalEngineError("1 error occurred:\n\t* internal error\n\n")


def mount_of(request: Request) -> str:
    """The mount of a request, for the log; paths may tell too much."""
    return "no mount" if request.mount is None else prefix_of(request.mount)


def _audit_text(error: ZvaultError) -> str:
    return error.messages[0] if isinstance(error, EngineError) and error.messages else error.message
