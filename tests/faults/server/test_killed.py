"""A server process under write load over HTTP, killed at a random moment, round after round.

Every life after the first is on the store that the death before left. What clients were told is
looked for over HTTP by the next life, and every n-th time by a real OpenBao on a copy.
"""

import asyncio
import http.client
import json
import random
import re
import shutil
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults.engine.load import POLICY, WORKERS, Told, openbao_finds, prove
from tests.support.engine_server import EngineServer, start_server
from zvault.storage.file import FileStorage

ROUNDS, SOAK_PARTS, SOAK_ROUNDS = 4, 20, 10
OPENBAO_EVERY = 4
MOST_ANSWERS = 500
ENOUGH_SECONDS = 200.0
DIED = (OSError, http.client.HTTPException)


class Wire:
    """One client and its connection."""

    def __init__(self, server: EngineServer) -> None:
        host = server.address.partition("://")[2]
        self._connection = http.client.HTTPConnection(host, timeout=60)
        self._root = server.token

    def send(self, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
        """The answer's JSON. Raises one of ``DIED`` when the server is gone."""
        headers = {"X-Vault-Token": self._root if token is None else token}
        self._connection.request(
            method, f"/v1/{path}", None if body is None else json.dumps(body), headers
        )
        answer = self._connection.getresponse()
        text = answer.read()
        assert answer.status in (200, 204), (method, path, answer.status, text)
        return json.loads(text) if text else None

    def close(self) -> None:
        self._connection.close()


class Answers:
    """Counts them; ``enough`` is set at the given number."""

    def __init__(self, number: int) -> None:
        self._left = number
        self._lock = threading.Lock()
        self.enough = threading.Event()
        self.mistakes: list[BaseException] = []

    def one(self, told: Told) -> None:
        with self._lock:
            told.acknowledged += 1
            self._left -= 1
            if self._left <= 0:
                self.enough.set()


def work(
    wire: Wire, login: dict[str, str], told: Told, rng: random.Random, number: int, mine: list[str]
) -> None:
    """One write of any kind; what it was told is in ``told`` before the next."""
    act = rng.choice(("kv", "kv", "login", "create", "revoke", "renew"))
    if act == "kv":
        path = f"kv/data/w{number}/{rng.randrange(3)}"
        told.sent[path] = told.sent.get(path, 0) + 1
        wire.send("POST", path, {"data": {"n": told.sent[path]}})
        told.values[path] = told.sent[path]
    elif act == "login":
        mine.append(wire.send("POST", "auth/approle/login", login)["auth"]["client_token"])
        told.live.add(mine[-1])
    elif act == "create":
        wish = {"policies": ["load"], "ttl": "5h"}
        mine.append(wire.send("POST", "auth/token/create", wish)["auth"]["client_token"])
        told.live.add(mine[-1])
    elif mine and act == "renew":
        wire.send("POST", "auth/token/renew-self", {}, rng.choice(mine))
    elif mine:
        token = mine.pop(rng.randrange(len(mine)))
        told.live.discard(token)
        told.unsure.add(token)
        wire.send("POST", "auth/token/revoke", {"token": token})
        told.unsure.discard(token)
        told.dead.add(token)


def work_until_death(
    server: EngineServer, login: dict[str, str], told: Told, seed: int, answers: Answers
) -> None:
    def client(number: int) -> None:
        rng, wire = random.Random(seed * 100 + number), Wire(server)
        mine: list[str] = []
        try:
            while True:
                work(wire, login, told, rng, number, mine)
                answers.one(told)
        except DIED:
            return
        except BaseException as error:
            answers.mistakes.append(error)
        finally:
            wire.close()
            answers.enough.set()

    clients = [threading.Thread(target=client, args=(number,)) for number in range(WORKERS)]
    for thread in clients:
        thread.start()
    answers.enough.wait(ENOUGH_SECONDS)
    server.stop(signal.SIGKILL)
    for thread in clients:
        thread.join()


def prepare(server: EngineServer) -> dict[str, str]:
    """Mounts, policy and role; the credentials of a login."""
    server.initialize()
    wire = Wire(server)
    wire.send("POST", "sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
    wire.send("POST", "sys/auth/approle", {"type": "approle"})
    wire.send("POST", "sys/policies/acl/load", {"policy": POLICY})
    wire.send("POST", "auth/approle/role/r", {"token_policies": ["load"], "token_ttl": "10h"})
    role = wire.send("GET", "auth/approle/role/r/role-id")["data"]["role_id"]
    secret = wire.send("POST", "auth/approle/role/r/secret-id")["data"]["secret_id"]
    wire.close()
    return {"role_id": role, "secret_id": secret}


def born(place: Path, before: EngineServer | None = None) -> EngineServer:
    """A server on the store of ``place``, open when there was one before."""
    server = start_server(place, 'storage "file" { path = "data" }')
    if before is None:
        return server
    server = replace(server, keys=before.keys, token=before.token)
    server.unseal()
    return server


def judge(server: EngineServer, told: Told) -> None:
    """Everything acknowledged is so; what was not may be either way, and stays as it is found."""
    for token in told.live:
        assert server.request("GET", "auth/token/lookup-self", token=token)[0] == 200
    for token in told.dead:
        assert server.request("GET", "auth/token/lookup-self", token=token)[0] == 403
    for path, last in told.sent.items():
        status, body = server.request("GET", path)
        found = body["data"]["data"]["n"] if status == 200 else 0
        assert told.values.get(path, 0) <= found <= last, path
        told.sent[path] = told.values[path] = found
    for token in told.unsure:
        server.request("POST", "auth/token/revoke", {"token": token})
        assert server.request("GET", "auth/token/lookup-self", token=token)[0] == 403
    told.dead |= told.unsure
    told.unsure.clear()
    assert "Traceback" not in server.log
    assert not re.search(r"[1-9]\d* unreadable", server.log)


def openbao_judges(place: Path, server: EngineServer, told: Told) -> None:
    """On a copy, its log replayed: the store is handed over only so."""
    keys = [bytes.fromhex(key) for key in server.keys]
    place.mkdir()
    shutil.copytree(server.directory / "data", place / "data")

    async def replay() -> None:
        await FileStorage.open(place / "data").close()
        await prove(FileStorage.open(place / "data", read_only=True), keys)

    asyncio.run(replay())
    openbao_finds(place, place / "data", keys, server.token, told)
    shutil.rmtree(place)


def lives(place: Path, seeds: range) -> None:
    server = born(place)
    told = Told()
    try:
        login = prepare(server)
        for seed in seeds:
            answers = Answers(random.Random(seed).randrange(1, MOST_ANSWERS))
            work_until_death(server, login, told, seed, answers)
            assert not answers.mistakes, (seed, answers.mistakes)
            if seed % OPENBAO_EVERY == OPENBAO_EVERY - 1:
                openbao_judges(place / f"openbao-{seed}", server, told)
            server = born(place, server)
            judge(server, told)
        assert server.stop() == 0
        keys = [bytes.fromhex(key) for key in server.keys]
        asyncio.run(prove(FileStorage.open(place / "data", read_only=True), keys))
    finally:
        server.stop(signal.SIGKILL)
    assert told.acknowledged > 5 * len(seeds)


@pytest.mark.real("openbao-2.6.2")
def test_a_killed_server_has_kept_all_that_it_acknowledged(tmp_path: Path) -> None:
    lives(tmp_path, range(ROUNDS))


@pytest.mark.soak
@pytest.mark.parametrize("part", range(SOAK_PARTS))
@pytest.mark.real("openbao-2.6.2")
def test_two_hundred_kills_cost_nothing_that_was_acknowledged(tmp_path: Path, part: int) -> None:
    lives(tmp_path, range(part * SOAK_ROUNDS, (part + 1) * SOAK_ROUNDS))
