"""How long a lease lives: one decision, no clock.

What lives here: the rule that turns what was asked, what the mount grants and what the issuer
caps into a TTL, with the warnings a client is told. Pure. Source: ``docs/api/tokens.md``.
Units: nanoseconds. Invariant: the result never passes the shortest of all limits that apply.
"""

from dataclasses import dataclass

from zvault.base.gotime import SECOND_NS, format_duration


class PastMaxTtlError(Exception):
    """The lease is at its end; there is nothing left to grant."""


@dataclass(frozen=True, slots=True)
class TtlRequest:
    """All that decides. 0 means "not set"."""

    now_ns: int
    default_ttl_ns: int
    max_ttl_ns: int
    increment_ns: int = 0
    """What the caller asks for in a renewal."""
    ttl_ns: int = 0
    """What the issuer (role, request) wants."""
    period_ns: int = 0
    issuer_max_ttl_ns: int = 0
    explicit_max_ttl_ns: int = 0
    issued_ns: int = 0
    """0 = now."""


@dataclass(frozen=True, slots=True)
class Granted:
    """The TTL and what to tell the client about it."""

    ttl_ns: int
    warnings: tuple[str, ...] = ()


def decide_ttl(asked: TtlRequest) -> Granted:
    """The TTL from now. Raises PastMaxTtlError."""
    now = asked.now_ns - asked.now_ns % SECOND_NS
    issued = (asked.issued_ns - asked.issued_ns % SECOND_NS) if asked.issued_ns else now
    limits = (asked.max_ttl_ns, asked.issuer_max_ttl_ns, asked.explicit_max_ttl_ns)
    longest = min(limit for limit in limits if limit > 0)
    warnings = []
    if asked.period_ns > 0:
        ttl = asked.period_ns
        if ttl > longest:
            warnings.append(_capped("period", "period value", ttl, longest))
            ttl = longest
        end = issued + asked.explicit_max_ttl_ns if asked.explicit_max_ttl_ns > 0 else None
    else:
        ttl = asked.increment_ns or asked.ttl_ns or asked.default_ttl_ns
        end = issued + longest
    if end is not None:
        left = end - now
        if left <= 0:
            raise PastMaxTtlError
        if ttl > left:
            warnings.append(_capped("TTL", "TTL value", ttl, left))
            ttl = left
    return Granted(ttl, tuple(warnings))


def _capped(what: str, value: str, asked_ns: int, granted_ns: int) -> str:
    return (
        f'{what} of "{short_duration(asked_ns)}" exceeded the effective max_ttl of '
        f'"{short_duration(granted_ns)}"; {value} is capped accordingly'
    )


def short_duration(ns: int) -> str:
    """Go's text of a duration without its zero parts: ``768h``, ``4m59s``."""
    text = format_duration(ns)
    if text.endswith("m0s"):
        text = text.removesuffix("0s")
    if text.endswith("h0m"):
        text = text.removesuffix("0m")
    return text
