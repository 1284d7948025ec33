"""From a successful login to a token.

What lives here: entity, policies, token type and TTL of what an auth method has let in. What never
does: credentials checked (the backend has done that), HTTP.
Invariants: no login makes a root token or hands out an internal policy; what is remembered of a
grant ends with every change of an entity, a group, the mount, or what the login came of.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from zvault.base.clock import Clock
from zvault.base.gotime import SECOND_NS
from zvault.engine.api import Auth, Request, Response
from zvault.engine.errors import InvalidRequestError, PermissionDeniedError
from zvault.engine.identity.alias_metadata import follow_metadata
from zvault.engine.identity.external_groups import follow_groups
from zvault.engine.identity.store import IdentityStore
from zvault.engine.leases.ttl import Granted, PastMaxTtlError, TtlRequest, decide_ttl
from zvault.engine.mounts.mounted import Mounted, prefix_of
from zvault.engine.mounts.service import MountService
from zvault.engine.policy import builtin
from zvault.engine.tokens.kept import Kept
from zvault.engine.tokens.mint import Mint
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


@dataclass(frozen=True, slots=True)
class _Terms:
    """What a login with this source is granted, so long as nothing changes that it comes of."""

    made_of: tuple[object, ...]
    """Kept, so that an identity in the key cannot come to mean another thing."""
    mint: Mint
    entity_id: str
    token_policies: Sequence[str]
    identity_policies: Sequence[str]
    display_name: str
    ttl_ns: int
    warnings: tuple[str, ...]

    def fill(self, auth: Auth) -> None:
        """What ``LoginService`` puts into the Auth of a login."""
        auth.entity_id = self.entity_id
        auth.token_policies = self.token_policies
        auth.identity_policies = self.identity_policies
        auth.display_name = self.display_name
        auth.token_type = "service"  # noqa: S105 - a kind of token
        auth.orphan = True
        auth.ttl_ns = self.ttl_ns


class LoginService:
    """Turns ``Response.auth`` of a login into a stored token."""

    def __init__(
        self, mounts: MountService, identity: IdentityStore, tokens: TokenService, clock: Clock
    ) -> None:
        self._mounts = mounts
        self._identity = identity
        self._tokens = tokens
        self._clock = clock
        self._terms: Kept[_Terms] = Kept()

    async def complete(self, request: Request, mounted: Mounted, response: Response) -> None:
        """Store the token and fill ``response.auth``. Raises EngineError, StorageError."""
        auth = response.auth
        if auth is None:
            return
        key = self._key(request, mounted, auth) if auth.source else ()
        terms = self._terms.get(key) if key else None
        if terms is not None:
            terms.fill(auth)
            response.warnings.extend(terms.warnings)
            await self._tokens.issue_alike(auth, terms.mint)
            return
        granted, token = await self._granted(request, mounted, auth)
        response.warnings.extend(granted.warnings)
        is_now = bool(key) and key == self._key(request, mounted, auth)
        if is_now and token.type == SERVICE and self._terms.is_due(key):
            self._remember(key, mounted, auth, granted, token)
        await self._tokens.issue(auth, token, mount=mounted.entry)
        auth.ttl_ns = granted.ttl_ns

    def _key(self, request: Request, mounted: Mounted, auth: Auth) -> tuple[object, ...]:
        """All that decides what a login gets."""
        prefix = prefix_of(mounted.entry)
        return (
            *map(id, auth.source),
            id(mounted.entry),
            request.path,
            self._identity.epoch,
            self._mounts.default_ttl_ns(prefix),
            self._mounts.max_ttl_ns(prefix),
        )

    def _remember(
        self,
        key: tuple[object, ...],
        mounted: Mounted,
        auth: Auth,
        granted: Granted,
        token: TokenEntry,
    ) -> None:
        mint = self._tokens.mint_for(auth, token, mounted.entry)
        terms = _Terms(
            made_of=(*auth.source, mounted.entry),
            mint=mint,
            entity_id=auth.entity_id,
            token_policies=auth.token_policies,
            identity_policies=auth.identity_policies,
            display_name=auth.display_name,
            ttl_ns=granted.ttl_ns,
            warnings=granted.warnings,
        )
        self._terms.put(key, terms, mint.size)

    async def _granted(
        self, request: Request, mounted: Mounted, auth: Auth
    ) -> tuple[Granted, TokenEntry]:
        """What the login gets, and the token that says so. Raises EngineError, StorageError."""
        entry = mounted.entry
        prefix = prefix_of(entry)
        await self._identify(auth, mounted, prefix)
        auth.token_policies = sanitized(auth.policies, add_default=not auth.no_default_policy)
        _refuse_unassignable((*auth.token_policies, *auth.identity_policies))
        token_type = _token_type(auth.token_type, entry.config.token_type)
        now_ns = self._clock.now_ns()
        granted = self._ttl(auth, prefix, now_ns)
        source = prefix.removeprefix("auth/").replace("/", "-")
        auth.display_name = (source + auth.display_name).removesuffix("-")
        auth.orphan = True
        auth.token_type = "batch" if token_type == BATCH else "service"
        return granted, TokenEntry(
            policies=auth.token_policies,
            path=request.path,
            meta=dict(auth.metadata),
            display_name=auth.display_name,
            num_uses=auth.num_uses,
            creation_time=now_ns // SECOND_NS,
            ttl_ns=granted.ttl_ns,
            explicit_max_ttl_ns=auth.explicit_max_ttl_ns,
            period_ns=auth.period_ns,
            type=token_type,
            entity_id=auth.entity_id,
            bound_cidrs=tuple(auth.bound_cidrs),
        )

    def _ttl(self, auth: Auth, prefix: str, now_ns: int) -> Granted:
        try:
            return decide_ttl(
                TtlRequest(
                    now_ns=now_ns,
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
