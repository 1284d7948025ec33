"""API keys: billing decides, and is told of every request once."""

import asyncio
import secrets

import httpx
import pytest

from tests.services.gateway.stand import PASSWORD, GatewayStand
from zakupai_common.secret import Secret
from zakupai_gateway.api_keys import (
    MOST,
    REMEMBERED_SECONDS,
    UNCOUNTED,
    ApiKeys,
    KeyRefusedError,
    Verdict,
)
from zakupai_gateway.caller import Caller


def kind(answer: httpx.Response) -> str:
    return str(answer.json()["type"]).removeprefix("urn:zakupai:problem:")


def some_key() -> str:
    return f"zk_{secrets.token_hex(6)}_{secrets.token_hex(24)}"


class Counter:
    """Billing with one limit for each key."""

    def __init__(self, limit: int = 10**6) -> None:
        self.limit, self.counted, self.asked = limit, dict[str, int](), 0
        self.at = dict[str, int]()
        """By service, for all keys."""
        self.reason, self.away = "", False

    async def check_key(self, key: Secret[str], service: str) -> Verdict:
        await asyncio.sleep(0)
        self.asked += 1
        if self.away:
            raise RuntimeError("away")
        used = self.counted.get(key.reveal(), 0)
        if self.reason or used >= self.limit:
            raise KeyRefusedError(self.reason or "limit", 9)
        self.counted[key.reveal()] = used + 1
        self.at[service] = self.at.get(service, 0) + 1
        return Verdict(Caller("u", "free", (), key.reveal()[3:15]), self.limit - used - 1)

    async def count(self, key: Secret[str], service: str, requests: int) -> None:
        await asyncio.sleep(0)
        assert requests > 0, "billing takes no such call, and what waits behind it would wait on"
        if self.away:
            raise RuntimeError("away")
        self.counted[key.reveal()] = self.counted.get(key.reveal(), 0) + requests
        self.at[service] = self.at.get(service, 0) + requests


async def use(keys: ApiKeys, key: str, service: str = "calc") -> bool:
    """As the authenticator does."""
    if keys.known(key, service):
        return True
    try:
        return bool(await keys.check(key, service))
    except KeyRefusedError:
        return False


async def test_every_request_is_counted_once_and_billing_is_seldom_asked() -> None:
    now, billing, key = 0.0, Counter(), some_key()
    keys = ApiKeys(billing, lambda: now)
    for number in range(500):
        now += 0.01
        assert await use(keys, key, ("calc", "etl")[number % 2])
    assert billing.asked <= 2 * (500 / UNCOUNTED + 2)
    await keys.settle(everything=True)
    assert billing.counted == {key: 500}


async def test_many_first_requests_ask_once() -> None:
    billing, key = Counter(), some_key()
    keys = ApiKeys(billing, lambda: 0.0)
    assert all(await asyncio.gather(*(use(keys, key) for _ in range(40))))
    assert billing.asked == 1
    await keys.settle(everything=True)
    assert billing.counted == {key: 40}


@pytest.mark.parametrize("limit", [1, 5, 20, 100])
async def test_no_more_pass_than_the_plan_allows(limit: int) -> None:
    billing, key = Counter(limit), some_key()
    keys = ApiKeys(billing, lambda: 0.0)
    passed = [await use(keys, key) for _ in range(limit * 2)]
    assert sum(passed) == limit
    assert passed == [True] * limit + [False] * limit
    await keys.settle(everything=True)
    assert billing.counted == {key: limit}


async def test_a_revoked_key_is_refused_after_the_stated_seconds_and_a_new_one_works_at_once() -> (
    None
):
    now, billing, key = 0.0, Counter(), some_key()
    keys = ApiKeys(billing, lambda: now)
    billing.reason = "unknown"
    assert not await use(keys, key)
    billing.reason = ""
    assert await use(keys, key)  # a refusal is not remembered
    billing.reason = "revoked"
    now = REMEMBERED_SECONDS - 0.01
    assert await use(keys, key)
    now = REMEMBERED_SECONDS
    assert not await use(keys, key)


async def test_what_was_not_told_because_billing_was_away_is_told_later() -> None:
    now, billing, key = 0.0, Counter(), some_key()
    keys = ApiKeys(billing, lambda: now)
    for _ in range(4):
        assert await use(keys, key)
    now, billing.away = 10.0, True
    for _ in range(3):
        with pytest.raises(RuntimeError):
            await keys.settle()
    billing.away = False
    await keys.settle()
    assert billing.counted == {key: 4}


async def test_memory_of_keys_is_bounded_and_loses_no_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("zakupai_gateway.api_keys.MOST", 5)
    assert MOST == 10_000
    billing = Counter()
    keys = ApiKeys(billing, lambda: 0.0)
    shown = [some_key() for _ in range(20)]
    for key in shown:
        for _ in range(3):
            assert await use(keys, key)
        assert len(keys._known) <= 5
    await keys.settle(everything=True)
    assert billing.counted == dict.fromkeys(shown, 3)


async def test_what_a_key_did_is_told_of_the_service_where_it_did_it() -> None:
    billing, key = Counter(), some_key()
    keys = ApiKeys(billing, lambda: 0.0)
    for number in range(30):
        assert await use(keys, key, ("calc", "etl", "etl")[number % 3])
    await keys.settle(everything=True)
    assert billing.at == {"calc": 10, "etl": 20}


async def test_however_much_a_key_has_left_few_of_its_requests_are_not_counted_yet() -> None:
    billing, key = Counter(), some_key()
    keys = ApiKeys(billing, lambda: 0.0)
    for _ in range(UNCOUNTED + 1):
        assert await use(keys, key)
    assert billing.asked == 1
    assert await use(keys, key)
    assert (billing.asked, billing.counted[key]) == (2, UNCOUNTED + 2)
    await keys.settle(everything=True)  # nothing is left to be told
    assert billing.counted[key] == UNCOUNTED + 2


async def test_what_is_no_key_costs_billing_nothing() -> None:
    billing = Counter()
    keys = ApiKeys(billing, lambda: 0.0)
    for text in ("", "zk_", "x" * 100, "zk_short_key", some_key() + "!", "zk_ü" * 9):
        assert not await use(keys, text)
    assert billing.asked == 0


async def test_a_key_opens_a_service_as_its_user(stand: GatewayStand) -> None:
    key = stand.billing.make_key()
    answer = await stand.client.get("/api/calc/x", headers={"X-API-Key": key})
    assert answer.status_code == 200
    told = answer.json()
    assert (told["user"], told["plan"], told["scopes"]) == ("key-user", "premium", [])
    assert stand.calc.seen[0].header("x-api-key") == []


@pytest.mark.parametrize(
    ("reason", "status", "slug"),
    [
        ("unknown", 401, "key-invalid"),
        ("revoked", 401, "key-revoked"),
        ("expired", 401, "key-expired"),
        ("blocked", 403, "user-blocked"),
        ("limit", 429, "plan-limit"),
    ],
)
async def test_each_refusal_of_billing_has_its_answer(
    stand: GatewayStand, reason: str, status: int, slug: str
) -> None:
    key = stand.billing.make_key(0) if reason == "limit" else stand.billing.make_key(reason=reason)
    answer = await stand.client.get("/api/calc/x", headers={"X-API-Key": key})
    assert (answer.status_code, kind(answer)) == (status, slug)
    assert answer.headers.get("retry-after") == ("77" if reason == "limit" else None)
    assert key not in answer.text
    counted = (await stand.client.get("/metrics")).text
    assert f'gateway_credentials_refused_total{{reason="key-{reason}"}} 1.0' in counted


async def test_while_billing_is_away_keys_in_memory_work_and_others_are_told_to_come_back(
    stand: GatewayStand,
) -> None:
    known, other = stand.billing.make_key(), stand.billing.make_key()
    authenticator = stand.gateway.authenticator
    authenticator._keys._clock = lambda: 0.0
    assert (await stand.client.get("/api/calc/x", headers={"X-API-Key": known})).status_code == 200
    stand.billing.fails = True
    assert (await stand.client.get("/api/calc/x", headers={"X-API-Key": known})).status_code == 200
    refused = await stand.client.get("/api/calc/x", headers={"X-API-Key": other})
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    bearer = await stand.client.get("/api/calc/x", headers=stand.authorized())
    assert bearer.status_code == 200


@pytest.mark.parametrize("status", [401, 403])
async def test_a_billing_that_does_not_believe_the_gateway_blocks_nobody(
    stand: GatewayStand, status: int
) -> None:
    """Its key is wrong there: that is no word about any user or key."""
    email, key = await stand.user(), stand.billing.make_key()
    stand.billing.refuses = status
    asked = {"email": email, "password": PASSWORD}
    assert (await stand.client.post("/auth/login", json=asked)).status_code == 503
    answer = await stand.client.get("/api/calc/x", headers={"X-API-Key": key})
    assert (answer.status_code, kind(answer)) == (503, "unavailable")


async def test_a_gateway_that_ends_tells_billing_the_rest(
    stand: GatewayStand,
) -> None:
    key = stand.billing.make_key()
    for _ in range(3):
        await stand.client.get("/api/calc/x", headers={"X-API-Key": key})
    assert stand.billing.counted[key] == 1
    await stand.gateway.authenticator._keys.settle(everything=True)
    assert stand.billing.counted[key] == 3
