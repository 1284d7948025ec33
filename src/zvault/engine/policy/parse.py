"""Policy text to rules.

What lives here: the grammar of ACL policies over HCL or JSON. Pure.
Source: ``docs/formats/policies.md``.
The two families know different keys; a stored policy may use those of either, because OpenBao may
have served the store in between.
Invariants: two stanzas of one path stay two rules (a deny is never overwritten by a later read);
an unknown key or capability is an error, never ignored.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from zvault.base.gotime import NEVER_NS, SECOND_NS, parse_duration, parse_moment
from zvault.engine.policy import template
from zvault.engine.policy.model import CAPABILITY_NAMES, Capability, ParameterLists, Policy, Rule
from zvault.hcl.errors import HclError
from zvault.hcl.parser import parse
from zvault.hcl.values import Item, Object, Stanza, Value

_TOP_KEYS = ("path", "name")
_COMMON_KEYS = (
    "comment",
    "policy",
    "capabilities",
    "allowed_parameters",
    "denied_parameters",
    "required_parameters",
    "min_wrapping_ttl",
    "max_wrapping_ttl",
    "mfa_methods",
)
_NOT_ENFORCED = ("pagination_limit", "list_scan_response_keys_filter_path")
"""OpenBao cuts or filters lists by these."""
_KEYS = {
    "vault": (*_COMMON_KEYS, "control_group", "subscribe_event_types"),
    "openbao": (*_COMMON_KEYS, "expiration", *_NOT_ENFORCED),
}
_EITHER = tuple(dict.fromkeys((*_KEYS["vault"], *_KEYS["openbao"])))
_SCAN = {"scan": Capability.SCAN}
_NAMES = {
    "vault": CAPABILITY_NAMES,
    "openbao": {k: v for k, v in CAPABILITY_NAMES.items() if k != "subscribe"} | _SCAN,
}
_MAX_SECONDS = 2**63 // SECOND_NS
_READ = Capability.READ | Capability.LIST
_WRITE = _READ | Capability.CREATE | Capability.UPDATE | Capability.DELETE
_OLD_WORDS = {
    "deny": Capability.DENY,
    "read": _READ,
    "write": _WRITE,
    "sudo": _WRITE | Capability.SUDO,
}


class PolicySyntaxError(ValueError):
    """The text is no policy; the message says where and why."""


def parse_policy(name: str, text: str, *, family: str = "vault", stored: bool = False) -> Policy:
    """The policy of its text. Raises PolicySyntaxError.

    ``stored``: it was taken once, perhaps by another server. Then the keys of both families are
    good, and what this engine does not enforce takes the right to list away instead of being
    refused.
    """
    try:
        document = parse(text)
        _check_keys(document, _TOP_KEYS)
        keys = _EITHER if stored else _KEYS[family]
        names = {**CAPABILITY_NAMES, **_SCAN} if stored else _NAMES[family]
        found = [(stanza, _rule(stanza, keys, names)) for stanza in _stanzas(document)]
        if not stored:
            _refuse_unenforced(found)
        rules = tuple(rule for _, rule in found)
    except HclError as error:
        raise PolicySyntaxError(error.message) from None
    templated = any(template.is_templated(rule.path) for rule in rules)
    return Policy(name, rules, templated)


def _stanzas(document: Object) -> Iterator[Stanza]:
    """Every stanza. HCL's first label is the path; without one Vault takes the word ``path``."""
    for item in document.find("path"):
        if item.line and len(item.labels) != 1 and isinstance(item.value, Object):
            yield Stanza(item.labels[0] if item.labels else "path", item.value, item)
        else:
            yield from Object((item,)).stanzas("path")


def _check_keys(item: Object, known: Iterable[str], where: str = "") -> None:
    unknown: dict[str, Item] = {}
    for found in item.items:
        if found.key not in known:
            unknown.setdefault(found.key, found)
    if not unknown:
        return
    # Real Vault names the line of the "=", and line 0 for a block without one.
    lines = {key: 0 if isinstance(at.value, Object) else at.line for key, at in unknown.items()}
    listed = "".join(f'\t* {where}invalid key "{key}" on line {lines[key]}\n' for key in unknown)
    count = f"{len(unknown)} error{'s' if len(unknown) > 1 else ''} occurred"
    raise PolicySyntaxError(f"{count}:\n{listed}\n")


def _refuse_unenforced(found: Iterable[tuple[Stanza, Rule]]) -> None:
    for stanza, rule in found:
        if rule.is_never_listed:
            raise PolicySyntaxError(
                f'path "{stanza.label}": this server does not enforce '
                f"{' or '.join(_NOT_ENFORCED)}, so it does not take them"
            )


def _rule(stanza: Stanza, keys: Sequence[str], known: Mapping[str, Capability]) -> Rule:
    path = stanza.label.removeprefix("/")
    where = f'path "{stanza.label}": '
    body = stanza.body
    _check_keys(body, keys, where)
    if "+*" in path:
        raise PolicySyntaxError(f"{where}invalid use of wildcards ('+*' is forbidden)")
    try:
        template.check(path)
    except ValueError as error:
        raise PolicySyntaxError(f"failed to validate policy templating: {error}") from None
    capabilities = _capabilities(body, where, known)
    allowed = _parameters(body, "allowed_parameters", where)
    denied = _parameters(body, "denied_parameters", where)
    required = tuple(word.lower() for word in _words(body, "required_parameters", where))
    expires = _expiration(body, where)
    if capabilities & Capability.DENY:
        return Rule(path, Capability.DENY, expires_ns=expires)
    shortest, longest = _ttl(body, "min_wrapping_ttl"), _ttl(body, "max_wrapping_ttl")
    if shortest and longest and longest < shortest:
        raise PolicySyntaxError("max_wrapping_ttl cannot be less than min_wrapping_ttl")
    return Rule(
        path=path,
        capabilities=capabilities,
        allowed=allowed,
        denied=denied,
        required=required,
        min_wrapping_ttl_ns=max(shortest, 0),
        max_wrapping_ttl_ns=max(longest, 0),
        expires_ns=expires,
        is_never_listed=any(body.last(key) is not None for key in _NOT_ENFORCED),
    )


def _expiration(body: Object, where: str) -> int:
    item = body.last("expiration")
    if item is None or item.value == "":
        return NEVER_NS
    try:
        return parse_moment(item.value)
    except ValueError:
        raise PolicySyntaxError(
            f"{where}invalid expiration time: could not parse string as date and time"
        ) from None


def _capabilities(body: Object, where: str, known: Mapping[str, Capability]) -> int:
    found = Capability.NONE
    old = body.last("policy")
    if old is not None:
        if not isinstance(old.value, str) or old.value not in _OLD_WORDS:
            raise PolicySyntaxError(f'{where}invalid policy "{_shown(old.value)}"')
        found |= _OLD_WORDS[old.value]
    for word in _words(body, "capabilities", where):
        if word not in known:
            raise PolicySyntaxError(f'{where}invalid capability "{word}"')
        found |= known[word]
    return found.value


def _words(body: Object, key: str, where: str) -> list[str]:
    """The words of all lists of a key: a later list adds to an earlier one, so no deny is lost."""
    words: list[str] = []
    for item in body.find(key):
        if item.labels or not isinstance(item.value, tuple):
            raise PolicySyntaxError(f"{where}{key} must be a list of strings")
        for value in item.value:
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                raise PolicySyntaxError(f"{where}{key} must be a list of strings")
            words.append(str(value))
    return words


def _parameters(body: Object, key: str, where: str) -> ParameterLists:
    result: dict[str, tuple[Any, ...]] = {}
    for block in body.blocks(key):
        for item in block.items:
            values = item.value
            if item.labels or not isinstance(values, tuple) or None in values:
                raise PolicySyntaxError(f"{where}{key}: every parameter needs a list of values")
            name = item.key.lower()
            result[name] = (*result.get(name, ()), *(_plain(value) for value in values))
    return result


def _plain(value: Value) -> Any:
    if isinstance(value, Object):
        return value.to_python()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _ttl(body: Object, key: str) -> int:
    """Nanoseconds; 0 and less mean unset, of which Vault takes any."""
    item = body.last(key)
    if item is None or item.value is None or item.value == "":
        return 0
    value = item.value
    if isinstance(value, int | float) and not isinstance(value, bool):
        if abs(value) < _MAX_SECONDS:
            return int(value * SECOND_NS)
    elif isinstance(value, str):
        try:
            return parse_duration(value)
        except ValueError:
            raise PolicySyntaxError(
                f'error parsing {key}: time: invalid duration "{value}"'
            ) from None
    raise PolicySyntaxError(f"error parsing {key}: could not parse duration from input")


def _shown(value: Value) -> str:
    return str(value) if isinstance(value, str | int | float) else type(value).__name__
