"""Go's times and durations read and written as Go does."""

import pytest

from zvault.base.gotime import (
    SECOND_NS,
    ZERO_NS,
    ZERO_TIME,
    format_duration,
    format_time,
    parse_duration,
    parse_time,
)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-11-21T19:55:26.972583623Z", 1795290926972583623),
        ("2026-11-21T19:55:26.9Z", 1795290926900000000),
        (ZERO_TIME, ZERO_NS),
    ],
)
def test_a_time_survives_both_ways(text: str, ns: int) -> None:
    assert parse_time(text) == ns
    assert format_time(ns) == text


def test_an_offset_is_taken_off() -> None:
    assert parse_time("1970-01-01T05:00:00+05:00") == 0
    assert parse_time("1969-12-31T19:00:00-05:00") == 0


@pytest.mark.parametrize("text", ["", "yesterday", "2026-11-21", "2026-11-21T19:55:26"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_time(text)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("0s", 0),
        ("30m0s", 1800 * SECOND_NS),
        ("24h0m0s", 86400 * SECOND_NS),
        ("1.5s", 1_500_000_000),
        ("250ms", 250_000_000),
        ("1m0.5s", 60_500_000_000),
        ("-1s", -SECOND_NS),
        ("1.2µs", 1_200),
        ("7ns", 7),
    ],
)
def test_a_duration_is_written_as_go_writes_it(text: str, ns: int) -> None:
    assert format_duration(ns) == text
    assert parse_duration(text) == ns


@pytest.mark.parametrize(
    ("text", "ns"),
    [("90", 90 * SECOND_NS), ("1h30m", 5400 * SECOND_NS), ("2d", 172800 * SECOND_NS)],
)
def test_other_forms_that_vault_reads(text: str, ns: int) -> None:
    assert parse_duration(text) == ns


_TOO_LONG = ["9223372037", "2562048h", "-2562048h", "9" * 400 + ".5h", "9" * 5000 + "s"]


@pytest.mark.parametrize("text", ["", "h", "10x", "1h 2m", "--1s", "1..5s", *_TOO_LONG])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_duration(text)
