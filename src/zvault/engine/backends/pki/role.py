"""Roles: what they hold, how they are stored and shown.

What lives here: the one table of members, with their names in the API and in storage. What never
does: certificates, storage itself.
Invariant: what changes or narrows a certificate and is not served here is refused when it is
written, and keeps a role that another server wrote from being used; nothing is ignored.
Source: ``docs/api/pki.md``, ``docs/formats/records.md``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zvault.base.gotime import SECOND_NS
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData
from zvault.engine.backends.pki.certificates import KEY_USAGES, default_bits
from zvault.engine.backends.pki.names import NameRules
from zvault.engine.errors import InvalidRequestError
from zvault.records import gojson
from zvault.records.errors import RecordError

_BOOL, _LIST, _TEXT = FieldKind.BOOL, FieldKind.COMMA_LIST, FieldKind.STRING
_TTL, _INT = FieldKind.DURATION, FieldKind.INT
_USAGES = ["DigitalSignature", "KeyAgreement", "KeyEncipherment"]
SUBJECT = ("ou", "organization", "country", "locality", "province", "street_address", "postal_code")


@dataclass(frozen=True, slots=True)
class _Member:
    kind: FieldKind
    default: Any
    stored: str = ""
    """Name in storage; "" for the same name."""
    is_served: bool = True
    """Any value; else only the default."""


MEMBERS: dict[str, _Member] = {
    "ttl": _Member(_TTL, 0, "ttl_duration"),
    "max_ttl": _Member(_TTL, 0, "max_ttl_duration"),
    "allow_localhost": _Member(_BOOL, True),
    "allowed_domains": _Member(_LIST, [], "allowed_domains_list"),
    "allowed_domains_template": _Member(_BOOL, False, is_served=False),
    "allow_bare_domains": _Member(_BOOL, False),
    "allow_token_displayname": _Member(_BOOL, False, is_served=False),
    "allow_subdomains": _Member(_BOOL, False),
    "allow_glob_domains": _Member(_BOOL, False),
    "allow_wildcard_certificates": _Member(_BOOL, True),
    "allow_any_name": _Member(_BOOL, False),
    "enforce_hostnames": _Member(_BOOL, True),
    "allow_ip_sans": _Member(_BOOL, True),
    "server_flag": _Member(_BOOL, True),
    "client_flag": _Member(_BOOL, True),
    "code_signing_flag": _Member(_BOOL, False),
    "email_protection_flag": _Member(_BOOL, False),
    "use_csr_common_name": _Member(_BOOL, True),
    "use_csr_sans": _Member(_BOOL, True),
    "key_type": _Member(_TEXT, "rsa"),
    "key_bits": _Member(_INT, 0),
    "use_pss": _Member(_BOOL, False, is_served=False),
    "signature_bits": _Member(_INT, 256, is_served=False),
    "key_usage": _Member(_LIST, _USAGES, "key_usage_list"),
    "ext_key_usage": _Member(_LIST, [], "extended_key_usage_list", is_served=False),
    "ext_key_usage_oids": _Member(_LIST, [], is_served=False),
    "ou": _Member(_LIST, [], "ou_list"),
    "organization": _Member(_LIST, [], "organization_list"),
    "country": _Member(_LIST, []),
    "locality": _Member(_LIST, []),
    "province": _Member(_LIST, []),
    "street_address": _Member(_LIST, []),
    "postal_code": _Member(_LIST, []),
    "generate_lease": _Member(_BOOL, False),
    "no_store": _Member(_BOOL, False),
    "require_cn": _Member(_BOOL, True),
    "cn_validations": _Member(_LIST, ["email", "hostname"], is_served=False),
    "allowed_other_sans": _Member(_LIST, [], is_served=False),
    "allowed_serial_numbers": _Member(_LIST, [], is_served=False),
    "allowed_user_ids": _Member(_LIST, [], is_served=False),
    "allowed_uri_sans": _Member(_LIST, [], is_served=False),
    "allowed_uri_sans_template": _Member(_BOOL, False, is_served=False),
    "policy_identifiers": _Member(_LIST, [], is_served=False),
    "basic_constraints_valid_for_non_ca": _Member(_BOOL, False, is_served=False),
    "not_before_duration": _Member(_TTL, 30 * SECOND_NS),
    "not_after": _Member(_TEXT, "", is_served=False),
    "issuer_ref": _Member(_TEXT, "default", "issuer", is_served=False),
}
ROLE_FIELDS = {
    "name": Field(_TEXT, ""),
    **{name: Field(member.kind, member.default) for name, member in MEMBERS.items()},
}
_BY_STORED = {member.stored or name: name for name, member in MEMBERS.items()}
_HARMLESS: tuple[Any, ...] = (None, "", 0, False, [], {}, "permit")
"""Values of members of other servers that change nothing."""


@dataclass(frozen=True, slots=True)
class Role:
    """A role's members by their API names; durations in ns."""

    values: dict[str, Any]
    foreign: tuple[str, ...] = ()
    """Stored members that this server does not serve, with a value that counts."""

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def name_rules(self) -> NameRules:
        """What it says about names."""
        flags = {
            name: self.values[name]
            for name in NameRules.__dataclass_fields__
            if name != "allowed_domains"
        }
        return NameRules(allowed_domains=tuple(self.values["allowed_domains"]), **flags)

    def check_served(self) -> None:
        """Raises InvalidRequestError when another server wrote what is not served here."""
        if self.foreign:
            raise InvalidRequestError(
                f"this server does not serve what the role says about {', '.join(self.foreign)}"
            )


def role_of(data: FieldData) -> Role:
    """The role that a request describes. Raises InvalidRequestError."""
    values = {name: data[name] for name in MEMBERS}
    values["signature_bits"] = values["signature_bits"] or 256
    for name, member in MEMBERS.items():
        if not member.is_served and values[name] != member.default:
            raise InvalidRequestError(f"this server does not serve the parameter {name!r} of roles")
    values["key_bits"] = default_bits(values["key_type"], values["key_bits"])
    unknown = [usage for usage in values["key_usage"] if usage.lower() not in KEY_USAGES]
    if unknown:
        raise InvalidRequestError(f"unknown key usage {unknown[0]}")
    if values["max_ttl"] and values["ttl"] > values["max_ttl"]:
        raise InvalidRequestError('"ttl" value must be less than "max_ttl" value')
    return Role(values)


def shown(role: Role) -> dict[str, Any]:
    """The answer to a read."""
    return {
        name: value // SECOND_NS if MEMBERS[name].kind is _TTL else value
        for name, value in role.values.items()
    }


def encode_role(role: Role) -> bytes:
    """As Vault and OpenBao store it."""
    body = {MEMBERS[name].stored or name: value for name, value in role.values.items()}
    return gojson.dumps(body, sort_keys=False, newline=True)


def decode_role(content: bytes) -> Role:
    """A stored role, also another server's. Raises RecordError."""
    body = gojson.loads_object(content)
    values = {name: _known(body, name, member) for name, member in MEMBERS.items()}
    foreign = [key for key, value in body.items() if key not in _BY_STORED and _counts(value)]
    values["signature_bits"] = values["signature_bits"] or 256
    for name, member in MEMBERS.items():
        if not member.is_served and values[name] != member.default:
            foreign.append(name)
    return Role(values, tuple(foreign))


def _known(body: Mapping[str, Any], name: str, member: _Member) -> Any:
    value = body.get(member.stored or name)
    if value is None:
        return member.default
    if type(value) is not type(member.default):
        raise RecordError(f"pki: a stored role's {name!r} is not as it must be")
    return value


def _counts(value: Any) -> bool:
    return value not in _HARMLESS
