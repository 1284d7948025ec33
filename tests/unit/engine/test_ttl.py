"""The TTL rule."""

import pytest

from zvault.base.gotime import SECOND_NS
from zvault.engine.leases.ttl import PastMaxTtlError, TtlRequest, decide_ttl, short_duration

HOUR = 3600 * SECOND_NS
NOW = 1_800_000_000 * SECOND_NS
BASE = {"now_ns": NOW, "default_ttl_ns": 768 * HOUR, "max_ttl_ns": 768 * HOUR}


def ttl(**asked: int) -> tuple[int, tuple[str, ...]]:
    granted = decide_ttl(TtlRequest(**{**BASE, **asked}))
    return granted.ttl_ns, granted.warnings


def test_nothing_asked_is_the_default_of_the_mount() -> None:
    assert ttl(default_ttl_ns=5 * HOUR) == (5 * HOUR, ())


def test_an_explicit_max_caps_and_warns() -> None:
    granted, warnings = ttl(ttl_ns=HOUR // 2, explicit_max_ttl_ns=HOUR // 12)
    assert granted == HOUR // 12
    assert warnings == (
        'TTL of "30m" exceeded the effective max_ttl of "5m"; TTL value is capped accordingly',
    )


def test_a_renewal_never_passes_issue_plus_max() -> None:
    granted, warnings = ttl(
        increment_ns=2 * HOUR, max_ttl_ns=3 * HOUR, issued_ns=NOW - 2 * HOUR - 500
    )
    assert granted == HOUR - SECOND_NS
    assert warnings


def test_past_the_max_nothing_is_granted() -> None:
    with pytest.raises(PastMaxTtlError):
        ttl(max_ttl_ns=HOUR, issued_ns=NOW - HOUR)


def test_a_period_comes_back_in_full_for_ever() -> None:
    assert ttl(period_ns=HOUR, issued_ns=NOW - 10_000 * HOUR) == (HOUR, ())


def test_a_period_is_capped_by_the_mount() -> None:
    granted, warnings = ttl(period_ns=1000 * HOUR)
    assert granted == 768 * HOUR
    assert "period value is capped accordingly" in warnings[0]


def test_an_explicit_max_ends_a_periodic_token() -> None:
    granted, _ = ttl(
        period_ns=HOUR, explicit_max_ttl_ns=10 * HOUR, issued_ns=NOW - 9 * HOUR - HOUR // 2
    )
    assert granted == HOUR // 2


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(768 * 3600, "768h"), (1800, "30m"), (299, "4m59s"), (45, "45s"), (5400, "1h30m")],
)
def test_durations_lose_their_zero_parts(seconds: int, text: str) -> None:
    assert short_duration(seconds * SECOND_NS) == text
