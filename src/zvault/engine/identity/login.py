"""From a successful login to a token.

What lives here: entity, policies, token type and TTL of what an auth method has let in. What never
does: credentials checked (the backend has done that), HTTP.
Invariant: no login makes a root token or hands out an internal policy.
"""

from collections.abc import Iterable

from zvault.base.clock import Clock
from zvault.base.gotime import SECOND_NS
from zvault.engine.api import Auth, Request, Response
from zvault.engine.errors import InvalidRequestError, PermissionDeniedError
from zvault.engine.identity.alias_metadata import follow_metadata
from zvault.engine.identity.external_groups import follow_groups
from zvault.engine.identity.store import IdentityStore
from zvault.engine.leases.ttl import PastMaxTtlError, TtlRequest, decide_ttl
from zvault.engine.mounts.mounted import Mounted, prefix_of
from zvault.engine.mounts.service import MountService
from zvault.engine.policy import builtin
from zvault.engine.tokens.service import TokenService
from zvault.records.tokens import BATCH, SERVICE, TokenEntry

_MOUNT_SERVICE, _MOUNT_BATCH, _MOUNT_DEFAULT_BATCH = 1, 2, 4


def sanitized(policies: Iterable[str], *, add_default: bool = False) -> tuple[str, ...]:
    """Trimmed, lower case, distinct, sorted; ``root`` stands alone."""
    found = {name for name in (policy.strip().lower() for policy in policies) if name}
    if builtin.ROOT in found:
        return (builtin.ROOT,)
    if add_default:
        found.add(builtin.DEFAULT)
    return tuple(sorted(found))


class LoginService:
    """Turns ``Response.auth`` of a login into a stored token."""

    def __init__(
        self, mounts: MountService, identity: IdentityStore, tokens: TokenService, clock: Clock
    ) -> None:
        self._mounts = mounts
        self._identity = identity
        self._tokens = tokens
        self._clock = clock

    async def complete(self, request: Request, mounted: Mounted, response: Response) -> None:
        """Store the token and fill ``response.auth``. Raises EngineError, StorageError."""
        auth = response.auth
        if auth is None:
            return
        entry = mounted.entry
        prefix = prefix_of(entry)
        await self._identify(auth, mounted, prefix)
        auth.token_policies = sanitized(auth.policies, add_default=not auth.no_default_policy)
        _refuse_unassignable((*auth.token_policies, *auth.identity_policies))
        token_type = _token_type(auth.token_type, entry.config.token_type)
        try:
            granted = decide_ttl(
                TtlRequest(
                    now_ns=self._clock.now_ns(),
                    default_ttl_ns=self._mounts.default_ttl_ns(prefix),
                    max_ttl_ns=self._mounts.max_ttl_ns(prefix),
                    ttl_ns=auth.ttl_ns,
                    period_ns=auth.period_ns,
                    issuer_max_ttl_ns=auth.max_ttl_ns,
                    explicit_max_ttl_ns=auth.explicit_max_ttl_ns,
                )
            )
        except PastMaxTtlError:
            raise InvalidRequestError("past the max TTL") from None
        response.warnings.extend(granted.warnings)
        source = prefix.removeprefix("auth/").replace("/", "-")
        auth.display_name = (source + auth.display_name).removesuffix("-")
        auth.orphan = True
        auth.token_type = "batch" if token_type == BATCH else "service"
        await self._tokens.issue(
            auth,
            TokenEntry(
                policies=auth.token_policies,
                path=request.path,
                meta=dict(auth.metadata),
                display_name=auth.display_name,
                num_uses=auth.num_uses,
                creation_time=self._clock.now_ns() // SECOND_NS,
                ttl_ns=granted.ttl_ns,
                explicit_max_ttl_ns=auth.explicit_max_ttl_ns,
                period_ns=auth.period_ns,
                type=token_type,
                entity_id=auth.entity_id,
                bound_cidrs=tuple(auth.bound_cidrs),
            ),
            mount=entry,
        )
        auth.ttl_ns = granted.ttl_ns

    async def _identify(self, auth: Auth, mounted: Mounted, prefix: str) -> None:
        if not auth.alias_name:
            return
        metadata = auth.metadata if auth.alias_metadata is None else auth.alias_metadata
        accessor = mounted.entry.accessor
        name = auth.alias_name
        entity = await self._identity.login(mounted.entry, prefix, name, dict(metadata))
        await follow_metadata(self._identity, entity.id, accessor, name, metadata)
        await follow_groups(self._identity, entity.id, accessor, auth.group_names)
        who = self._identity.view_of(entity.id)
        if who is None or who.disabled:
            raise PermissionDeniedError("permission denied")
        auth.entity_id = entity.id
        auth.identity_policies = who.policies


def _refuse_unassignable(policies: Iterable[str]) -> None:
    for name in policies:
        if name == builtin.ROOT:
            raise InvalidRequestError("auth methods cannot create root tokens")
        if name in builtin.INTERNAL:
            raise InvalidRequestError(f'cannot assign policy "{name}"')


def _token_type(asked: str, of_mount: int) -> int:
    """What the mount forces, else what the role asks for, else what the mount prefers."""
    if of_mount == _MOUNT_SERVICE:
        return SERVICE
    if of_mount == _MOUNT_BATCH:
        return BATCH
    if asked == "batch":
        return BATCH
    if asked in ("default", "default-batch") and of_mount == _MOUNT_DEFAULT_BATCH:
        return BATCH
    return SERVICE
