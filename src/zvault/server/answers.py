"""An answer and its bytes.

What lives here: status, body and headers of one answer, and the renderer that puts them on the
wire. What never does: what the answer means.
Source of the default headers: Vault's ``http_response_headers`` (reference: ``vault-api.md`` 1.5).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus

from zvault.engine.api import Owed

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HeadersByStatus = Mapping[str, Mapping[str, str]]
"""``default``, ``4xx`` or ``404`` → header → value; the most exact wins."""

_DEFAULT_HEADERS = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}
_VAULT_REASONS = {472: "DR secondary", 473: "Performance standby"}


@dataclass(slots=True)
class Answer:
    """What goes back for one request."""

    status: int
    body: bytes = b""
    content_type: bytes = JSON
    extra: bytes = b""
    """Further header lines, each with its CRLF."""
    close: bool = False
    owed: Owed | None = None
    """A record that must be written before this leaves."""


class Renderer:
    """Answers to bytes. Heads are made once a second for each (status, content type)."""

    def __init__(self, custom: HeadersByStatus | None = None) -> None:
        self._custom = custom or {}
        self._heads: dict[tuple[int, bytes], bytes] = {}
        self.date_line = b""

    def set_date(self, unix_seconds: float) -> None:
        """Called about once a second: the Date line of all answers until the next call."""
        self.date_line = f"Date: {formatdate(unix_seconds, usegmt=True)}\r\n".encode()
        self._heads.clear()

    def render(self, answer: Answer, head_only: bool, last: bool, keep_alive_10: bool) -> bytes:
        """The whole answer.

        ``head_only``: to HEAD. ``last``: says that the connection closes. ``keep_alive_10``: an
        HTTP/1.0 client asked to stay.
        """
        key = (answer.status, answer.content_type)
        head = self._heads.get(key)
        if head is None:
            head = self._heads[key] = self._make_head(*key) + self.date_line
        rest = answer.extra
        if last:
            rest += b"Connection: close\r\n"
        elif keep_alive_10:
            rest += b"Connection: keep-alive\r\n"
        if answer.status == 204:
            return b"%b%b\r\n" % (head, rest)
        length = b"Content-Length: %d\r\n\r\n" % len(answer.body)
        return b"".join((head, rest, length, b"" if head_only else answer.body))

    def _make_head(self, status: int, content_type: bytes) -> bytes:
        fields = {"Cache-Control": "no-store"}
        if status != 204 and content_type:
            fields["Content-Type"] = content_type.decode()
        fields |= _DEFAULT_HEADERS
        for group in ("default", f"{status // 100}xx", str(status)):
            fields |= self._custom.get(group, {})
        lines = [f"HTTP/1.1 {status} {_reason(status)}"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        return ("\r\n".join(lines) + "\r\n").encode("latin-1")


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return _VAULT_REASONS.get(status, "Status")
