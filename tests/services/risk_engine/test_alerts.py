"""Each change is told to each subscriber once, in order, or the message itself says otherwise."""

import asyncio
import datetime
import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import text

from launcher.outside import Act, Outside, World, cut, garbage, status, then
from tests.services.risk_engine.test_metrics import metric
from tests.support.service_stand import Stand
from zakupai_risk_engine import rounds
from zakupai_risk_engine.engine import Engine
from zakupai_risk_engine.messages import outbox
from zakupai_risk_engine.messages.courier import MOST_DOUBTS
from zakupai_risk_engine.messages.outbox import HOLD
from zakupai_risk_engine.messages.text import REPEAT
from zakupai_risk_engine.rounds import CHECK_AGAIN, Rounds

START = datetime.datetime(2026, 11, 22, 12, tzinfo=datetime.UTC)


@dataclass
class Watch:
    """A supplier, its watchers, and a clock that goes when it is told to."""

    risk: Stand
    world: World
    number: str
    chat: int
    user: str
    now: datetime.datetime = START

    @property
    def rounds(self) -> Rounds:
        return self.risk.parts.own(Engine).rounds

    async def subscribe(self, user: str | None = None, chat: int | None = None) -> None:
        answer = await self.risk.call(
            "POST",
            "/rnu/subscribe",
            user=user or self.user,
            json={"bin": self.number, "chat_id": chat or self.chat},
        )
        assert answer.status_code in (200, 201)

    async def becomes(self, word: str) -> None:
        """The registry says this now, and a round sees it."""
        self.world.rnu[self.number] = {"status": word}
        self.pass_time(CHECK_AGAIN)
        await self.rounds.look()

    def pass_time(self, span: datetime.timedelta) -> None:
        self.now += span + datetime.timedelta(seconds=1)

    async def undelivered(self) -> list[dict[str, Any]]:
        answer = await self.risk.call("GET", f"/rnu/subscriptions/{self.user}", user=self.user)
        found: list[dict[str, Any]] = answer.json()["undelivered"]
        return found

    def told(self) -> list[str]:
        """The second line of each message to the first chat."""
        return [said.splitlines()[1] for chat, said in self.world.delivered if chat == self.chat]

    def count(self, result: str) -> float:
        found = self.risk.parts.registry.get_sample_value("risk_messages_total", {"result": result})
        return found or 0.0


@pytest.fixture
async def watch(risk: Stand, world: World, number: str, user: str) -> Watch:
    """Nobody else is watched: rounds look at all that is."""
    async with risk.parts.database.begin() as connection:
        await connection.execute(
            text("TRUNCATE rnu_alerts, rnu_changes, rnu_subscriptions, rnu_validation_cache")
        )
    made = Watch(risk, world, number, 4242, user)
    risk.parts.clock = lambda: made.now
    await made.subscribe()
    return made


async def test_the_first_check_and_every_change_are_told_once_in_order(watch: Watch) -> None:
    for word in ("active", "active", "blacklisted", "blacklisted", "active"):
        await watch.becomes(word)
        await watch.rounds.courier.deliver()
        await watch.rounds.courier.deliver()
    assert watch.told() == [
        "первая проверка → действует",
        "действует → в реестре недобросовестных поставщиков",
        "в реестре недобросовестных поставщиков → действует",
    ]
    assert not any(REPEAT in said for _, said in watch.world.delivered)
    assert await watch.undelivered() == []
    assert watch.count("sent") == 3


def in_pieces(handler: Any) -> None:
    """The ordinary answer, but its body arrives a byte at a time."""
    code, body = handler.ordinary()[:2]
    handler.send_response(code)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for place in range(len(body)):
        handler.wfile.write(body[place : place + 1])
        handler.wfile.flush()
        time.sleep(0.001)


async def test_an_answer_that_arrives_in_pieces_is_read_to_its_end(watch: Watch) -> None:
    """Half an answer would be a doubt, and a doubt is a second message."""
    await watch.becomes("active")
    watch.world.acts.append(in_pieces)
    assert await watch.rounds.courier.deliver() == 1
    assert (watch.count("sent"), watch.count("postponed")) == (1, 0)


async def test_all_watchers_are_told_and_who_left_is_not(watch: Watch) -> None:
    await watch.becomes("active")
    for count in range(1, 4):
        await watch.subscribe(f"{watch.user}-{count}", 5000 + count)
    await watch.becomes("suspended")
    path = f"/rnu/subscribe/{watch.number}/{watch.user}-2"
    await watch.risk.call("DELETE", path, user=f"{watch.user}-2")
    await watch.rounds.courier.deliver()
    last = [chat for chat, said in watch.world.delivered if "приостановлен" in said]
    assert sorted(last) == [4242, 5001, 5003]


async def test_a_change_that_a_user_asked_about_is_told_as_well(watch: Watch) -> None:
    await watch.becomes("active")
    watch.pass_time(datetime.timedelta(days=1))
    watch.world.rnu[watch.number] = {"status": "liquidated"}
    await watch.risk.call("GET", f"/validate_rnu/{watch.number}", user="somebody")
    await watch.rounds.courier.deliver()
    assert watch.told()[-1] == "действует → ликвидирован"


async def test_several_senders_at_once_tell_each_change_once(
    watch: Watch, fresh_bin: Callable[[], str]
) -> None:
    for count in range(20):
        await watch.subscribe(f"{watch.user}-{count}", 6000 + count)
    await watch.becomes("active")
    await watch.becomes("blocked")
    taken = await asyncio.gather(*(watch.rounds.courier.deliver() for _ in range(8)))
    assert sum(taken) == 42
    assert len(watch.world.delivered) == len(set(watch.world.delivered)) == 42


async def test_what_was_seen_earlier_does_not_overwrite_what_was_seen_later(watch: Watch) -> None:
    await watch.becomes("blocked")
    watch.now -= datetime.timedelta(hours=1)
    watch.world.rnu[watch.number] = {"status": "active"}
    checked = await watch.rounds.validator.ask(watch.number)
    assert checked.state.value == "BLOCKED"
    await watch.rounds.courier.deliver()
    assert watch.told() == []  # due in the future of this clock
    watch.pass_time(CHECK_AGAIN)
    await watch.rounds.courier.deliver()
    assert watch.told() == ["первая проверка → заблокирован"]


UNSAID = b'{"ok": false, "result": {"message_id": 1}}'


@pytest.mark.parametrize(
    "ending", [cut, garbage, status(502), status(200, b"{}"), status(200, UNSAID)]
)
async def test_a_lost_answer_makes_a_repeat_that_says_so(watch: Watch, ending: Act) -> None:
    await watch.becomes("active")
    watch.world.acts.append(then(ending))
    assert await watch.rounds.courier.deliver() == 0
    (left,) = await watch.undelivered()
    assert (left["status"], left["may_have_arrived"]) == ("waiting", True)
    watch.pass_time(datetime.timedelta(minutes=1))
    assert await watch.rounds.courier.deliver() == 1
    first, second = [said for _, said in watch.world.delivered]
    assert REPEAT not in first
    assert second == first + "\n" + REPEAT
    assert (watch.count("sent"), watch.count("repeated")) == (0, 1)


async def test_a_sender_that_died_with_a_message_leaves_a_doubt(watch: Watch) -> None:
    await watch.becomes("active")
    async with watch.risk.parts.database.begin() as connection:
        held = await connection.execute(
            text("UPDATE rnu_alerts SET status='sending', tries=1, due_at=:until RETURNING 1"),
            {"until": watch.now + HOLD},
        )
        assert held.scalar() == 1
    assert await watch.rounds.courier.deliver() == 0
    watch.pass_time(HOLD)
    assert await watch.rounds.courier.deliver() == 1
    assert watch.world.delivered[0][1].endswith(REPEAT)


async def test_a_sender_whose_hold_has_ended_says_nothing_about_what_another_holds(
    watch: Watch,
) -> None:
    await watch.becomes("active")

    async def take() -> outbox.Alert:
        async with watch.risk.parts.database.begin() as connection:
            taken = await outbox.take(connection, watch.now)
        assert taken is not None
        return taken

    slow = await take()
    assert await metric(watch.risk, "risk_messages_waiting") == 1
    watch.pass_time(HOLD)
    other = await take()
    assert (slow.doubts, other.doubts) == (0, 1)
    async with watch.risk.parts.database.begin() as connection:
        await outbox.failed(connection, slow, "late", watch.now, doubt=False)
    (left,) = await watch.undelivered()
    assert (left["status"], left["failure"]) == ("sending", None)
    async with watch.risk.parts.database.begin() as connection:
        await outbox.sent(connection, other, 1, watch.now)
    assert await watch.undelivered() == []
    assert await metric(watch.risk, "risk_messages_waiting") == 0


async def test_who_leaves_while_a_message_is_on_its_way_may_have_got_it(
    watch: Watch, fresh_bin: Callable[[], str]
) -> None:
    """And what is known of that message afterwards changes nothing any more."""
    await watch.becomes("active")
    await watch.becomes("blocked")
    async with watch.risk.parts.database.begin() as connection:
        held = await outbox.take(connection, watch.now)
    assert held is not None
    path = f"/rnu/subscribe/{watch.number}/{watch.user}"
    assert (await watch.risk.call("DELETE", path, user=watch.user)).status_code == 204
    async with watch.risk.parts.database.begin() as connection:
        await outbox.later(connection, held, "no answer", watch.now, doubt=True)
        query = "SELECT status, doubts FROM rnu_alerts ORDER BY change_id"
        kept = [tuple(row) for row in await connection.execute(text(query))]
    assert kept == [("cancelled", 1), ("cancelled", 0)]
    watch.pass_time(HOLD)
    assert await watch.rounds.courier.deliver() == 0


async def test_no_redirect_gets_the_bots_token_or_a_message(watch: Watch, abroad: Outside) -> None:
    await watch.becomes("active")
    watch.world.acts.append(status(307, Location=f"{abroad.url}/elsewhere"))
    assert await watch.rounds.courier.deliver() == 0
    assert watch.world.asked_for("elsewhere") == []
    (left,) = await watch.undelivered()
    assert (left["status"], left["may_have_arrived"]) == ("waiting", False)


async def test_a_limit_of_telegram_is_obeyed_and_makes_no_repeat(watch: Watch) -> None:
    await watch.becomes("active")
    limited = json.dumps(
        {"ok": False, "error_code": 429, "parameters": {"retry_after": 100}}
    ).encode()
    watch.world.acts.append(status(429, limited))
    assert await watch.rounds.courier.deliver() == 0
    asked = len(watch.world.asked)
    watch.pass_time(datetime.timedelta(seconds=50))
    assert await watch.rounds.courier.deliver() == 0
    assert len(watch.world.asked) == asked
    watch.pass_time(datetime.timedelta(seconds=50))
    assert await watch.rounds.courier.deliver() == 1
    assert REPEAT not in watch.world.delivered[0][1]


async def test_no_limit_of_telegram_is_obeyed_for_longer_than_an_hour(watch: Watch) -> None:
    await watch.becomes("active")
    limited = {"ok": False, "error_code": 429, "parameters": {"retry_after": 10**9}}
    watch.world.acts.append(status(429, json.dumps(limited).encode()))
    assert await watch.rounds.courier.deliver() == 0
    watch.pass_time(datetime.timedelta(hours=1))
    assert await watch.rounds.courier.deliver() == 1


async def test_a_chat_that_blocked_the_bot_is_kept_as_failed_with_its_reason(watch: Watch) -> None:
    watch.world.absent_chats.add(watch.chat)
    await watch.subscribe(f"{watch.user}-other", 77)
    await watch.becomes("blocked")
    assert await watch.rounds.courier.deliver() == 1
    (left,) = await watch.undelivered()
    assert (left["status"], left["failure"]) == (
        "failed",
        "Forbidden: bot was blocked by the user",
    )
    assert (left["may_have_arrived"], left["new_state"]) == (False, "BLOCKED")
    assert watch.count("refused") == 1


WALL = b"<html>Forbidden</html>"


@pytest.mark.parametrize(
    "acts",
    [[status(401)], [status(404)], [status(301)], [status(403, WALL)], [status(400, b"{}")]],
)
async def test_a_wrong_token_or_address_loses_nothing(watch: Watch, acts: list[Act]) -> None:
    await watch.becomes("active")
    watch.world.acts.extend(acts)
    assert await watch.rounds.courier.deliver() == 0
    (left,) = await watch.undelivered()
    assert (left["status"], left["may_have_arrived"]) == ("waiting", False)
    assert await watch.rounds.courier.deliver() == 1


async def test_a_message_that_may_have_arrived_often_enough_is_given_up_and_says_so(
    watch: Watch,
) -> None:
    await watch.becomes("active")
    for _ in range(MOST_DOUBTS):
        watch.world.acts.append(then(cut))
        assert await watch.rounds.courier.deliver() == 0
        watch.pass_time(datetime.timedelta(hours=2))
    assert await watch.rounds.courier.deliver() == 0
    (left,) = await watch.undelivered()
    assert (left["status"], left["tries"], left["may_have_arrived"]) == ("failed", 5, True)
    assert left["failure"].startswith("given up after 5 tries")
    assert len(watch.world.delivered) == MOST_DOUBTS
    assert all(REPEAT in said for _, said in watch.world.delivered[1:])


async def test_a_later_change_waits_for_the_earlier_one(watch: Watch) -> None:
    await watch.becomes("active")
    watch.world.acts.append(then(cut))
    await watch.rounds.courier.deliver()
    watch.world.rnu[watch.number] = {"status": "blocked"}
    watch.now += datetime.timedelta(seconds=1)
    await watch.rounds.validator.ask(watch.number)
    assert await watch.rounds.courier.deliver() == 0
    watch.pass_time(CHECK_AGAIN)
    assert await watch.rounds.courier.deliver() == 2
    assert watch.told()[-2:] == ["первая проверка → действует", "действует → заблокирован"]


async def test_a_round_ends_where_the_registry_wants_to_be_left_alone(
    watch: Watch, fresh_bin: Callable[[], str]
) -> None:
    for _ in range(4):
        await watch.risk.call(
            "POST", "/rnu/subscribe", user=watch.user, json={"bin": fresh_bin(), "chat_id": 1}
        )
    watch.world.acts.extend([status(400), status(429, Retry_After="60")])
    assert await watch.rounds.look() == 0
    assert len(watch.world.asked) == 2


async def test_a_supplier_is_looked_at_once_an_hour_and_the_longest_unseen_first(
    watch: Watch, fresh_bin: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "MOST_CHECKS", 2)
    numbers = [watch.number, *(fresh_bin() for _ in range(2))]
    for number in numbers:
        watch.world.rnu[number] = {"status": "active"}
        body = {"bin": number, "chat_id": 1}
        await watch.risk.call("POST", "/rnu/subscribe", user=watch.user, json=body)

    async def look() -> list[str]:
        del watch.world.asked[:]
        count = await watch.rounds.look()
        found = [one.path.rpartition("/")[2] for one in watch.world.asked]
        assert count == len(found)
        return found

    for number in reversed(numbers):
        watch.pass_time(datetime.timedelta(minutes=1))
        await watch.rounds.validator.ask(number)
    watch.now += CHECK_AGAIN - datetime.timedelta(minutes=5)
    assert await look() == []
    watch.pass_time(datetime.timedelta(minutes=5))
    assert await look() == [numbers[2], numbers[1]]
    assert await look() == [numbers[0]]
    assert await look() == []


async def test_a_round_survives_whatever_fails_in_it(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    await watch.becomes("active")

    async def broken() -> int:
        raise RuntimeError

    monkeypatch.setattr(watch.rounds, "look", broken)
    await watch.rounds.round()
    assert watch.told() == ["первая проверка → действует"]


async def test_no_token_is_in_any_log(watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    await watch.becomes("active")
    watch.world.acts.extend([status(401), cut, garbage])
    for _ in range(4):
        await watch.rounds.courier.deliver()
        watch.pass_time(datetime.timedelta(hours=2))
    assert watch.world.delivered
    for secret in (watch.world.bot_token, watch.world.goszakup_token):
        assert secret not in caplog.text
