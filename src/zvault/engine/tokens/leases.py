"""Between a grant in memory and the lease that remembers it.

What lives here: the two translations and what is left of a lease. Pure.
"""

from zvault.base.gotime import NEVER_NS
from zvault.engine.api import Auth
from zvault.engine.tokens.sessions import Session
from zvault.records.leases import LeaseAuth, LeaseEntry, lease_id_of_token
from zvault.records.mounts import MountEntry
from zvault.records.tokens import SERVICE, TokenEntry


def new_lease(
    auth: Auth, entry: TokenEntry, mount: MountEntry | None, *, salted_id: str, now_ns: int
) -> LeaseEntry:
    """The lease of a token that is made now. ``mount``: of a login."""
    role = auth.internal_data.get("role_name", "")
    return LeaseEntry(
        lease_id=lease_id_of_token(entry.path, salted_id),
        client_token=entry.id,
        path=entry.path,
        auth=lease_auth(auth, entry, mount),
        issue_time_ns=now_ns,
        expire_time_ns=now_ns + entry.ttl_ns,
        login_role=role if isinstance(role, str) else "",
    )


def lease_auth(auth: Auth, entry: TokenEntry, mount: MountEntry | None) -> LeaseAuth:
    """What a token's lease remembers of how it was granted. ``mount``: of a login."""
    alias = None
    if auth.alias_name and mount is not None:
        alias = {
            "mount_type": mount.type,
            "mount_accessor": mount.accessor,
            "name": auth.alias_name,
            "metadata": dict(auth.metadata) or None,
        }
    return LeaseAuth(
        lease_ns=entry.ttl_ns,
        max_ttl_ns=auth.max_ttl_ns,
        renewable=auth.renewable,
        internal_data=dict(auth.internal_data),
        display_name=entry.display_name,
        policies=tuple(auth.policies),
        token_policies=entry.policies,
        identity_policies=tuple(auth.identity_policies),
        no_default_policy=auth.no_default_policy,
        metadata=dict(auth.metadata),
        client_token=entry.id,
        accessor=entry.accessor,
        period_ns=auth.period_ns,
        explicit_max_ttl_ns=auth.explicit_max_ttl_ns,
        num_uses=entry.num_uses,
        entity_id=entry.entity_id,
        alias=alias,
        bound_cidrs=tuple(auth.bound_cidrs),
        creation_path="" if mount is not None else entry.path,
        token_type=SERVICE,
        orphan=not entry.parent,
    )


def auth_of_lease(lease: LeaseAuth) -> Auth:
    """The login that a lease remembers, for its auth method to judge again."""
    return Auth(
        policies=lease.policies,
        metadata=dict(lease.metadata),
        internal_data=dict(lease.internal_data),
        display_name=lease.display_name,
        ttl_ns=lease.lease_ns,
        max_ttl_ns=lease.max_ttl_ns,
        period_ns=lease.period_ns,
        explicit_max_ttl_ns=lease.explicit_max_ttl_ns,
        renewable=lease.renewable,
        num_uses=lease.num_uses,
        bound_cidrs=lease.bound_cidrs,
        no_default_policy=lease.no_default_policy,
        orphan=lease.orphan,
        accessor=lease.accessor,
        entity_id=lease.entity_id,
    )


def remaining_ns(session: Session, now_ns: int) -> int:
    """What is left of a token; 0 for one that never expires."""
    return 0 if session.expires_ns >= NEVER_NS else max(0, session.expires_ns - now_ns)
