"""May a role's certificate carry this name? One decision.

What lives here: names against the rules of a role. Pure. What never does: certificates, storage.
Invariant: a name that no rule allows is refused; a wildcard stands for one label, the first one,
and alone in its name.
Source: ``docs/api/pki.md``.
"""

import re
from dataclasses import dataclass

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9\-]*[a-zA-Z0-9])?"
_HOSTNAME = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}\.?")
_WILDCARD_LABEL = re.compile(r"[a-zA-Z0-9\-]*\*[a-zA-Z0-9\-]*")
_LOCAL = ("localhost", "localdomain")


@dataclass(frozen=True, slots=True)
class NameRules:
    """What a role says about names."""

    allowed_domains: tuple[str, ...] = ()
    allow_any_name: bool = False
    allow_localhost: bool = True
    allow_bare_domains: bool = False
    allow_subdomains: bool = False
    allow_glob_domains: bool = False
    allow_wildcard_certificates: bool = True
    enforce_hostnames: bool = True


def is_hostname(name: str) -> bool:
    """It can stand in a certificate as a DNS name (also with a wildcard label)."""
    first, dot, rest = name.partition(".")
    if "*" in name:
        if not dot or not _WILDCARD_LABEL.fullmatch(first) or first.count("*") != 1:
            return False
        name = rest
    return len(name) <= 253 and _HOSTNAME.fullmatch(name) is not None


def is_allowed(rules: NameRules, name: str) -> bool:
    """The answer for one name: a host, a wildcard or an e-mail address."""
    host, is_email = name, "@" in name
    if is_email:
        user, _, host = name.partition("@")
        if not user or not host or "@" in host:
            return False
    is_wildcard = "*" in host
    if is_wildcard and (is_email or not rules.allow_wildcard_certificates):
        return False
    if (rules.enforce_hostnames or is_wildcard) and not is_hostname(host):
        return False
    if rules.allow_any_name:
        return True
    bare = host.partition(".")[2] if is_wildcard else host
    if rules.allow_localhost and not is_wildcard and host in _LOCAL:
        return True
    return any(
        _fits(rules, domain, name, host, bare, is_wildcard=is_wildcard)
        for domain in rules.allowed_domains
        if domain
    )


def _fits(
    rules: NameRules, domain: str, name: str, host: str, bare: str, *, is_wildcard: bool
) -> bool:
    if rules.allow_bare_domains and domain in (name, host):
        return True
    if rules.allow_subdomains:
        if host.endswith("." + domain):
            return True
        if is_wildcard and bare == domain:
            return True
    return rules.allow_glob_domains and "*" in domain and _glob(domain, name)


def _glob(pattern: str, text: str) -> bool:
    """``*`` stands for any characters, dots too."""
    first, *middle, last = pattern.split("*")
    if len(text) < len(first) + len(last):
        return False
    if not text.startswith(first) or not text.endswith(last):
        return False
    position, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True
