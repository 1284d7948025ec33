"""A service whose Vault, PostgreSQL or Redis goes away, hangs, or comes back changed."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from redis.exceptions import AuthenticationError, RedisError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.support.service_stand import (
    QUICK,
    Backing,
    Provided,
    Stand,
    provide,
    standing,
    stopped,
)
from zakupai_calc.service import SERVICE
from zakupai_common import migrations
from zakupai_common.db import DatabaseLogin, DatabaseSettings
from zakupai_common.redis import RedisSettings, make_redis
from zakupai_common.secret import Secret

LIMIT_SECONDS = 60.0
BODY = {"amount": "112.00"}


@pytest.fixture
def provided(servers: Backing) -> Provided:
    return provide(servers, SERVICE)


async def until(happened: Callable[[], Awaitable[bool]]) -> None:
    """Wait for it; the limit only ends a test that fails anyway."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while not await happened():  # noqa: ASYNC110 - other processes tell nobody
            await asyncio.sleep(0.02)


async def status(stand: Stand) -> int:
    return (await stand.call("POST", "/vat", json=BODY)).status_code


async def metric(stand: Stand, name: str) -> float:
    text = (await stand.call("GET", "/metrics")).text
    return float(next(line for line in text.splitlines() if line.startswith(name)).split()[-1])


@contextmanager
def sealed(servers: Backing) -> Iterator[None]:
    servers.root.sys.seal()
    try:
        yield
    finally:
        servers.unseal()


async def test_a_sealed_vault_costs_no_request_and_is_seen_in_ready_and_metrics(
    servers: Backing, provided: Provided
) -> None:
    async with standing(provided) as stand:
        with sealed(servers):

            async def noticed() -> bool:
                return await metric(stand, "zakupai_secrets_fresh") == 0

            await until(noticed)
            assert await status(stand) == 200
            ready = await stand.call("GET", "/ready")
            assert ready.status_code == 200
            assert ready.json()["parts"]["secrets"]["detail"] == "served from memory: sealed"

        async def fresh() -> bool:
            return await metric(stand, "zakupai_secrets_fresh") == 1

        await until(fresh)


async def test_secrets_older_than_their_declared_age_are_not_served(
    servers: Backing, provided: Provided
) -> None:
    pace = replace(QUICK, max_age=0.5)
    async with standing(provided, pace=pace) as stand:
        with sealed(servers):

            async def refused() -> bool:
                return await status(stand) == 503

            await until(refused)
            answer = await stand.call("POST", "/vat", json=BODY)
            assert answer.json()["detail"].startswith("Vault")
            assert int(answer.headers["retry-after"]) > 0
            assert (await stand.call("GET", "/ready")).status_code == 503
            assert (await stand.call("GET", "/health")).status_code == 200

        async def back() -> bool:
            return await status(stand) == 200

        await until(back)


async def test_a_postgresql_that_went_and_came_back_needs_no_restart(
    servers: Backing, provided: Provided
) -> None:
    async with standing(provided) as stand:
        assert await status(stand) == 200
        servers.postgres.stop()
        try:
            answer = await stand.call("POST", "/vat", json=BODY)
            assert answer.status_code == 503
            assert answer.headers["retry-after"]
            ready = await stand.call("GET", "/ready")
            assert ready.status_code == 503
            assert ready.json()["parts"]["database"] == {
                "ready": False,
                "detail": "PostgreSQL does not answer",
            }
            assert ready.json()["parts"]["secrets"]["ready"]
        finally:
            servers.postgres.start()
        assert await status(stand) == 200
        assert (await stand.call("GET", "/ready")).status_code == 200


async def test_a_restarted_postgresql_costs_no_request(
    servers: Backing, provided: Provided
) -> None:
    async with standing(provided) as stand:
        assert await status(stand) == 200
        servers.postgres.stop()
        servers.postgres.start()
        answers = await asyncio.gather(*(status(stand) for _ in range(8)))
        assert set(answers) == {200}


async def test_a_hung_postgresql_holds_no_request_longer_than_the_deadline(
    servers: Backing, provided: Provided
) -> None:
    async with standing(provided) as stand:
        database = stand.parts.database
        assert await status(stand) == 200
        database.settings = replace(database.settings, deadline_seconds=0.3)
        running = servers.postgres.programs.running("postgresql")
        assert running is not None
        with stopped(running.pid):
            async with asyncio.timeout(LIMIT_SECONDS):
                answers = await asyncio.gather(*(status(stand) for _ in range(3)))
            assert set(answers) == {503}
        database.settings = replace(database.settings, deadline_seconds=30)

        async def back() -> bool:
            return await status(stand) == 200

        await until(back)


async def test_a_rotated_database_password_counts_at_the_next_connection(
    servers: Backing, provided: Provided
) -> None:
    path, new = "services/calc/database", secrets.token_urlsafe(24)
    old = provided.values[path]
    async with standing(provided) as stand:
        assert await status(stand) == 200
        try:
            servers.write(path, {**old, "password": new})
            servers.postgres.give_database("calc", new)
            assert await asyncio.to_thread(stand.parts.secrets.refresh)
            await stand.parts.database.engine.dispose()
            assert await status(stand) == 200
        finally:
            servers.write(path, old)
            servers.postgres.give_database("calc", old["password"])


async def test_a_database_that_refuses_the_password_is_told_from_one_that_is_away_in_the_log_only(
    servers: Backing, provided: Provided, caplog: pytest.LogCaptureFixture
) -> None:
    async with standing(provided) as stand:
        servers.postgres.give_database("calc", "another-password-in-force")
        try:
            answer = await stand.call("POST", "/vat", json=BODY)
        finally:
            password = provided.values["services/calc/database"]["password"]
            servers.postgres.give_database("calc", password)
        assert answer.status_code == 503
        assert "password authentication failed" in caplog.text
        assert "password" not in answer.text
        assert password not in caplog.text


async def test_a_schema_of_another_revision_is_not_ready(
    servers: Backing, provided: Provided
) -> None:
    async with standing(provided) as stand:
        with servers.postgres.connect("calc") as connection:
            connection.execute("UPDATE alembic_version SET version_num = 'c0000'")
            ready = await stand.call("GET", "/ready")
            connection.execute("UPDATE alembic_version SET version_num = 'c0001'")
        assert ready.status_code == 503
        detail = ready.json()["parts"]["database"]["detail"]
        assert detail == "the schema is at c0000, not c0001"


def test_two_that_migrate_at_once_do_it_one_after_the_other(servers: Backing) -> None:
    name, password = "twice", secrets.token_urlsafe(24)
    servers.postgres.give_database(name, password)
    settings = DatabaseSettings("127.0.0.1", name, servers.postgres.port)
    login = DatabaseLogin(name, Secret(password))
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    tables = "SELECT to_regclass('alembic_version')"
    with servers.postgres.connect(name) as other, ThreadPoolExecutor(2) as threads:
        other.execute("SELECT pg_advisory_lock(%s)", [migrations._LOCK])
        both = [
            threads.submit(migrations.upgrade, SERVICE.package, settings, login) for _ in range(2)
        ]
        try:
            deadline = time.monotonic() + LIMIT_SECONDS
            while other.execute(waiting).fetchone() != (2,):
                assert time.monotonic() < deadline
                assert not any(one.done() for one in both), "it waited for nobody"
                time.sleep(0.01)
            assert other.execute(tables).fetchone() == (None,)
        finally:
            other.execute("SELECT pg_advisory_unlock_all()")
        for one in both:
            one.result(LIMIT_SECONDS)
        assert other.execute("SELECT version_num FROM alembic_version").fetchall() == [("c0001",)]


async def test_a_statement_that_fails_puts_no_value_into_any_log(
    provided: Provided, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with standing(provided) as stand:
        query = text("SELECT 1 / 0 WHERE CAST(:hidden AS text) <> ''")
        with pytest.raises(DBAPIError) as refused:
            async with stand.parts.database.begin() as connection:
                await connection.execute(query, {"hidden": "hunter2"})
    assert "division by zero" in str(refused.value)
    assert "hunter2" not in str(refused.value) + caplog.text


async def test_a_hung_redis_is_given_up(servers: Backing) -> None:
    client = make_redis(
        RedisSettings("127.0.0.1", servers.redis.port), lambda: Secret(servers.redis_password)
    )
    try:
        assert await client.ping()
        running = servers.redis.programs.running("redis")
        assert running is not None
        with stopped(running.pid):
            async with asyncio.timeout(LIMIT_SECONDS):
                with pytest.raises(RedisError):
                    await client.ping()
        assert await client.ping()
    finally:
        await client.aclose()


async def test_a_rotated_redis_password_counts_at_the_next_connection(servers: Backing) -> None:
    told = ["wrong"]
    client = make_redis(
        RedisSettings("127.0.0.1", servers.redis.port, timeout_seconds=20), lambda: Secret(told[0])
    )
    try:
        with pytest.raises(AuthenticationError):
            await client.ping()
        told[0] = servers.redis_password
        assert await client.ping()
        told[0] = "wrong again"
        assert await client.ping()  # a connection that is there stays
        await client.connection_pool.disconnect()
        with pytest.raises(AuthenticationError):
            await client.ping()
    finally:
        await client.aclose()


async def test_a_redis_that_is_away_or_wants_another_password_is_an_error_at_once(
    servers: Backing, tmp_path: Path
) -> None:
    wrong = make_redis(RedisSettings("127.0.0.1", servers.redis.port), lambda: Secret("wrong"))
    nobody = make_redis(RedisSettings("127.0.0.1", 1), lambda: Secret("any"))
    try:
        with pytest.raises(AuthenticationError):
            await wrong.ping()
        with pytest.raises(RedisError):
            await nobody.ping()
    finally:
        await wrong.aclose()
        await nobody.aclose()
