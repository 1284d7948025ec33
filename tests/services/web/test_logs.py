"""Logs: one JSON object a line, and no secret in any of them, whichever way it came in."""

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zakupai_common.web.logs import JsonFormatter, set_up_logs
from zakupai_common.web.redaction import REDACTED, Redactor

LIVE = "correct-horse-battery"


@pytest.fixture
def root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("uvicorn.access").disabled = False


def line(record: logging.LogRecord) -> dict[str, object]:
    text = JsonFormatter("calc", Redactor(lambda: [LIVE])).format(record)
    text.encode()
    assert "\n" not in text
    found: dict[str, object] = json.loads(text)
    return found


def record(message: str, *arguments: object, **more: object) -> logging.LogRecord:
    made = logging.LogRecord("some.library", logging.WARNING, "f.py", 1, message, arguments, None)
    vars(made).update(more)
    return made


def test_a_live_secret_is_cut_out_wherever_it_stands() -> None:
    try:
        raise RuntimeError(f"refused {LIVE}!")
    except RuntimeError:
        caught = sys.exc_info()
    made = record("tried %s", LIVE, password_like=f"x{LIVE}x", nested={"a": [LIVE]})
    made.exc_info = caught
    found = line(made)
    assert LIVE not in json.dumps(found)
    assert "Traceback" in str(found["exception"])
    assert REDACTED in str(found["message"])


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("postgresql://calc:hunter2@db/calc", "hunter2"),
        ("Authorization: Bearer abc.def-ghi", "abc.def-ghi"),
        ("token hvs.CAESIJ0123456789abcdef was refused", "hvs.CAESIJ0123456789abcdef"),
        ("s.2aBcDeFgHiJkLmNoPqRsTuVw", "2aBcDeFgHiJkLmNoPqRsTuVw"),
        ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "c2lnbmF0dXJl"),
        ("key zk_abcd1234_0123456789abcdefghij", "0123456789abcdefghij"),
        (
            "refresh zr_Yl6v0gB4gk5iC9cU8dLQ0qfHq3wE2b1xT7mNoPqRsTu",
            "Yl6v0gB4gk5iC9cU8dLQ0q",
        ),
        (
            "invited: zi_-l6v0gB4gk5iC9cU8dLQ0qfHq3wE2b1xT7mNoPqRsTu.",
            "l6v0gB4gk5iC9cU8dLQ0q",
        ),
        ("bot 123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw", "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"),
        ('{"secret_id": "8d5c1f6e"}', "8d5c1f6e"),
        ("{'password': 'a b'}", "a b"),
        ("GET /x?api_key=abcdef&y=1", "abcdef"),
        ("redis_password=abcdef;", "abcdef"),
    ],
)
def test_what_looks_like_a_secret_is_hidden_though_nobody_knows_it(text: str, hidden: str) -> None:
    assert hidden not in Redactor()(text)
    assert hidden not in str(line(record(text))["message"])


def test_ordinary_words_stay() -> None:
    text = "lot 4711 of 2026-11-22: amount=112000.00, 3 tokens used, path /history/17"
    assert Redactor(lambda: ["17", "lot"])(text) == text


def test_a_secret_that_holds_another_leaves_nothing_of_itself() -> None:
    short, long = LIVE, f"a-{LIVE}-b"
    redact = Redactor(lambda: [short, long])
    assert redact(f"{long} and {short}") == f"{REDACTED} and {REDACTED}"


@given(st.text(st.characters()))
def test_every_message_is_one_line_of_json(text: str) -> None:
    assert set(line(record("%s", text))) >= {"ts", "level", "service", "logger", "message"}


def test_the_root_logger_writes_for_every_library(root_logger: None) -> None:
    stream = io.StringIO()
    set_up_logs("calc", Redactor(), "INFO", stream)
    logging.getLogger("uvicorn.error").info("started", extra={"port": 80})
    logging.getLogger("uvicorn.access").info("GET /?token=abc")
    lines = [json.loads(one) for one in stream.getvalue().splitlines()]
    assert [(one["message"], one["port"]) for one in lines] == [("started", 80)]
