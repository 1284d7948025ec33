"""The log: Vault's line or hclog's JSON, and nothing of a request but its path."""

import io
import json
import logging
import re
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_core import FakeCore
from tests.support.memory_http import MemoryConnection
from zvault.server.answers import Answer
from zvault.server.banner import STARTED, banner
from zvault.server.config import ServerConfig
from zvault.server.logs import LogFileError, configure
from zvault.server.protocol import WireRequest
from zvault.server.request_id import RequestIds
from zvault.server.request_log import logging_requests
from zvault.server.settings import LogSettings
from zvault.server.wire import Head


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger("zvault")
    before = (root.handlers[:], root.level, root.propagate)
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers, root.level, root.propagate = before


def test_a_line_is_vaults_and_stays_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure(LogSettings(level="warn"))
    logging.getLogger("zvault.engine.core").warning("two\nlines")
    logging.getLogger("zvault.engine.core").info("not shown")
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert re.fullmatch(time + r" \[WARN\]  engine\.core: two\\nlines\n", stream.getvalue())


def test_an_exception_is_its_kind_and_place_and_not_its_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure(LogSettings())
    try:
        raise KeyError("a-secret-value")
    except KeyError:
        logging.getLogger("zvault.engine").exception("it failed")
    assert re.search(r"it failed \(KeyError at test_logs\.py:\d+\)\n$", stream.getvalue())
    assert "a-secret-value" not in stream.getvalue()


def test_json_has_hclogs_keys_and_a_moved_file_is_made_anew(tmp_path: Path) -> None:
    file = tmp_path / "vault.log"
    configure(LogSettings(json=True, file=file))
    logger = logging.getLogger("zvault.server")
    logger.error("first")
    line = json.loads(file.read_text())
    assert (line["@level"], line["@module"], line["@message"]) == ("error", "server", "first")
    file.rename(tmp_path / "old.log")
    logger.error("second")
    assert "second" in file.read_text()
    assert "second" not in (tmp_path / "old.log").read_text()


def test_a_log_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(LogFileError, match="absent"):
        configure(LogSettings(file=tmp_path / "absent" / "vault.log"))


async def test_a_request_line_has_no_query_no_header_and_no_body(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def application(wire: WireRequest) -> Answer:
        return Answer(403)

    assert logging_requests(application, "off") is application
    head = Head([(b"x-vault-token", b"secret-token")], token="secret-token")
    wire = WireRequest("POST", b"/v1/kv/a?q=secret-query", head, b"secret-body", ("", 0))
    logging.getLogger("zvault").propagate = True
    with caplog.at_level(logging.INFO, logger="zvault"):
        assert (await logging_requests(application, "info")(wire)).status == 403
    assert re.search(r"POST /v1/kv/a 403 \d+\.\dms", caplog.text)
    assert "secret" not in caplog.text


def test_the_banner_ends_with_the_line_that_scripts_wait_for() -> None:
    config = ServerConfig.parse('storage "inmem" {}\nlistener "tcp" { tls_disable = 1 }')
    lines = banner(config, ["127.0.0.1:4711"], "1.16.3")
    assert STARTED in lines
    text = "\n".join(lines)
    assert 'addr: "127.0.0.1:4711"' in text
    assert 'max_request_duration: "1m30s"' in text
    assert "Storage: inmem" in text


def test_request_ids_are_version_4_and_never_repeat() -> None:
    import os

    ids = RequestIds(os.urandom)
    made = [ids.next() for _ in range(1_000)]
    assert len(set(made)) == 1_000
    assert all(uuid.UUID(text).version == 4 for text in made)
    assert all(str(uuid.UUID(text)) == text for text in made)
    assert {uuid.UUID(text).variant for text in made} == {uuid.RFC_4122}


async def test_custom_headers_go_by_the_most_exact_group() -> None:
    from zvault.server.answers import Renderer

    renderer = Renderer(
        {"default": {"X-A": "all"}, "4xx": {"X-A": "four"}, "404": {"X-A": "exact"}}
    )
    for status, value in [(200, b"all"), (403, b"four"), (404, b"exact")]:
        sent = renderer.render(Answer(status), head_only=False, last=False, keep_alive_10=False)
        assert b"X-A: %b\r\n" % value in sent
        assert b"Strict-Transport-Security: max-age=31536000" in sent
    assert MemoryConnection(FakeCore()).sent == b""
