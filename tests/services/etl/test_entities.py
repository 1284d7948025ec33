"""What a record of goszakup must be, and that code, migration and stand-in mean the same tables."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import inspect

from launcher.goszakup import SCHEMA, record
from tests.support.service_stand import Stand
from zakupai_common.goszakup import CircuitOpenError, GoszakupError, RateLimitedError, Reason
from zakupai_etl.entities import BY_NAME, ENTITIES, Entity, RefusedError, key_of, read_record
from zakupai_etl.runs.plan import (
    FAILURES,
    GiveUp,
    PartStatus,
    Status,
    Wait,
    decide_after_failure,
    decide_end,
    plan_window,
)
from zakupai_etl.tables import METADATA

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LOT = BY_NAME["lots"]
each_entity = pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.name)


@each_entity
def test_what_is_asked_for_is_in_the_published_schema(entity: Entity) -> None:
    schema = SCHEMA[entity.root]
    assert {field.name for field in entity.fields} | {entity.key} <= schema.fields
    assert (entity.filter_type, entity.key) == (schema.filter_type, schema.key)
    assert set(entity.variables(0, NOW, NOW).get("filter", {})) <= schema.filters


@each_entity
def test_a_whole_record_is_read(entity: Entity) -> None:
    made = record(entity.root, 17, NOW)
    assert key_of(entity, made) == 17
    values = read_record(entity, made)
    assert all(values[field.column] is not None for field in entity.fields if field.required)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("lotNumber", None, "lotNumber: is missing"),
        ("lotNumber", "", "lotNumber: is missing"),
        ("lotNumber", ["a"], "lotNumber: is no text"),
        ("nameRu", "a\x00b", "nameRu: holds characters that no text can hold"),
        ("nameRu", "\ud800", "nameRu: holds characters that no text can hold"),
        ("nameRu", "x" * 20_001, "nameRu: is longer than 20000 characters"),
        ("customerBin", "12345", "customerBin: is not 12 digits"),
        ("customerBin", "1234567890123", "customerBin: is not 12 digits"),
        ("amount", "1e400", "amount: is too large"),
        ("amount", float("nan"), "amount: is no amount"),
        ("amount", float("inf"), "amount: is no amount"),
        ("amount", True, "amount: is no amount"),
        ("amount", "x", "amount: is not what it must be"),
        ("amount", 10**15, "amount: is too large"),
        ("trdBuyId", 1.5, "trdBuyId: is no whole number"),
        ("trdBuyId", 2**63, "trdBuyId: is too large"),
        ("lastUpdateDate", "0000-00-00 00:00:00", "lastUpdateDate: is not what it must be"),
        ("lastUpdateDate", "0001-01-01 00:00:00", "lastUpdateDate: is not what it must be"),
        ("lastUpdateDate", 5, "lastUpdateDate: is no time"),
    ],
)
def test_a_value_that_its_column_cannot_hold_is_refused_with_its_name(
    name: str, value: Any, reason: str
) -> None:
    with pytest.raises(RefusedError) as refused:
        read_record(LOT, record("Lots", 1, NOW, **{name: value}))
    assert str(refused.value) == reason


@pytest.mark.parametrize("key", [None, "", 0, -1, 2**63, "x", True, [1]])
def test_a_record_without_a_key_is_refused(key: Any) -> None:
    with pytest.raises(RefusedError):
        key_of(LOT, {"id": key})


def test_sums_and_times_are_those_of_goszakup() -> None:
    values = read_record(
        LOT, record("Lots", 1, NOW, amount=1.005, lastUpdateDate="2026-11-22 17:00:00.5")
    )
    assert values["amount"] == Decimal("1.01")
    assert values["last_update_date"] == NOW + timedelta(seconds=0.5)
    assert LOT.variables(7, NOW - timedelta(days=1), NOW) == {
        "limit": 200,
        "after": 7,
        "filter": {"lastUpdateDate": ["2026-11-21 17:00:00", "2026-11-22 17:00:00"]},
    }


async def test_the_migration_makes_the_tables_that_the_code_means(etl: Stand) -> None:
    async with etl.parts.database.begin() as connection:
        for table in METADATA.sorted_tables:
            found = await connection.run_sync(
                lambda sync, name=table.name: {
                    column["name"]: (
                        str(column["type"].compile(sync.dialect)),
                        column["nullable"],
                    )
                    for column in inspect(sync).get_columns(name)
                }
            )
            told = {
                column.name: (str(column.type.compile(connection.dialect)), column.nullable)
                for column in table.columns
            }
            assert found == told, table.name


def test_a_limit_is_waited_for_and_is_no_failure() -> None:
    limited = RateLimitedError(Reason.RATE_LIMITED, "", 120.0)
    assert decide_after_failure(limited, 99) == Wait(120.0, "rate_limited", failure=False)
    open_circuit = CircuitOpenError(None, "", 0.0)
    assert decide_after_failure(open_circuit, 99) == Wait(0.5, "circuit_open", failure=False)


@pytest.mark.parametrize("reason", list(Reason))
def test_a_failure_ends_a_part_at_once_or_after_a_few_growing_waits(reason: Reason) -> None:
    decided = [decide_after_failure(GoszakupError(reason, ""), n + 1) for n in range(FAILURES)]
    assert isinstance(decided[-1], GiveUp)
    if reason in (Reason.UNAUTHORIZED, Reason.REFUSED):
        assert isinstance(decided[0], GiveUp)
        assert decided[0].all_parts == (reason is Reason.UNAUTHORIZED)
    else:
        waits = [one.seconds for one in decided[:-1] if isinstance(one, Wait) and one.failure]
        assert waits == [2.0, 4.0, 8.0, 16.0]


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([("done", 0), ("done", 0)], Status.SUCCESS),
        ([("done", 0), ("done", 1)], Status.PARTIAL_SUCCESS),
        ([("done", 0), ("failed", 0)], Status.PARTIAL_SUCCESS),
        ([("done", 0), ("waiting", 0)], Status.PARTIAL_SUCCESS),
        ([("failed", 0), ("waiting", 0)], Status.ERROR),
    ],
)
def test_a_run_is_a_success_only_when_everything_is(
    parts: list[tuple[str, int]], status: Status
) -> None:
    assert decide_end([(PartStatus(one), refused) for one, refused in parts]) is status


def test_a_clock_that_went_back_makes_no_window_of_nothing() -> None:
    window = plan_window(NOW, None, NOW + timedelta(hours=5))
    assert window.since < window.until == NOW
