"""HTTP/1.1 on the wire: request line, header block, chunked bodies.

What lives here: pure parsing of bytes that a stranger sent. The header block goes through llhttp
(httptools) in its strict mode; the request line is read here, because llhttp knows no ``LIST``: it
gets an ordinary line in its place. What never does: sockets, what a path means.
Invariant: whoever frames a message here frames it as llhttp does, or refuses it: content-length
together with transfer-encoding, two lengths, bare line feeds, folded or spaced headers, control
bytes are all refused, so that no proxy in front can be made to see another message.
"""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import httptools

from zvault.base.errors import UsageError

MAX_HEAD_BYTES = 65_536
MAX_CHUNK_LINE_BYTES = 256
MAX_TRAILER_BYTES = 8_192
_TOKEN_BYTES = frozenset(b"!#$%&'*+-.^_`|~" + (string.ascii_letters + string.digits).encode())
_KNOWN_METHODS = {
    name.encode(): name
    for name in ("GET", "LIST", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "HELP")
}
_REFUSED_TARGET_BYTES = bytes(range(0x21)) + b"\x7f"


class RefusedRequestError(UsageError):
    """What was sent is not a request this server takes; the connection ends after the answer."""

    code = "http-refused"

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message, hint="send HTTP/1.1 as RFC 9112 has it")
        self.status = status


@dataclass(slots=True)
class Head:
    """A header block, read. Shared by all requests of a connection that carry the same bytes."""

    headers: list[tuple[bytes, bytes]]
    """As sent, names in lower case."""
    is_1_0: bool = False
    keep_alive: bool = True
    content_length: int = 0
    chunked: bool = False
    expects_continue: bool = False
    token: str = ""
    """The first ``X-Vault-Token`` that is not empty, else a bearer token."""
    content_type: bytes = b""
    accept: bytes = b""
    wrap_ttl: str = ""
    namespace: str = ""
    origin: str = ""
    vault_request: bool = False
    forwarded_for: list[bytes] = field(default_factory=list)
    _mapping: dict[str, list[str]] | None = None

    def as_mapping(self) -> Mapping[str, Sequence[str]]:
        """Names in lower case to their values, for whoever audits or passes headers on."""
        if self._mapping is None:
            self._mapping = {}
            for name, value in self.headers:
                values = self._mapping.setdefault(name.decode("latin-1"), [])
                values.append(value.decode("latin-1"))
        return self._mapping


def read_request_line(line: bytes) -> tuple[str, bytes, bytes]:
    """Method, target and version of a request line without its CRLF.

    An unknown method comes back as "" (the caller answers 405). Raises RefusedRequestError.
    """
    parts = line.split(b" ")
    if len(parts) != 3:
        raise RefusedRequestError(400, "malformed request line")
    method, target, version = parts
    name = _KNOWN_METHODS.get(method)
    if name is None:
        if not method or not _TOKEN_BYTES.issuperset(method):
            raise RefusedRequestError(400, "malformed method")
        name = ""
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        if version.startswith(b"HTTP/"):
            raise RefusedRequestError(505, "unsupported protocol version")
        raise RefusedRequestError(400, "malformed request line")
    if not target or target.translate(None, _REFUSED_TARGET_BYTES) != target:
        raise RefusedRequestError(400, "malformed request target")
    return name, target, version


class _Collector:
    """What llhttp calls back into."""

    __slots__ = ("add", "complete", "headers")

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.complete = True


def read_headers(version: bytes, block: bytes) -> Head:
    """Read a header block (each line with its CRLF, and the empty line at the end).

    llhttp gets it behind an ordinary request line. Raises RefusedRequestError.
    """
    collector = _Collector()
    parser = httptools.HttpRequestParser(collector)
    try:
        parser.feed_data(b"POST / " + version + b"\r\n" + block)
    except httptools.HttpParserUpgrade:
        pass  # RFC 9110 7.8: a server may ignore Upgrade, and ours does
    except httptools.HttpParserError as error:
        raise RefusedRequestError(400, _reason(error)) from None
    if not collector.complete:
        raise RefusedRequestError(400, "malformed header block")
    head = Head(collector.headers, is_1_0=version == b"HTTP/1.0")
    seen_host = 0
    connection = token = b""
    for name, value in collector.headers:
        if name == b"host":
            seen_host += 1
        elif name == b"connection":
            connection += b"," + value.lower()
        elif name == b"x-vault-token":
            token = token or value.strip()
        else:
            _note(head, name, value)
    if token:
        head.token = token.decode("utf-8", "replace")
    if version == b"HTTP/1.1" and seen_host != 1:
        raise RefusedRequestError(400, "missing or repeated Host header")
    if head.chunked and version != b"HTTP/1.1":
        raise RefusedRequestError(400, "transfer-encoding needs HTTP/1.1")
    options = {option.strip() for option in connection.split(b",")}
    head.keep_alive = b"close" not in options and (
        version == b"HTTP/1.1" or b"keep-alive" in options
    )
    return head


def _reason(error: httptools.HttpParserError) -> str:
    """llhttp's words; for control bytes in a value those that Vault's clients look for."""
    text = str(error)
    return "invalid header value" if "header value" in text.lower() else f"bad request: {text}"


def _note(head: Head, name: bytes, value: bytes) -> None:
    """Keep what the server itself looks at."""
    if name == b"content-length":
        head.content_length = int(value)
    elif name == b"transfer-encoding":
        if value.strip().lower() != b"chunked":
            raise RefusedRequestError(501, "unsupported transfer encoding")
        if head.chunked:
            raise RefusedRequestError(400, "repeated transfer encoding")
        head.chunked = True
    elif name == b"expect":
        if value.strip().lower() != b"100-continue":
            raise RefusedRequestError(417, "unknown expectation")
        head.expects_continue = True
    elif name == b"authorization":
        scheme, _, credentials = value.partition(b" ")
        if not head.token and scheme.lower() == b"bearer":
            head.token = credentials.decode("utf-8", "replace").strip()
    elif name == b"content-type":
        head.content_type = value.strip().lower()
    elif name == b"accept":
        head.accept = value.lower()
    elif name == b"origin":
        head.origin = value.decode("latin-1").strip()
    elif name == b"x-vault-wrap-ttl":
        head.wrap_ttl = value.decode("latin-1").strip()
    elif name == b"x-vault-namespace":
        head.namespace = value.decode("utf-8", "replace").strip().strip("/")
    elif name == b"x-vault-request":
        head.vault_request = value.strip().lower() == b"true"
    elif name == b"x-forwarded-for":
        head.forwarded_for.append(value)


class ChunkedBody:
    """Takes a chunked body apart; tells where the message ends.

    ``feed`` returns None while more is needed, else the bytes that follow the message.
    """

    __slots__ = ("_buffer", "_in_trailers", "_limit", "_remaining", "body")

    def __init__(self, limit: int) -> None:
        self.body = bytearray()
        self._buffer = bytearray()
        self._limit = limit
        self._remaining = -1
        """Bytes of the chunk still to come with its CRLF; -1: a size line is next."""
        self._in_trailers = False

    def feed(self, data: bytes) -> bytes | None:
        """Take more bytes. Raises RefusedRequestError (400, or 413 above the limit)."""
        self._buffer += data
        while True:
            if self._in_trailers:
                return self._take_trailers()
            progressed = self._take_size() if self._remaining < 0 else self._take_data()
            if not progressed:
                return None

    def _take_size(self) -> bool:
        end = self._buffer.find(b"\r\n", 0, MAX_CHUNK_LINE_BYTES)
        if end < 0:
            if len(self._buffer) >= MAX_CHUNK_LINE_BYTES or b"\n" in self._buffer:
                raise RefusedRequestError(400, "malformed chunk")
            return False
        size_text, _, extension = bytes(self._buffer[:end]).partition(b";")
        size_text = size_text.rstrip(b" \t") if extension else size_text
        hexadecimal = size_text and not size_text.strip(b"0123456789abcdefABCDEF")
        if not hexadecimal or len(size_text) > 15 or not _is_text(extension):
            raise RefusedRequestError(400, "malformed chunk")
        size = int(size_text, 16)
        if self._limit >= 0 and len(self.body) + size > self._limit:
            raise RefusedRequestError(413, "http: request body too large")
        del self._buffer[: end + 2]
        self._remaining = size + 2
        if size == 0:
            self._in_trailers = True
        return True

    def _take_data(self) -> bool:
        if self._remaining > 2:
            piece = self._buffer[: self._remaining - 2]
            self.body += piece
            del self._buffer[: len(piece)]
            self._remaining -= len(piece)
        if self._remaining > 2 or len(self._buffer) < 2:
            return False
        if self._buffer[:2] != b"\r\n":
            raise RefusedRequestError(400, "malformed chunk")
        del self._buffer[:2]
        self._remaining = -1
        return True

    def _take_trailers(self) -> bytes | None:
        """Trailers are read to the empty line, checked for shape and dropped."""
        if self._buffer[:2] == b"\r\n":
            return bytes(self._buffer[2:])
        end = self._buffer.find(b"\r\n\r\n", 0, MAX_TRAILER_BYTES)
        if end < 0:
            if len(self._buffer) >= MAX_TRAILER_BYTES:
                raise RefusedRequestError(431, "trailers too large")
            return None
        for line in bytes(self._buffer[:end]).split(b"\r\n"):
            name, colon, value = line.partition(b":")
            if not colon or not name or not _TOKEN_BYTES.issuperset(name) or not _is_text(value):
                raise RefusedRequestError(400, "malformed trailer")
        return bytes(self._buffer[end + 4 :])


def _is_text(value: bytes) -> bool:
    """No control bytes but tab."""
    return all((byte >= 0x20 and byte != 0x7F) or byte == 0x09 for byte in value)
