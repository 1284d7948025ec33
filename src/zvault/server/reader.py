"""Messages out of a stream of bytes.

What lives here: where a request ends and the next begins. What never does: sockets, time, meaning.
Invariants: however the bytes are cut, the same messages come out; a message comes out only when it
is whole; after a refusal nothing more comes.
"""

from zvault.server.wire import (
    MAX_HEAD_BYTES,
    ChunkedBody,
    Head,
    RefusedRequestError,
    read_headers,
    read_request_line,
)

MAX_REUSED_BLOCK_BYTES = 4_096
Message = tuple[str, bytes, Head, bytes]
"""Method ("" when unknown), target, head, body."""


class MessageReader:
    """One connection's requests. ``feed`` bytes, then ask ``next`` until it says None."""

    __slots__ = (
        "_block",
        "_body",
        "_chunks",
        "_continue_due",
        "_data",
        "_head",
        "_limit",
        "_missing",
        "_position",
        "_started",
    )

    def __init__(self, max_request_bytes: int) -> None:
        self._limit = max_request_bytes
        self._data = b""
        self._position = 0
        self._block = b""
        """The last header block with its version, and what it said: clients repeat them."""
        self._head: Head | None = None
        self._started: tuple[str, bytes, Head] | None = None
        """The request whose body is being read."""
        self._chunks: ChunkedBody | None = None
        self._body = bytearray()
        self._missing = 0
        self._continue_due = False

    @property
    def held(self) -> int:
        """Bytes that belong to no message yet."""
        return len(self._data) - self._position

    @property
    def is_in_body(self) -> bool:
        """A head was read and its body is not all there."""
        return self._started is not None

    @property
    def is_empty(self) -> bool:
        """Between messages: nothing of the next one has come."""
        return self._started is None and self._position == len(self._data)

    def feed(self, data: bytes) -> None:
        """Take bytes as they came."""
        if self._position == len(self._data):
            self._data = data
        else:
            self._data = self._data[self._position :] + data
        self._position = 0

    def take_continue(self) -> bool:
        """Once a request: its client waits to be told to send the body."""
        due, self._continue_due = self._continue_due, False
        return due

    def clear(self) -> None:
        """Forget everything that was not handed out."""
        self._data, self._position = b"", 0
        self._started, self._chunks, self._body = None, None, bytearray()

    def next(self) -> Message | None:
        """The next whole message, or None. Raises RefusedRequestError."""
        if self._started is not None:
            return self._next_with_body(self._started)
        data, position = self._data, self._position
        while data[position : position + 1] in (b"\r", b"\n"):
            position += 1  # RFC 9112 2.2: empty lines before a request line are ignored
        self._position = position
        end = data.find(b"\r\n\r\n", position)
        if end < 0:
            self._check_unfinished()
            return None
        if end + 4 - position > MAX_HEAD_BYTES:
            raise RefusedRequestError(431, "request header fields too large")
        line_end = data.find(b"\r\n", position)
        method, target, version = read_request_line(data[position:line_end])
        head = self._read_head(version, data[line_end + 2 : end + 4])
        self._position = end + 4
        if not head.content_length and not head.chunked:
            return method, target, head, b""
        if 0 <= self._limit < head.content_length:
            raise RefusedRequestError(413, "http: request body too large")
        started = self._started = (method, target, head)
        self._missing = head.content_length
        self._chunks = ChunkedBody(self._limit) if head.chunked else None
        self._continue_due = head.expects_continue and self._position == len(data)
        return self._next_with_body(started)

    def _read_head(self, version: bytes, block: bytes) -> Head:
        key = version + block
        if key == self._block and self._head is not None:
            return self._head
        head = read_headers(version, block)
        if len(key) <= MAX_REUSED_BLOCK_BYTES:
            self._block, self._head = key, head
        return head

    def _check_unfinished(self) -> None:
        """Refuse early what can never become a request."""
        held = self._data[self._position : self._position + MAX_HEAD_BYTES + 1]
        if not held:
            return
        if not 0x21 <= held[0] < 0x7F:
            raise RefusedRequestError(400, "not HTTP")
        line_end = held.find(b"\n")
        if line_end > 0 and held[line_end - 1] != 0x0D:
            raise RefusedRequestError(400, "bare line feed")
        if len(held) > MAX_HEAD_BYTES:
            raise RefusedRequestError(431, "request header fields too large")

    def _next_with_body(self, started: tuple[str, bytes, Head]) -> Message | None:
        body = self._take_chunks() if self._chunks is not None else self._take_length()
        if body is None:
            return None
        self._started = None
        return *started, body

    def _take_length(self) -> bytes | None:
        data, position = self._data, self._position
        available = len(data) - position
        if available < self._missing:
            self._body += data[position:]
            self._missing -= available
            self._position = len(data)
            return None
        self._position = position + self._missing
        piece = data[position : self._position]
        if not self._body:
            return piece
        body = bytes(self._body) + piece
        self._body = bytearray()
        return body

    def _take_chunks(self) -> bytes | None:
        assert self._chunks is not None
        rest = self._chunks.feed(self._data[self._position :])
        if rest is None:
            self._position = len(self._data)
            return None
        self._position = len(self._data) - len(rest)
        body, self._chunks = bytes(self._chunks.body), None
        return body
