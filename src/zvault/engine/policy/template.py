"""``{{identity...}}`` in the path of a policy.

What lives here: syntax check and substitution. Pure. Source: ``docs/formats/policies.md``.
Invariant: a path whose template cannot be resolved grants nothing (the caller drops its rule); a
substituted value brings a wildcard, and in stores of OpenBao a slash, only where the policy says
that it may, so nobody widens a rule by choosing a name (the empty value of a metadata key is a
value).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_TEMPLATE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TemplateAlias:
    """An alias of the entity on one mount."""

    id: str
    name: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    custom_metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TemplateGroup:
    """A group the entity belongs to."""

    id: str
    name: str
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TemplateIdentity:
    """What templates can ask about."""

    id: str
    name: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, TemplateAlias] = field(default_factory=dict)
    """By mount accessor."""
    groups: tuple[TemplateGroup, ...] = ()


def is_templated(path: str) -> bool:
    """The path holds a template."""
    return "{{" in path or "}}" in path


def check(path: str) -> None:
    """Raise ValueError when the braces of ``path`` are not well formed.

    Which value a template names is not looked at: one that nobody knows has no value, so its rule
    is dropped, which is what Vault does.
    """
    head, *pieces = path.split("{{")
    if "}}" in head or any(piece.count("}}") != 1 for piece in pieces):
        raise ValueError("unbalanced templating characters")


def resolve(
    path: str, identity: TemplateIdentity | None, *, slashes: bool = True, wildcards: bool = False
) -> str | None:
    """``path`` with every template replaced, or None when one cannot be."""
    if identity is None:
        return None
    parts, position = [], 0
    for match in _TEMPLATE.finditer(path):
        value = _value(match.group(1).strip(), identity)
        if value is None or ("/" in value and not slashes):
            return None
        if ("*" in value or "+" in value) and not wildcards:
            return None
        parts += [path[position : match.start()], value]
        position = match.end()
    return "".join([*parts, path[position:]])


def _value(words: str, identity: TemplateIdentity) -> str | None:
    if words.startswith("identity.entity."):
        return _entity_value(words.removeprefix("identity.entity."), identity)
    if not words.startswith("identity.groups."):
        return None
    kind, _, rest = words.removeprefix("identity.groups.").partition(".")
    wanted, _, rest = rest.partition(".")
    for group in identity.groups if kind in ("ids", "names") else ():
        if wanted == (group.id if kind == "ids" else group.name):
            return _group_value(rest, group)
    return None


def _entity_value(words: str, identity: TemplateIdentity) -> str | None:
    if words == "id":
        return identity.id or None
    if words == "name":
        return identity.name or None
    if words.startswith("metadata."):
        return identity.metadata.get(words.removeprefix("metadata."))
    if not words.startswith("aliases."):
        return None
    accessor, _, rest = words.removeprefix("aliases.").partition(".")
    alias = identity.aliases.get(accessor)
    if alias is None:
        return None
    if rest == "id":
        return alias.id or None
    if rest == "name":
        return alias.name or None
    if rest.startswith("custom_metadata."):
        return alias.custom_metadata.get(rest.removeprefix("custom_metadata."))
    if rest.startswith("metadata."):
        return alias.metadata.get(rest.removeprefix("metadata."))
    return None


def _group_value(words: str, group: TemplateGroup) -> str | None:
    if words == "name":
        return group.name or None
    if words == "id":
        return group.id or None
    if words.startswith("metadata."):
        return group.metadata.get(words.removeprefix("metadata."))
    return None
