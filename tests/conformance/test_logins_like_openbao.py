"""Auth methods and identity: the same requests to our engine and to a real OpenBao.

Answers are compared. Each list of calls runs in order on a fresh mount of both. What differs on
purpose is named in ``ON_PURPOSE``; anything else that differs fails.
"""

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.support.backend_stage import is_same, normal
from tests.support.openbao import OpenBao, running
from tests.support.running import Running, fresh
from zvault.engine.api import Operation
from zvault.engine.errors import EngineError
from zvault.records import gojson
from zvault.server.envelope import answer_for
from zvault.server.errors import status_of

Call = tuple[str, str, Any]
USERS = "auth/m/users"
ONLY_OPENBAO = {"token_strictly_bind_ip"}
_IDS = [
    (r"auth_(\w+)_[0-9a-f]{8}", r"auth_\1_<id>"),
    (r"(hv)?[bs]\.[\w-]{20,}", "<token>"),
    (r'"accessor": "\w{24}"', '"accessor": "<accessor>"'),
]

USERPASS: list[Call] = [
    ("LIST", USERS, None),
    ("GET", USERS, None),
    ("POST", f"{USERS}/bob", {"password": "pw", "token_policies": "app"}),
    ("GET", f"{USERS}/bob", None),
    ("LIST", USERS, None),
    (
        "POST",
        f"{USERS}/Bob2",
        {
            "password": "pw",
            "policies": "a,B, a",
            "ttl": "10s",
            "max_ttl": "1h",
            "bound_cidrs": "127.0.0.1/32,10.0.0.0/8",
        },
    ),
    ("GET", f"{USERS}/BOB2", None),
    ("POST", "auth/m/login/bob2", {"password": "pw"}),
    ("POST", f"{USERS}/bob2", {"token_ttl": 20}),
    ("GET", f"{USERS}/bob2", None),
    ("POST", f"{USERS}/bob2", {"token_policies": "z", "ttl": 5, "max_ttl": 4}),
    ("POST", f"{USERS}/bob2", {"ttl": 5}),
    ("GET", f"{USERS}/bob2", None),
    ("POST", f"{USERS}/bob2", {"token_bound_cidrs": "zzz"}),
    ("POST", f"{USERS}/bob", {"token_policies": "a,B, a", "token_max_ttl": "100000h"}),
    ("POST", f"{USERS}/bob", {"token_period": "100000h"}),
    ("POST", f"{USERS}/bob", {"token_type": "default-service"}),
    ("POST", f"{USERS}/bob", {"token_type": "batch"}),
    ("POST", f"{USERS}/bob", {"token_type": "batch", "token_period": 0}),
    ("POST", f"{USERS}/bob", {"token_num_uses": 4}),
    ("POST", f"{USERS}/bob", {"token_num_uses": -1}),
    ("GET", f"{USERS}/bob", None),
    ("POST", "auth/m/login/bob", {"password": "pw"}),
    ("POST", f"{USERS}/bob", {"token_type": "service", "bound_cidrs": "zzz"}),
    ("POST", f"{USERS}/bob", {"token_bound_cidrs": ["127.0.0.1", "10.0.0.1/8", "::1"]}),
    ("GET", f"{USERS}/bob", None),
    ("POST", f"{USERS}/bob", {"token_ttl": "x"}),
    ("POST", f"{USERS}/bob", {"ttl": -4}),
    ("POST", f"{USERS}/bob", {"password": {"a": 1}}),
    ("POST", f"{USERS}/bob", {"unknown": 1, "username": "zz"}),
    ("GET", f"{USERS}/bob/", None),
    ("LIST", f"{USERS}/bob", None),
    ("GET", "auth/m/nope", None),
    ("POST", "auth/m/login/BOB", {"password": "pw"}),
    ("PUT", "auth/m/login/bob", {"password": "no"}),
    ("PUT", "auth/m/login/eve", {"password": "no"}),
    ("PUT", "auth/m/login/bob", {}),
    ("PUT", "auth/m/login/bob", {"password": 5}),
    ("PUT", "auth/m/login/", {"password": "x"}),
    ("PUT", "auth/m/login/a@b", {"password": "x"}),
    ("GET", "auth/m/login/bob", None),
    ("DELETE", "auth/m/login/bob", None),
    ("LIST", "auth/m/login/bob", None),
    ("POST", "auth/m/login/bob", {"password": "pw", "username": "bob2"}),
    ("POST", f"{USERS}/bob/password", {"password": "x" * 73}),
    ("POST", f"{USERS}/bob/password", {"password": "new"}),
    ("POST", "auth/m/login/bob", {"password": "pw"}),
    ("POST", "auth/m/login/bob", {"password": "new"}),
    ("POST", f"{USERS}/nope/password", {"password": "new"}),
    ("POST", f"{USERS}/nope/policies", {"policies": "m"}),
    ("POST", f"{USERS}/bob/policies", {}),
    ("POST", f"{USERS}/bob/policies", {"policies": "m,n"}),
    ("GET", f"{USERS}/bob", None),
    ("POST", f"{USERS}/bob/policies", {"token_policies": "o"}),
    ("GET", f"{USERS}/bob", None),
    ("GET", f"{USERS}/bob/policies", None),
    ("GET", f"{USERS}/bob/password", None),
    ("POST", f"{USERS}/x", {"password_hash": "$2b$10$zzz"}),
    ("POST", f"{USERS}/x", {"password_hash": "$2a$10$" + "N" * 53}),
    ("POST", f"{USERS}/y", {"password_hash": "$2a$10$" + "N" * 53, "password": "both"}),
    ("POST", f"{USERS}/y", {"password_hash": "$2a$04$" + "N" * 53}),
    ("POST", f"{USERS}/root", {"password": "p", "token_policies": "root"}),
    ("POST", "auth/m/login/root", {"password": "p"}),
    ("POST", f"{USERS}/far", {"password": "p", "token_bound_cidrs": "10.0.0.0/8"}),
    ("POST", "auth/m/login/far", {"password": "p"}),
    ("POST", "auth/m/login/far", {"password": "no"}),
    *[("POST", "auth/m/login/x", {"password": "no"})] * 6,
    ("GET", "sys/locked-users", None),
    (
        "POST",
        f"{USERS}/x4",
        {
            "password": "p",
            "token_period": "1h",
            "token_num_uses": 3,
            "token_no_default_policy": True,
            "token_explicit_max_ttl": "2h",
        },
    ),
    ("POST", "auth/m/login/x4", {"password": "p"}),
    ("POST", f"{USERS}/-x", {"password": "p"}),
    ("DELETE", f"{USERS}/x4", None),
    ("DELETE", f"{USERS}/x4", None),
    ("GET", f"{USERS}/x4", None),
    ("LIST", USERS, None),
]
SUITES = {"userpass": USERPASS}
ON_PURPOSE: dict[tuple[str, str, str], str] = {}
"""(suite, method, path) of calls whose answers differ, and why; the status is compared anyway."""


class Ours:
    """The engine, without HTTP."""

    def __init__(self, server: Running) -> None:
        self.server = server

    async def call(self, method: str, path: str, body: Any, token: str | None = None) -> Any:
        path, _, query = path.partition("?")
        asked: dict[str, Any] = {key: values[0] for key, values in parse_qs(query).items()}
        operation = {"GET": Operation.READ, "LIST": Operation.LIST, "DELETE": Operation.DELETE}.get(
            method, Operation.UPDATE
        )
        if operation is Operation.LIST and not path.endswith("/"):
            path += "/"
        data = {**asked, **gojson.loads_object(json.dumps(body or {}))}
        try:
            response = await self.server.call(operation, path, data, token)
        except EngineError as error:
            return status_of(error), {"errors": error.messages}
        answer = answer_for("id", operation, path, response)
        return answer.status, json.loads(answer.body) if answer.body else None


class Theirs:
    """OpenBao."""

    def __init__(self, server: OpenBao) -> None:
        self.server = server
        _, made = server.request("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self.root = made["root_token"]
        server.request("PUT", "sys/unseal", {"key": made["keys"][0]})

    def call(self, method: str, path: str, body: Any, token: str | None = None) -> Any:
        status, answer = self.server.request(
            method, path, body, self.root if token is None else token
        )
        return status, answer if answer or status != 204 else None


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theirs]:
    place = tmp_path_factory.mktemp("bao")
    with running(place, place / "data") as server:
        yield Theirs(server)


@pytest.fixture
async def ours() -> AsyncIterator[Ours]:
    async with fresh() as server:
        yield Ours(server)


def comparable(answer: tuple[int, Any]) -> tuple[int, Any]:
    """Without ids, times and what only OpenBao has."""
    status, body = answer
    text = json.dumps(_without_extras(normal(body)))
    for pattern, shown in _IDS:
        text = re.sub(pattern, shown, text)
    return status, json.loads(text)


def _without_extras(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_extras(v) for k, v in value.items() if k not in ONLY_OPENBAO}
    if isinstance(value, list):
        return [_without_extras(item) for item in value]
    return value


@pytest.mark.parametrize("kind", list(SUITES))
async def test_answers_are_those_of_openbao(kind: str, ours: Ours, theirs: Theirs) -> None:
    both: list[Any] = []
    for method, path, body in [("POST", "sys/auth/m", {"type": kind}), *SUITES[kind]]:
        mine = comparable(await ours.call(method, path, body))
        other = comparable(theirs.call(method, path, body))
        if (kind, method, path) in ON_PURPOSE:
            assert mine[0] == other[0]
        elif not is_same(mine, other):
            both.append((method, path, body, mine, other))
    theirs.call("DELETE", "sys/auth/m", None)
    assert not both, "\n".join(str(difference) for difference in both)
