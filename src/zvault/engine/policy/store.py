"""The stored policies and the ACLs compiled from them.

What lives here: reading, writing, listing policies below ``sys/policy/``; a cache of parsed
policies and of ACLs by policy set, which lives and dies with the unsealed store. What never does:
text parsed, rules judged (``policy/``), a token.
Invariants: a cached ACL never outlives a write to any policy; a stored policy that does not parse
refuses the request instead of being left out, because it may hold the deny that matters.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace

from zvault.barrier.view import View
from zvault.engine.errors import InternalEngineError, InvalidRequestError
from zvault.engine.locks import KeyLocks
from zvault.engine.policy import builtin
from zvault.engine.policy.acl import Acl, Memo
from zvault.engine.policy.model import Policy
from zvault.engine.policy.parse import PolicySyntaxError, parse_policy
from zvault.engine.policy.template import TemplateIdentity, resolve
from zvault.records.policies import ACL, PolicyEntry, decode_policy, encode_policy

_ACL_LIMIT = 4096
_ROOT_ACL = Acl([], is_root=True)

_log = logging.getLogger(__name__)


def normal_name(name: str) -> str:
    """Policy names are lower case and trimmed."""
    return name.strip().lower()


class PolicyStore:
    """All ACL policies of an unsealed store."""

    def __init__(self, view: View, family: str) -> None:
        self._view = view
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
            await self._view.put(builtin.DEFAULT, _encoded(None, builtin.DEFAULT_POLICY, True))

    async def names(self) -> list[str]:
        """Names of all policies a user may see, ``root`` included, sorted. Raises StorageError."""
        found = {builtin.ROOT}
        await self._collect("", found)
        return sorted(found - builtin.INTERNAL)

    async def _collect(self, prefix: str, found: set[str]) -> None:
        for name in await self._view.list(prefix):
            if name.endswith("/"):
                await self._collect(prefix + name, found)
            else:
                found.add(prefix + name)

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
        if name in self._present or name in (builtin.ROOT, *builtin.INTERNAL):
            return True
        epoch = self.epoch
        found = await self._entry(name) is not None
        if found and epoch == self.epoch:
            self._present.add(name)
        return found

    async def _entry(self, name: str) -> PolicyEntry | None:
        if ".." in name:
            return None
        content = await self._view.get(name)
        if content is None:
            return None
        entry = decode_policy(content)
        return entry if entry.type == ACL else None

    async def put(self, name: str, text: str) -> None:
        """Write a policy. Raises InvalidRequestError, StorageError."""
        name = _changeable(name, "update")
        try:
            policy = parse_policy(name, text, family=self._family)
        except PolicySyntaxError as error:
            raise InvalidRequestError(f"failed to parse policy: {error}") from None
        async with self._locks.hold(name):
            before = await self._entry(name)
            try:
                await self._view.put(name, _encoded(before, text, policy.templated))
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
        wanted = tuple(sorted({*names} - {builtin.ROOT}))
        while True:
            epoch = self.epoch
            policies = [p for p in [await self._policy(name) for name in wanted] if p is not None]
            if epoch == self.epoch:
                break
        templated = any(policy.templated for policy in policies)
        key = (wanted, _template_key(identity) if templated else None)
        known = self._acls.get(key)
        if known is not None:
            return known
        if templated:
            policies = [_resolved(policy, identity) for policy in policies]
        if len(self._acls) >= _ACL_LIMIT:
            self._forget_acls()
        acl = self._acls[key] = Acl(policies, memo=self._memo)
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
        try:
            policy = parse_policy(name, entry.raw, family=self._family)
        except PolicySyntaxError as error:
            _log.error("stored policy %s does not parse: %s", name, error)
            raise InternalEngineError(f"stored policy {name!r} does not parse: {error}") from None
        return replace(policy, templated=policy.templated and entry.templated)


def _template_key(identity: TemplateIdentity | None) -> str:
    return "" if identity is None else identity.id


def _resolved(policy: Policy, identity: TemplateIdentity | None) -> Policy:
    if not policy.templated:
        return policy
    rules = []
    for rule in policy.rules:
        path = resolve(rule.path, identity) if "{{" in rule.path else rule.path
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


def _encoded(before: PolicyEntry | None, text: str, templated: bool) -> bytes:
    entry = PolicyEntry() if before is None else before
    return encode_policy(replace(entry, raw=text, templated=templated))
