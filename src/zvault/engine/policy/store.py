"""The stored policies and the ACLs compiled from them.

What lives here: reading, writing, listing policies below ``sys/policy/``; a cache of parsed
policies and of ACLs by policy set, which lives and dies with the unsealed store. What never does:
text parsed, rules judged (``policy/``), a token.
Invariants: a cached ACL never outlives a write to any policy, nor the moment when one of its rules
expires; a stored policy that does not parse refuses the request instead of being left out, because
it may hold the deny that matters; an expired policy is as good as none.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from zvault.barrier.errors import UnreadableEntryError
from zvault.barrier.view import View
from zvault.base.clock import Clock
from zvault.base.gotime import NEVER_NS, ZERO_NS
from zvault.engine.errors import InternalEngineError, InvalidRequestError
from zvault.engine.locks import KeyLocks
from zvault.engine.policy import builtin
from zvault.engine.policy.acl import Acl, Memo
from zvault.engine.policy.model import Policy, living
from zvault.engine.policy.parse import PolicySyntaxError, parse_policy
from zvault.engine.policy.template import TemplateIdentity, resolve
from zvault.records.errors import RecordError
from zvault.records.policies import (
    ACL,
    PolicyEntry,
    Upkeep,
    decode_policy,
    encode_policy,
    upkeep_of,
    with_upkeep,
)

_ACL_LIMIT = 4096
_ROOT_ACL = Acl([], is_root=True)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PolicyWish:
    """What a write may ask for besides the text, in stores of OpenBao."""

    expires_ns: int = ZERO_NS
    cas: int | None = None
    """The version that is to be replaced; 0 for none, -1 for no policy at all."""
    cas_required: bool = False
    takes_wildcards: bool = False
    takes_slashes: bool = False


def normal_name(name: str) -> str:
    """Policy names are lower case and trimmed."""
    return name.strip().lower()


class PolicyStore:
    """All ACL policies of an unsealed store."""

    def __init__(self, view: View, family: str, clock: Clock) -> None:
        self._view = view
        self._clock = clock
        self._family = family
        self._locks = KeyLocks()
        self._parsed: dict[str, Policy | None] = {}
        self._acls: dict[tuple[tuple[str, ...], str | None], Acl] = {}
        self._memo = Memo()
        self._present: set[str] = set()
        """Names of policies that were there when last looked for."""
        self.epoch = 0
        """Grows with every write; what was computed before is void."""

    async def start(self) -> None:
        """Write ``default`` when the store has none. Raises StorageError."""
        if await self._view.get(builtin.DEFAULT) is None:
            default = PolicyEntry(raw=builtin.DEFAULT_POLICY, templated=True)
            await self._view.put(builtin.DEFAULT, encode_policy(default))

    async def names(self) -> list[str]:
        """Names of all policies a user may see, ``root`` included, sorted. Raises StorageError."""
        found = {builtin.ROOT}
        await self._collect("", found)
        return sorted(found - builtin.INTERNAL)

    async def _collect(self, prefix: str, found: set[str]) -> None:
        for name in await self._view.list(prefix):
            if name.endswith("/"):
                await self._collect(prefix + name, found)
            elif await self._lives(prefix + name):
                found.add(prefix + name)

    async def _lives(self, name: str) -> bool:
        """It has not expired; what cannot be read is not hidden."""
        try:
            return await self._entry(name) is not None
        except (RecordError, UnreadableEntryError):
            return True

    async def text(self, name: str) -> str | None:
        """The policy as it was written; "" for ``root``; None when absent."""
        name = normal_name(name)
        if name == builtin.ROOT:
            return ""
        if name == builtin.RESPONSE_WRAPPING:
            return builtin.RESPONSE_WRAPPING_POLICY
        if name in builtin.INTERNAL:
            return None
        stored = await self._entry(name)
        return None if stored is None else stored.raw

    async def exists(self, name: str) -> bool:
        """A token that names the policy gets something from it."""
        name = normal_name(name)
        if self.lasts(name):
            return True
        epoch = self.epoch
        found = await self._entry(name)
        if found is not None and epoch == self.epoch and _expiry_ns(upkeep_of(found)) >= NEVER_NS:
            self._present.add(name)
        return found is not None

    def lasts(self, name: str) -> bool:
        """``exists`` has found it, and only a write takes it away."""
        name = normal_name(name)
        return name in self._present or name in (builtin.ROOT, *builtin.INTERNAL)

    async def _entry(self, name: str) -> PolicyEntry | None:
        """The stored policy; None when there is none, or none any more."""
        if ".." in name:
            return None
        content = await self._view.get(name)
        if content is None:
            return None
        entry = decode_policy(content)
        has_expired = _expiry_ns(upkeep_of(entry)) <= self._clock.now_ns()
        return entry if entry.type == ACL and not has_expired else None

    async def upkeep(self, name: str) -> Upkeep | None:
        """What is kept of a policy besides its text: in stores of OpenBao, and where it has written
        the policy. Raises RecordError, StorageError."""
        stored = await self._entry(normal_name(name))
        known = None if stored is None else upkeep_of(stored)
        return Upkeep() if known is None and self._family == "openbao" else known

    async def put(self, name: str, text: str, wish: PolicyWish | None = None) -> None:
        """Write a policy. Raises InvalidRequestError, StorageError."""
        name, wish = _changeable(name, "update"), wish or PolicyWish()
        now = self._clock.now_ns()
        if wish.expires_ns != ZERO_NS and wish.expires_ns <= now:
            raise InvalidRequestError(
                "refusing to update policy as expiration time has already elapsed"
            )
        try:
            policy = parse_policy(name, text, family=self._family)
        except PolicySyntaxError as error:
            raise InvalidRequestError(f"failed to parse policy: {error}") from None
        async with self._locks.hold(name):
            before = await self._entry(name)
            known = None if before is None else upkeep_of(before)
            _check_cas(wish, before is not None, known or Upkeep())
            entry = replace(before or PolicyEntry(), raw=text, templated=policy.templated)
            if known is not None or self._family == "openbao":
                entry = with_upkeep(entry, _kept(wish, known or Upkeep(), now))
            try:
                await self._view.put(name, encode_policy(entry))
            finally:
                self._changed(name)

    async def delete(self, name: str) -> None:
        """Remove a policy; absent is fine. Raises InvalidRequestError, StorageError."""
        name = _changeable(name, "delete")
        if name == builtin.DEFAULT:
            raise InvalidRequestError("cannot delete default policy")
        async with self._locks.hold(name):
            try:
                await self._view.delete(name)
            finally:
                self._changed(name)

    def _changed(self, name: str) -> None:
        """Also after a write that failed: it may have come through all the same."""
        self._parsed.pop(name, None)
        self._present.discard(name)
        self._forget_acls()
        self.epoch += 1

    def _forget_acls(self) -> None:
        self._acls.clear()
        self._memo.answers.clear()

    async def acl(self, names: Sequence[str], identity: TemplateIdentity | None) -> Acl:
        """The compiled rights of a set of policies; ``root`` grants nothing here.

        Raises InternalEngineError for a stored policy that does not parse, StorageError.
        """
        wanted, now, begun = (
            tuple(sorted({*names} - {builtin.ROOT})),
            self._clock.now_ns(),
            self.epoch,
        )
        while True:
            epoch = self.epoch
            policies = [p for p in [await self._policy(name) for name in wanted] if p is not None]
            if epoch == self.epoch:
                break
        templated = any(policy.templated for policy in policies)
        key = (wanted, _template_key(identity) if templated else None)
        known = self._acls.get(key)
        if known is not None and known.until_ns > now:
            return known
        policies, until = living(policies, now)
        if templated:
            policies = [_resolved(policy, identity) for policy in policies]
        if len(self._acls) >= _ACL_LIMIT:
            self._forget_acls()
        acl = Acl(policies, memo=self._memo, until_ns=until)
        if begun == self.epoch:
            # Else ``identity`` may be from before a change of groups or metadata.
            self._acls[key] = acl
        return acl

    @staticmethod
    def root_acl() -> Acl:
        """The rights of the root policy."""
        return _ROOT_ACL

    def forget_identities(self) -> None:
        """An entity or group has changed: what was resolved for it is void."""
        self._forget_acls()
        self.epoch += 1

    async def _policy(self, name: str) -> Policy | None:
        if name in self._parsed:
            return self._parsed[name]
        epoch = self.epoch
        policy = await self._load(name)
        if epoch == self.epoch:
            if len(self._parsed) >= _ACL_LIMIT:
                self._parsed.clear()
            self._parsed[name] = policy
        return policy

    async def _load(self, name: str) -> Policy | None:
        if name == builtin.RESPONSE_WRAPPING:
            return parse_policy(name, builtin.RESPONSE_WRAPPING_POLICY)
        entry = await self._entry(name)
        if entry is None:
            return None
        upkeep = upkeep_of(entry)
        try:
            policy = parse_policy(name, entry.raw, stored=True)
        except PolicySyntaxError as error:
            _log.error("stored policy %s does not parse: %s", name, error)
            raise InternalEngineError(f"stored policy {name!r} does not parse: {error}") from None
        return replace(
            policy,
            templated=policy.templated and entry.templated,
            expires_ns=_expiry_ns(upkeep),
            takes_slashes=self._family == "vault" if upkeep is None else upkeep.takes_slashes,
            takes_wildcards=upkeep is not None and upkeep.takes_wildcards,
        )


def _template_key(identity: TemplateIdentity | None) -> str:
    return "" if identity is None else identity.id


def _resolved(policy: Policy, identity: TemplateIdentity | None) -> Policy:
    if not policy.templated:
        return policy
    rules = []
    for rule in policy.rules:
        path: str | None = rule.path
        if "{{" in rule.path:
            path = resolve(
                rule.path,
                identity,
                slashes=policy.takes_slashes,
                wildcards=policy.takes_wildcards,
            )
        if path is not None:
            rules.append(replace(rule, path=path))
    return replace(policy, rules=tuple(rules))


def _changeable(name: str, verb: str) -> str:
    name = normal_name(name)
    if not name:
        raise InvalidRequestError("policy name missing")
    if name == builtin.ROOT or name in builtin.INTERNAL:
        raise InvalidRequestError(f'cannot {verb} "{name}" policy')
    return name


def _expiry_ns(upkeep: Upkeep | None) -> int:
    """When a policy ends."""
    if upkeep is None or upkeep.expires_ns == ZERO_NS:
        return NEVER_NS
    return upkeep.expires_ns


def _check_cas(wish: PolicyWish, is_there: bool, known: Upkeep) -> None:
    """Raises InvalidRequestError in OpenBao's words."""
    if wish.cas is None:
        if known.cas_required or wish.cas_required:
            raise InvalidRequestError("check-and-set parameter required for this call")
    elif wish.cas == -1:
        if is_there:
            raise InvalidRequestError("check-and-set parameter set to -1 on existing entry")
    elif wish.cas != known.version:
        raise InvalidRequestError("check-and-set parameter did not match the current version")


def _kept(wish: PolicyWish, known: Upkeep, now_ns: int) -> Upkeep:
    """What is kept of a write: all of it is new, what is not asked for is off."""
    return Upkeep(
        version=known.version + 1,
        cas_required=wish.cas_required,
        expires_ns=wish.expires_ns,
        modified_ns=now_ns,
        takes_wildcards=wish.takes_wildcards,
        takes_slashes=wish.takes_slashes,
        extra=known.extra,
    )
