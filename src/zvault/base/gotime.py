"""Go's way of writing times and durations.

Source: Go's ``time`` package documentation (RFC3339Nano, ParseDuration, Duration.String).
Times are int nanoseconds since the Unix epoch; ``ZERO_NS`` stands for Go's zero time
(0001-01-01T00:00:00Z), which JSON of Vault uses for "never". Durations are int nanoseconds.
"""

import functools
import math
import re
from datetime import UTC, datetime, timedelta

ZERO_TIME = "0001-01-01T00:00:00Z"
ZERO_NS = -62_135_596_800_000_000_000
SECOND_NS = 1_000_000_000
NEVER_NS = 1 << 63
"""Later than every time Go can write."""
_INT64_END = 1 << 63

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - UTC by definition; isoformat without offset
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)",
    re.ASCII,
)
_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": SECOND_NS,
    "m": 60 * SECOND_NS,
    "h": 3_600 * SECOND_NS,
    "d": 86_400 * SECOND_NS,
}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h|d)", re.ASCII)


def format_time(ns: int) -> str:
    """RFC3339Nano in UTC, trailing zeros of the fraction trimmed."""
    if ns == ZERO_NS:
        return ZERO_TIME
    seconds, fraction = divmod(ns, SECOND_NS)
    text = _whole_seconds(seconds)
    if fraction:
        text += "." + f"{fraction:09d}".rstrip("0")
    return text + "Z"


@functools.lru_cache(maxsize=256)
def _whole_seconds(seconds: int) -> str:
    """A server writes the same few seconds again and again."""
    return (_NAIVE_EPOCH + timedelta(seconds=seconds)).isoformat(timespec="seconds")


def parse_time(text: str) -> int:
    """Nanoseconds since the epoch. Raises ValueError for anything that is not RFC 3339."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"not an RFC 3339 time: {text!r}")
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    moment = datetime(
        int(year), int(month), int(day), int(hour), int(minute), int(second), tzinfo=UTC
    )
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    if zone not in "Zz":
        offset = int(zone[1:3]) * 3600 + int(zone[4:6]) * 60
        seconds -= offset if zone[0] == "+" else -offset
    return seconds * SECOND_NS + int((fraction or "0").ljust(9, "0"))


def parse_moment(value: object) -> int:
    """Nanoseconds since the epoch of RFC 3339 text or of whole seconds, as number or as text.

    Raises ValueError for anything else.
    """
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if isinstance(text, str) and re.fullmatch(r"-?\d{1,18}", text, re.ASCII):
        return int(text) * SECOND_NS
    if isinstance(text, str):
        return parse_time(text)
    raise ValueError("not a time")


def parse_duration(text: str) -> int:
    """Go's duration text (plus ``d``, as Vault's parseutil has it) or plain seconds, in ns.

    Raises ValueError, also for what does not fit into 64 bits.
    """
    body = text.strip()
    sign = -1 if body.startswith("-") else 1
    body = body[1:] if body[:1] in ("+", "-") else body
    if body.isascii() and body.isdecimal():
        return _bounded(sign * int(body) * SECOND_NS, text)
    total, position = 0.0, 0
    exact = 0
    for match in _PART.finditer(body):
        if match.start() != position:
            raise ValueError(f"not a duration: {text!r}")
        number, unit = match.groups()
        if "." in number:
            total += float(number) * _UNITS_NS[unit]
        else:
            exact += int(number) * _UNITS_NS[unit]
        position = match.end()
    if not body or position != len(body):
        raise ValueError(f"not a duration: {text!r}")
    if not math.isfinite(total):
        raise ValueError(f"a duration beyond 292 years: {text!r}")
    return _bounded(sign * (exact + round(total)), text)


def _bounded(ns: int, text: str) -> int:
    """Go counts nanoseconds in 64 bits."""
    if not -_INT64_END <= ns < _INT64_END:
        raise ValueError(f"a duration beyond 292 years: {text!r}")
    return ns


def format_duration(ns: int) -> str:
    """Go's Duration.String: ``1h0m0s``, ``1.5s``, ``250ms``, ``0s``."""
    if ns == 0:
        return "0s"
    sign, ns = ("-", -ns) if ns < 0 else ("", ns)
    if ns < SECOND_NS:
        for unit, size in (("ms", 1_000_000), ("µs", 1_000), ("ns", 1)):
            if ns >= size:
                return sign + _decimal(ns, size) + unit
    hours, rest = divmod(ns, 3_600 * SECOND_NS)
    minutes, rest = divmod(rest, 60 * SECOND_NS)
    text = _decimal(rest, SECOND_NS) + "s"
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else sign + text


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    if not rest:
        return str(whole)
    digits = str(rest).rjust(len(str(unit)) - 1, "0").rstrip("0")
    return f"{whole}.{digits}"
