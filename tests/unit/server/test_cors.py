"""Browsers' pages of other origins: only those that are named, only when asked to look."""

from dataclasses import dataclass, field

import pytest

from tests.support.memory_http import MemoryConnection
from zvault.server.cors import ALLOWED_METHODS, decide_cors


@dataclass
class Config:
    enabled: bool = True
    allowed_headers: tuple[str, ...] = ("X-Vault-Token", "X-My")


@dataclass
class Rules:
    config: Config = field(default_factory=Config)

    def admits(self, origin: str) -> bool:
        return origin == "http://good"


def test_a_stranger_is_refused_whatever_he_asks() -> None:
    for method in ("GET", "POST", "OPTIONS"):
        answer = decide_cors(Rules(), method, "http://bad", "GET")
        assert answer is not None
        assert (answer.status, answer.body) == (403, b'{"errors":["origin not allowed"]}\n')
        assert answer.extra == b""


@pytest.mark.parametrize("wanted", ALLOWED_METHODS)
def test_a_preflight_is_answered_for_the_methods_there_are(wanted: str) -> None:
    answer = decide_cors(Rules(), "OPTIONS", "http://good", wanted)
    assert answer is not None
    assert answer.status == 204
    assert b"Access-Control-Allow-Origin: http://good\r\n" in answer.extra
    assert b"Access-Control-Allow-Headers: X-Vault-Token,X-My\r\n" in answer.extra
    assert b"Access-Control-Max-Age: 300\r\n" in answer.extra


def test_a_preflight_for_another_method_is_405() -> None:
    answer = decide_cors(Rules(), "OPTIONS", "http://good", "BREW")
    assert answer is not None
    assert answer.status == 405


async def test_an_answer_may_be_read_by_a_page_that_is_let_in_and_by_no_other() -> None:
    for rules, origin, status, header in (
        (None, "http://good", 200, False),
        (Rules(Config(enabled=False)), "http://bad", 200, False),
        (Rules(), "http://good", 200, True),
        (Rules(), "http://bad", 403, False),
        (Rules(), "", 200, False),
    ):
        connection = MemoryConnection()
        connection.core.cors = rules
        line = f"Origin: {origin}\r\n" if origin else ""
        connection.feed(f"GET /v1/sys/health HTTP/1.1\r\nHost: x\r\n{line}\r\n".encode())
        assert connection.answers()[-1][0] == status
        assert (b"Access-Control-Allow-Origin" in connection.sent) is header
