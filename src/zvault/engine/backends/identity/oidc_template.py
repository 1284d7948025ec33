"""The claims of an identity token, from the template of its role.

What lives here: ``{{…}}`` in JSON text replaced by JSON values. Pure. What never does: tokens.
Invariants: a value is put in as JSON, so no name or metadata can add a claim; the claims that say
who issued the token, for whom and until when are never a template's.
Source: ``docs/api/identity.md``.
"""

import base64
import binascii
import json
import re
from typing import Any

from zvault.base.gotime import SECOND_NS, parse_duration
from zvault.engine.errors import InvalidRequestError
from zvault.engine.policy.template import TemplateAlias, TemplateIdentity

_DIRECTIVE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
RESERVED = (
    *("iat", "aud", "exp", "iss", "sub", "namespace", "nonce", "auth_time", "at_hash", "c_hash"),
)
_MISSING = InvalidRequestError(
    "error parsing template: no value could be found for one of the template directives"
)


def plain_text(template: str) -> str:
    """The template, base64 taken off when it is base64 of text."""
    try:
        return base64.b64decode(template, validate=True).decode()
    except (binascii.Error, ValueError):
        return template


def check(template: str, now_ns: int) -> None:
    """Raises InvalidRequestError for a template that gives no claims, or reserved ones."""
    if not template:
        return
    claims = rendered(template, TemplateIdentity("", ""), now_ns)
    for name in claims:
        if name in RESERVED:
            raise InvalidRequestError(
                f'top level key "{name}" not allowed. Restricted keys: {", ".join(RESERVED)}'
            )


def rendered(template: str, identity: TemplateIdentity, now_ns: int) -> dict[str, Any]:
    """The claims for one entity. Raises InvalidRequestError."""
    if not template:
        return {}
    if template.count("{{") != template.count("}}"):
        raise InvalidRequestError("error parsing template: unbalanced templating characters")

    def value(match: re.Match[str]) -> str:
        return json.dumps(_value(match[1].strip(), identity, now_ns))

    try:
        claims = json.loads(_DIRECTIVE.sub(value, template))
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"error parsing template JSON: {error}") from None
    if not isinstance(claims, dict):
        raise InvalidRequestError("error parsing template JSON: it is no object")
    return claims


def _value(words: str, identity: TemplateIdentity, now_ns: int) -> Any:
    if words.startswith("identity.entity."):
        return _entity_value(words.removeprefix("identity.entity."), identity)
    if words.startswith("identity.groups."):
        raise InvalidRequestError(
            "error parsing template: string contains groups template directives but no groups "
            "were provided"
        )
    if words == "time.now":
        return now_ns // SECOND_NS
    for sign, prefix in ((1, "time.now.plus."), (-1, "time.now.minus.")):
        if words.startswith(prefix):
            try:
                shift = parse_duration(words.removeprefix(prefix))
            except ValueError:
                raise _MISSING from None
            return (now_ns + sign * shift) // SECOND_NS
    raise _MISSING


def _entity_value(words: str, identity: TemplateIdentity) -> Any:
    if words in ("id", "name"):
        return identity.id if words == "id" else identity.name
    if words == "metadata":
        return dict(identity.metadata)
    if words.startswith("metadata."):
        return identity.metadata.get(words.removeprefix("metadata."), "")
    if words == "groups.ids":
        return [group.id for group in identity.groups]
    if words == "groups.names":
        return [group.name for group in identity.groups]
    if words.startswith("aliases."):
        accessor, _, rest = words.removeprefix("aliases.").partition(".")
        return _alias_value(rest, identity.aliases.get(accessor) or TemplateAlias("", ""))
    raise _MISSING


def _alias_value(words: str, alias: TemplateAlias) -> Any:
    if words in ("id", "name"):
        return alias.id if words == "id" else alias.name
    for kind, values in (
        ("custom_metadata", alias.custom_metadata),
        ("metadata", alias.metadata),
    ):
        if words == kind:
            return dict(values)
        if words.startswith(kind + "."):
            return values.get(words.removeprefix(kind + "."), "")
    raise _MISSING
