"""Rate limits really limit, per client, and the most exact rule counts."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.full_storage import full_storage
from tests.support.running import Running, fresh, restarted
from zvault.base.clock import ManualClock
from zvault.engine.api import Operation, Request
from zvault.engine.errors import EngineError, InvalidRequestError
from zvault.engine.quotas import MAX_CLIENTS, Counter, RateLimitedError
from zvault.records.quotas import RateLimit


async def answers(server: Running, path: str, times: int, **more: Any) -> list[bool]:
    """For each of several requests whether it was let through."""
    found = []
    for _ in range(times):
        try:
            await server.call(Operation.READ, path, **more)
        except RateLimitedError:
            found.append(False)
        else:
            found.append(True)
    return found


async def rule(server: Running, name: str, **data: Any) -> None:
    """Write a rule."""
    await server.call_update(f"sys/quotas/rate-limit/{name}", data)


async def test_a_client_gets_what_the_rule_allows_and_anew_in_the_next_interval() -> None:
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv")
        await server.write("kv/a", v=1)
        await rule(server, "q", rate=2.5, path="kv", interval="10s")
        assert await answers(server, "kv/a", 5) == [True] * 3 + [False] * 2
        assert await answers(server, "kv/a", 1, address="10.0.0.1") == [True], "another client"
        assert await answers(server, "sys/mounts", 5) == [True] * 5, "another mount"
        server.clock.advance(10)
        assert await answers(server, "kv/a", 4) == [True] * 3 + [False]


async def test_a_refusal_has_vaults_words_and_is_counted() -> None:
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv")
        await rule(server, "q", rate=1, path="kv/")
        assert await answers(server, "kv/a", 1) == [True]
        with pytest.raises(RateLimitedError) as caught:
            await server.read("kv/a")
        assert caught.value.status == 429
        assert caught.value.messages == ['request path "kv/a": rate limit quota exceeded']
        text = server.core.metrics.render_prometheus()
        assert 'vault_quota_rate_limit_violation{name="q"} 1' in text


async def test_who_goes_on_is_blocked_for_the_block_interval() -> None:
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv")
        await rule(server, "q", rate=1, path="kv", interval="1s", block_interval="1m")
        assert await answers(server, "kv/a", 2) == [True, False]
        server.clock.advance(59)
        assert await answers(server, "kv/a", 1) == [False]
        server.clock.advance(2)
        assert await answers(server, "kv/a", 1) == [True]


async def test_the_most_exact_rule_counts_and_only_that_one() -> None:
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv")
        rules = {"all": "", "mount": "kv", "tree": "kv/a*", "deep": "kv/ab*", "one": "kv/abc"}
        for number, (name, path) in enumerate(rules.items(), 1):
            await rule(server, name, rate=number if path else 100, path=path)
        for path, allowed in (("kv/z", 2), ("kv/ax", 3), ("kv/abx", 4), ("kv/abc", 5)):
            assert sum(await answers(server, path, 9)) == allowed, path


async def test_logins_of_a_role_have_their_own_rule() -> None:
    async with fresh() as server:
        await server.write("sys/auth/approle", type="approle")
        ids = {}
        for role in ("web", "etl"):
            await server.write(f"auth/approle/role/{role}", policies="default")
            found = await server.read(f"auth/approle/role/{role}/role-id")
            assert found is not None
            ids[role] = found["role_id"]
        await rule(server, "web", rate=1, path="auth/approle", role="web")
        outcomes = []
        for role in ("web", "web", "etl", "etl"):
            try:
                await server.write("auth/approle/login", role_id=ids[role], secret_id="x")
            except InvalidRequestError:
                outcomes.append((role, "asked"))
            except RateLimitedError:
                outcomes.append((role, "limited"))
        assert outcomes == [
            ("web", "asked"),
            ("web", "limited"),
            ("etl", "asked"),
            ("etl", "asked"),
        ]


async def test_exempt_paths_are_not_counted() -> None:
    async with fresh() as server:
        await server.write("sys/quotas/config", rate_limit_exempt_paths=["sys/quotas/*"])
        await rule(server, "q", rate=1)
        assert await answers(server, "sys/quotas/config", 5) == [True] * 5
        assert await answers(server, "sys/mounts", 2) == [True, False]


async def test_the_headers_say_what_is_left_when_they_are_wanted() -> None:
    async with fresh() as server:
        exempt = ["sys/quotas/*"]
        await server.write(
            "sys/quotas/config",
            rate_limit_exempt_paths=exempt,
            enable_rate_limit_response_headers=True,
        )
        await rule(server, "q", rate=1, interval="30s")
        seen = []
        for _ in range(2):
            request = Request(
                "id", Operation.READ, "sys/mounts", client_token=server.root, remote_address="::1"
            )
            with contextlib.suppress(RateLimitedError):
                await server.core.handle(request)
            seen.append(request.answer_headers)
            server.clock.advance(10)
        first = {
            "X-Ratelimit-Limit": "1",
            "X-Ratelimit-Remaining": "0",
            "X-Ratelimit-Reset": "30",
        }
        assert seen == [first, {**first, "X-Ratelimit-Reset": "20", "Retry-After": "20"}]


async def test_a_refusal_is_audited_only_when_asked_for(tmp_path: Path) -> None:
    async with fresh() as server:
        log = tmp_path / "audit.log"
        await server.write("sys/audit/f", type="file", options={"file_path": str(log)})
        await server.write("sys/mounts/kv", type="kv")
        await rule(server, "q", rate=1, path="kv")
        assert await answers(server, "kv/a", 2) == [True, False]
        assert "quota exceeded" not in log.read_text()
        await server.write("sys/quotas/config", enable_rate_limit_audit_logging=True)
        assert await answers(server, "kv/a", 1) == [False]
        last = json.loads(log.read_text().splitlines()[-1])
        assert last["type"] == "request"
        assert last["error"] == 'request path "kv/a": rate limit quota exceeded'


async def test_rules_outlive_a_restart_and_go_where_their_mount_goes() -> None:
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv")
        await rule(server, "q", rate=1, path="kv/x", interval="1m")
        again = await restarted(server)
        assert await again.read("sys/quotas/rate-limit/q") == {
            "block_interval": 0,
            "inheritable": False,
            "interval": 60,
            "name": "q",
            "path": "kv/x",
            "rate": 1,
            "role": "",
            "type": "rate-limit",
        }
        await again.write("sys/remount", to="moved", **{"from": "kv"})
        moved = await again.read("sys/quotas/rate-limit/q")
        assert moved is not None
        assert moved["path"] == "moved/x"
        assert await answers(again, "moved/x", 2) == [True, False]
        await again.delete("sys/mounts/moved")
        assert await again.read("sys/quotas/rate-limit/q") is None
        assert await again.list("sys/quotas/rate-limit") == []
        await again.core.seal()


def test_no_number_of_clients_makes_it_forget_who_is_blocked_or_grow_for_ever() -> None:
    clock = ManualClock()
    rule = RateLimit("q", rate=1, interval_ns=10**9, block_interval_ns=3600 * 10**9)
    counter = Counter(rule, clock.monotonic)
    assert [counter.take("bad").allowed for _ in range(2)] == [True, False]
    for number in range(3 * MAX_CLIENTS):
        counter.take(str(number))
        clock.advance(0.001)
    assert len(counter._windows) <= MAX_CLIENTS
    assert not counter.take("bad").allowed


async def test_a_rule_that_could_not_be_stored_limits_nobody() -> None:
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv")
        before = server.open.quotas.config
        with full_storage(server):
            with pytest.raises(EngineError):
                await rule(server, "q", rate=1, path="kv")
            with pytest.raises(EngineError):
                await server.write("sys/quotas/config", rate_limit_exempt_paths=["kv/a"])
        assert server.open.quotas.names() == []
        assert server.open.quotas.config == before
        assert await answers(server, "kv/a", 5) == [True] * 5
