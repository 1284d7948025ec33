"""What the claims of a verified token must be for a role.

What lives here: times, issuer, audience, subject, bound claims, names and metadata taken out. Pure.
What never does: signatures (they are checked before anything here is asked), storage.
Invariants: a claim of the wrong type never counts as a match (``true`` is not ``1``, ``5`` is not
``"5"``); a token that says nothing about time is refused.
Source: ``docs/api/jwt.md``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from zvault.base.gotime import SECOND_NS
from zvault.engine.errors import InvalidRequestError
from zvault.records.jwt_auth import JwtRole

DEFAULT_LEEWAY_NS = 150 * SECOND_NS
DEFAULT_SKEW_NS = 60 * SECOND_NS
Claims = Mapping[str, Any]


def _refused(why: str) -> InvalidRequestError:
    return InvalidRequestError(f"error validating token: {why}")


def check_registered(claims: Claims, role: JwtRole, issuer: str, now_ns: int) -> None:
    """Times, issuer, subject and audience. Raises InvalidRequestError."""
    if issuer and claims.get("iss") != issuer:
        raise _refused("invalid issuer (iss) claim")
    subject = claims.get("sub")
    if subject is not None and not isinstance(subject, str):
        raise _refused("the subject (sub) claim is no text")
    if role.bound_subject and subject != role.bound_subject:
        raise _refused("invalid subject (sub) claim")
    _check_audience(claims, role)
    _check_times(claims, role, now_ns)


def _check_audience(claims: Claims, role: JwtRole) -> None:
    value = claims.get("aud")
    audiences = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(audience, str) for audience in audiences):
        raise _refused("the audience (aud) claim is no text")
    if not role.bound_audiences:
        if audiences:
            raise InvalidRequestError(
                "audience claim found in JWT but no audiences bound to the role"
            )
        return
    if not set(audiences) & set(role.bound_audiences):
        raise _refused(
            "invalid audience (aud) claim: audience claim does not match any expected audience"
        )


def _leeway(set_ns: int, default_ns: int) -> int:
    return default_ns if set_ns == 0 else max(set_ns, 0)


def _seconds(claims: Claims, name: str) -> int | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refused("expected number value to unmarshal NumericDate")
    if not abs(value) < 1 << 53:
        raise _refused("a time that is none")
    return int(value * SECOND_NS)


def _check_times(claims: Claims, role: JwtRole, now_ns: int) -> None:
    """A missing expiry or beginning follows from the times that are there, as in Vault."""
    expires, begins, issued = (_seconds(claims, name) for name in ("exp", "nbf", "iat"))
    if expires is None and begins is None and issued is None:
        raise _refused(
            "no issued at (iat), not before (nbf), or expiration time (exp) claims in token"
        )
    if expires is None:
        expires = max(begins or 0, issued or 0) + _leeway(
            role.expiration_leeway_ns, DEFAULT_LEEWAY_NS
        )
    if begins is None:
        begins = issued
    if begins is None:
        begins = expires - _leeway(role.not_before_leeway_ns, DEFAULT_LEEWAY_NS)
    skew = _leeway(role.clock_skew_leeway_ns, DEFAULT_SKEW_NS)
    if now_ns > expires + skew:
        raise _refused("invalid expiration time (exp) claim: token is expired")
    if now_ns + skew < begins:
        raise _refused("invalid not before (nbf) claim: token not yet valid")
    if issued is not None and now_ns + skew < issued:
        raise _refused("invalid issued at (iat) claim: token issued in the future")


def claim(claims: Claims, name: str) -> Any:
    """A claim by name, or by JSON pointer when the name begins with ``/``; None when missing."""
    if not name.startswith("/"):
        return claims.get(name)
    value: Any = claims
    for part in name[1:].split("/"):
        part = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def user_name(claims: Claims, role: JwtRole) -> str:
    """Who it is. Raises InvalidRequestError."""
    name = role.user_claim
    value = claim(claims, name) if role.user_claim_json_pointer else claims.get(name)
    if value is None:
        raise InvalidRequestError(f'claim "{name}" not found in token')
    if not isinstance(value, str):
        raise InvalidRequestError(f'claim "{name}" could not be converted to string')
    if not value.strip():
        raise InvalidRequestError(f'claim "{name}" is empty')
    return value


def metadata(claims: Claims, role: JwtRole) -> dict[str, str]:
    """Claims that go into the token's metadata. Raises InvalidRequestError."""
    found = {}
    for source, target in (role.claim_mappings or {}).items():
        value = claim(claims, source)
        if value is None:
            continue
        if not isinstance(value, str):
            raise InvalidRequestError(f"error converting claim '{source}' to string")
        found[target] = value
    return found


def group_names(claims: Claims, role: JwtRole) -> list[str]:
    """The groups a token names. Raises InvalidRequestError."""
    if not role.groups_claim:
        return []
    value = claim(claims, role.groups_claim)
    if value is None:
        raise InvalidRequestError(
            f'failed to fetch groups: "{role.groups_claim}" claim not found in token'
        )
    names = value if isinstance(value, list) else [value]
    if not all(isinstance(name, str) for name in names):
        raise InvalidRequestError("a value in groups claim could not be parsed as string")
    return [name for name in names if name]


def check_bound(claims: Claims, role: JwtRole) -> None:
    """Raises InvalidRequestError unless every bound claim has one of its values."""
    for name, expected in (role.bound_claims or {}).items():
        actual = claim(claims, name)
        if actual is None:
            raise InvalidRequestError(f'error validating claims: claim "{name}" is missing')
        if isinstance(actual, dict):
            raise InvalidRequestError(
                f'error validating claims: claim "{name}" is not a string, bool, int or list'
            )
        wanted = expected if isinstance(expected, list) else [expected]
        given = actual if isinstance(actual, list) else [actual]
        is_glob = role.bound_claims_type == "glob"
        is_number = _is_number(actual) and not is_glob and _is_one_of(actual, wanted)
        if not is_number and not _any_match(wanted, given, is_glob=is_glob):
            raise InvalidRequestError(
                f'error validating claims: claim "{name}" does not match any associated bound '
                "claim values"
            )


def _any_match(wanted: Sequence[Any], given: Sequence[Any], *, is_glob: bool) -> bool:
    if is_glob:
        return any(
            isinstance(one, str) and isinstance(other, str) and glob(one, other)
            for one in wanted
            for other in given
        )
    return any(_same(one, other) for one in wanted for other in given)


def _same(one: Any, other: Any) -> bool:
    """Numbers in lists, and what has parts, is not compared by real servers: nobody gets in."""
    return isinstance(one, bool | str) and type(one) is type(other) and bool(one == other)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_one_of(number: float, wanted: Sequence[Any]) -> bool:
    """A whole number, as real servers see every number of a token."""
    return any(_is_number(one) and one == number and one % 1 == 0 for one in wanted)


def glob(pattern: str, text: str) -> bool:
    """``*`` stands for any text, also none; nothing else is special. Linear in time."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    if not text.startswith(first):
        return False
    position = len(first)
    for part in rest[:-1]:
        found = text.find(part, position)
        if found < 0:
            return False
        position = found + len(part)
    return len(text) - len(rest[-1]) >= position and text.endswith(rest[-1])
