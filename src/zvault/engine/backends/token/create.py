"""``auth/token/create``, ``create-orphan``, ``create/<role>``.

What lives here: fields and the way from a plan to a stored token. What never does: the rules of
what may be created (``engine/tokens/creation.py``).
"""

import json
from dataclasses import dataclass, replace

from zvault.base.gotime import SECOND_NS
from zvault.engine.api import Auth, Operation, Request, Response
from zvault.engine.backends.fields import FieldKind, invalid_duration, lifetime_ns
from zvault.engine.backends.framework import Field, FieldData, Route
from zvault.engine.backends.token.roles import NAME, TokenRoles
from zvault.engine.errors import InvalidRequestError, PermissionDeniedError
from zvault.engine.leases.ttl import PastMaxTtlError, TtlRequest, decide_ttl
from zvault.engine.policy import builtin
from zvault.engine.policy.acl import glob_matches
from zvault.engine.services import Services
from zvault.engine.tokens.creation import TokenPlan, TokenWish, plan_token
from zvault.engine.tokens.kept import MAX_KEPT_BYTES, Kept
from zvault.engine.tokens.mint import Mint
from zvault.records.mounts import AUTH
from zvault.records.token_roles import TokenRole
from zvault.records.tokens import BATCH, SERVICE, TokenEntry

_PREFIX = "auth/token/"
_WEAK_ID = (
    "Supplying a custom ID for the token uses the weaker SHA1 hashing instead of the more secure "
    "SHA2-256 HMAC for token obfuscation. SHA1 hashed tokens on the wire leads to less secure "
    "lookups."
)
_FIELDS = {
    "id": Field(FieldKind.STRING, ""),
    "role_name": Field(FieldKind.STRING, ""),
    "policies": Field(FieldKind.WORDS, []),
    "meta": Field(FieldKind.KV_PAIRS, {}),
    "metadata": Field(FieldKind.KV_PAIRS, {}),
    "no_parent": Field(FieldKind.BOOL, False),
    "no_default_policy": Field(FieldKind.BOOL, False),
    "renewable": Field(FieldKind.BOOL, True),
    "ttl": Field(FieldKind.STRING, ""),
    "lease": Field(FieldKind.STRING, ""),
    "type": Field(FieldKind.STRING, ""),
    "explicit_max_ttl": Field(FieldKind.STRING, ""),
    "period": Field(FieldKind.STRING, ""),
    "display_name": Field(FieldKind.STRING, ""),
    "num_uses": Field(FieldKind.INT, 0),
    "entity_alias": Field(FieldKind.STRING, ""),
}


@dataclass(frozen=True, slots=True)
class _Alike:
    """What came of a wish, so long as nothing changes that decided it."""

    parent: TokenEntry
    """Kept, so that its identity in the key cannot come to mean another one."""
    plan: TokenPlan
    mint: Mint
    warnings: tuple[str, ...]


class TokenCreation:
    """Makes tokens on request."""

    def __init__(self, services: Services, roles: TokenRoles) -> None:
        self._services = services
        self._roles = roles
        self._alike: Kept[_Alike] = Kept()

    def routes(self) -> list[Route]:
        """The path table."""
        operations = {Operation.UPDATE: self._create}
        return [
            Route("create", operations, _FIELDS),
            Route("create-orphan", operations, _FIELDS),
            Route(f"create/(?P<role_name>{NAME})", operations, _FIELDS),
        ]

    async def _create(self, request: Request, data: FieldData) -> Response:
        parent = request.token
        if parent is None:
            raise PermissionDeniedError("permission denied")
        role = await self._role(_role_in_path(request, data))
        wish = _wish(request, data)
        is_sudo = request.is_root or request.has_sudo
        key = self._key(request, wish, parent, is_sudo=is_sudo) if role is None else ()
        alike = self._alike.get(key)
        if alike is not None:
            auth = self._auth(alike.plan, alike.mint.entry.ttl_ns, alike.mint.entry.entity_id)
            await self._services.tokens.issue_alike(auth, alike.mint)
            return Response(auth=auth, warnings=list(alike.warnings))
        plan = plan_token(wish, parent, role, is_sudo=is_sudo)
        entity_id = await self._entity(wish, role) or plan.entity_id
        warnings: list[str] = []
        ttl_ns = self._ttl(plan, parent, warnings)
        if not ttl_ns:
            # As in Vault: a root token that never ends is bound to no address.
            plan = replace(plan, bound_cidrs=())
        if wish.id:
            warnings.append(_WEAK_ID)
        for name in plan.policies:
            if not await self._services.policies.exists(name):
                warnings.append(f"Policy {json.dumps(name, ensure_ascii=False)} does not exist")
        path = request.path + (f"/{plan.path_suffix}" if plan.path_suffix else "")
        auth = self._auth(plan, ttl_ns, entity_id)
        token = TokenEntry(
            id=wish.id,
            parent=plan.parent,
            policies=plan.policies,
            path=path,
            meta=plan.meta,
            display_name=plan.display_name,
            num_uses=plan.num_uses,
            creation_time=self._services.clock.now_ns() // SECOND_NS,
            ttl_ns=ttl_ns,
            explicit_max_ttl_ns=plan.explicit_max_ttl_ns,
            role=plan.role,
            period_ns=plan.stored_period_ns,
            type=plan.type,
            entity_id=entity_id,
            bound_cidrs=plan.bound_cidrs,
        )
        is_now = role is None and key == self._key(request, wish, parent, is_sudo=is_sudo)
        is_small = _size(wish) <= MAX_KEPT_BYTES
        if is_now and is_small and self._is_lasting(token) and self._alike.is_due(key):
            mint = self._services.tokens.mint_for(auth, token)
            self._alike.put(key, _Alike(parent, plan, mint, tuple(warnings)), mint.size)
        await self._services.tokens.issue(auth, token)
        return Response(auth=auth, warnings=warnings)

    def _key(
        self, request: Request, wish: TokenWish, parent: TokenEntry, *, is_sudo: bool
    ) -> tuple[object, ...]:
        """All that decides what a token without a role becomes."""
        mounts = self._services.mounts
        return (
            wish,
            id(parent),
            is_sudo,
            request.path,
            self._services.policies.epoch,
            mounts.default_ttl_ns(_PREFIX),
            mounts.max_ttl_ns(_PREFIX),
        )

    def _is_lasting(self, token: TokenEntry) -> bool:
        """The same wish comes to the same; a policy that ends by itself is a warning later."""
        if token.id or token.type != SERVICE or not token.ttl_ns:
            return False
        return all(self._services.policies.lasts(name) for name in token.policies)

    async def _role(self, name: str) -> TokenRole | None:
        if not name:
            return None
        role = await self._roles.get(name)
        if role is None:
            raise InvalidRequestError(f"unknown role {name}")
        return role

    def _ttl(self, plan: TokenPlan, parent: TokenEntry, warnings: list[str]) -> int:
        """The TTL; 0 (for ever) only for root tokens without any limit."""
        is_root = builtin.ROOT in plan.policies
        if is_root and not plan.ttl_ns and not plan.period_ns:
            if plan.explicit_max_ttl_ns:
                return plan.explicit_max_ttl_ns
            if parent.ttl_ns:
                raise InvalidRequestError(
                    "expiring root tokens cannot create non-expiring root tokens"
                )
            return 0
        try:
            granted = decide_ttl(
                TtlRequest(
                    now_ns=self._services.clock.now_ns(),
                    default_ttl_ns=self._services.mounts.default_ttl_ns(_PREFIX),
                    max_ttl_ns=self._services.mounts.max_ttl_ns(_PREFIX),
                    ttl_ns=plan.ttl_ns,
                    period_ns=plan.period_ns,
                    explicit_max_ttl_ns=plan.explicit_max_ttl_ns,
                )
            )
        except PastMaxTtlError:
            raise InvalidRequestError("past the max TTL") from None
        warnings.extend(granted.warnings)
        return granted.ttl_ns

    def _auth(self, plan: TokenPlan, ttl_ns: int, entity_id: str) -> Auth:
        who = self._services.identity.view_of(entity_id) if entity_id else None
        return Auth(
            policies=plan.policies,
            metadata=dict(plan.meta),
            display_name=plan.display_name,
            ttl_ns=ttl_ns,
            period_ns=plan.period_ns,
            explicit_max_ttl_ns=plan.explicit_max_ttl_ns,
            renewable=plan.renewable and bool(ttl_ns),
            num_uses=plan.num_uses,
            bound_cidrs=plan.bound_cidrs,
            token_type="batch" if plan.type == BATCH else "service",
            orphan=not plan.parent,
            entity_id=entity_id,
            token_policies=plan.policies,
            identity_policies=() if who is None else who.policies,
        )

    async def _entity(self, wish: TokenWish, role: TokenRole | None) -> str:
        """The entity of ``entity_alias``, made when it is the first of its name."""
        if not wish.entity_alias or role is None:
            return ""
        alias = wish.entity_alias.lower()
        if not any(glob_matches(name.lower(), alias) for name in role.allowed_entity_aliases):
            raise InvalidRequestError("invalid 'entity_alias' value")
        mount = self._services.mounts.entry(AUTH, "token/")
        if mount is None:
            raise InvalidRequestError("the token mount is missing")
        entity = await self._services.identity.login(mount, _PREFIX, alias, {})
        if entity.disabled:
            raise InvalidRequestError("entity from the given entity alias is disabled")
        return entity.id


def _role_in_path(request: Request, data: FieldData) -> str:
    """The role that the path names, as the policies do; one in a body counts for nothing."""
    name: str = data["role_name"]
    return name if request.relative_path.startswith("create/") else ""


def _wish(request: Request, data: FieldData) -> TokenWish:
    meta: dict[str, str] = data.first("meta", "metadata")
    lease = "ttl" if data["ttl"] else "lease"
    return TokenWish(
        policies=tuple(data["policies"]),
        id=data["id"],
        meta=tuple(meta.items()),
        no_parent=data["no_parent"],
        no_default_policy=data["no_default_policy"],
        renewable=data["renewable"],
        ttl_ns=_duration(lease, data[lease]),
        explicit_max_ttl_ns=_duration("explicit_max_ttl", data["explicit_max_ttl"]),
        period_ns=_duration("period", data["period"]),
        type=data["type"],
        display_name=data["display_name"],
        num_uses=data["num_uses"],
        entity_alias=data["entity_alias"],
        orphan_path=request.relative_path == "create-orphan",
    )


def _size(wish: TokenWish) -> int:
    """Characters of what is of any length."""
    texts = (wish.display_name, *wish.policies, *(text for pair in wish.meta for text in pair))
    return sum(map(len, texts)) + len(texts)


def _duration(name: str, text: str) -> int:
    try:
        result = lifetime_ns(text)
    except ValueError:
        raise InvalidRequestError(invalid_duration(text)) from None
    if result < 0:
        raise InvalidRequestError(f"{name} must be positive")
    return result
