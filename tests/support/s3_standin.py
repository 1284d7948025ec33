"""A small S3 server in memory that behaves like a provider and fails where a test says.

Signatures are not checked (SeaweedFS does that in the integration tests). It lists in bytewise
order, 1,000 a page, like AWS and B2. Differences between providers are the fields of ``Habits``.
"""

import asyncio
import hashlib
import urllib.parse
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

FAULTS = (
    "500-before", "500-after", "503", "hang", "drop-before", "drop-after", "truncate",
    "wrong-etag", "silent-drop",
)  # fmt: skip
_REASONS = {200: "OK", 204: "No Content", 404: "Not Found", 500: "Internal Server Error"}


@dataclass(frozen=True)
class Habits:
    """``conditional``: honour | refuse (501) | ignore. ``etag``: md5 | opaque | multipart."""

    conditional: str = "honour"
    etag: str = "md5"
    refuses_checksums: bool = False
    refuses_bulk_delete: bool = False
    page: int = 1000
    shuffled: bool = False


AWS = Habits()
B2 = Habits(conditional="refuse", refuses_checksums=True, refuses_bulk_delete=True)
GENERIC = Habits(conditional="ignore", shuffled=True)


@dataclass
class Request:
    method: str
    bucket: str
    key: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class S3StandIn:
    """Objects by name, the requests seen, and the faults to come (request number to fault)."""

    habits: Habits = AWS
    bucket: str = "vault"
    objects: dict[str, bytes] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    faults: dict[int, str] = field(default_factory=dict)
    always: Callable[[Request], Answer | None] | None = None
    log: list[tuple[str, str]] = field(default_factory=list)
    port: int = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def requests(self) -> int:
        return len(self.log)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while (request := await _read(reader)) is not None:
                if not await self._respond(request, writer):
                    break
        writer.close()

    async def _respond(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        """Answer one request, faults included; False when the connection is to be closed."""
        self.log.append((request.method, request.key or "?" + request.query.get("prefix", "")))
        fault = self.faults.get(self.requests, "")
        if fault == "hang":
            await asyncio.sleep(3600)
        if fault == "drop-before":
            return False
        if fault == "500-before":
            answer = error(500, "InternalError")
        elif fault == "503":
            answer = error(503, "SlowDown")
        elif fault == "silent-drop" and request.method == "PUT":
            answer = Answer(200, headers={"ETag": self.etag(request.body)})
        else:
            answer = (self.always and self.always(request)) or self._do(request)
        if fault == "drop-after":
            return False
        if fault == "500-after":
            answer = error(500, "InternalError")
        if fault == "wrong-etag" and request.method == "PUT":
            answer.headers["ETag"] = '"' + "0" * 32 + '"'
        return await _write(writer, answer, truncated=fault == "truncate")

    def etag(self, body: bytes) -> str:
        digest = hashlib.md5(body).hexdigest()
        if self.habits.etag == "multipart":
            return f'"{digest}-2"'
        if self.habits.etag == "opaque":
            return '"' + hashlib.sha256(body).hexdigest()[:32] + '"'
        return f'"{digest}"'

    def _do(self, request: Request) -> Answer:
        if request.bucket != self.bucket:
            return error(404, "NoSuchBucket")
        if self.habits.refuses_checksums and any(
            name.startswith("x-amz-checksum") or name == "x-amz-sdk-checksum-algorithm"
            for name in request.headers
        ):
            return error(400, "InvalidArgument", "Unsupported header")
        if request.method == "POST":
            return error(501 if self.habits.refuses_bulk_delete else 400, "NotImplemented")
        if not request.key:
            return self._list(request.query)
        handlers = {"GET": self._get, "HEAD": self._get, "PUT": self._put, "DELETE": self._delete}
        return handlers[request.method](request)

    def _get(self, request: Request) -> Answer:
        body = self.objects.get(request.key)
        if body is None:
            return error(404, "NoSuchKey")
        headers = {"ETag": self.etag(body), "Last-Modified": "Sat, 21 Nov 2026 10:00:00 GMT"}
        return Answer(200, body, headers)

    def _put(self, request: Request) -> Answer:
        if "if-none-match" in request.headers and self.habits.conditional != "ignore":
            if self.habits.conditional == "refuse":
                return error(501, "NotImplemented")
            if request.key in self.objects:
                return error(412, "PreconditionFailed")
        self.objects[request.key] = request.body
        return Answer(200, headers={"ETag": self.etag(request.body)})

    def _delete(self, request: Request) -> Answer:
        self.objects.pop(request.key, None)
        return Answer(204)

    def _list(self, query: dict[str, str]) -> Answer:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after = query.get("continuation-token") or query.get("start-after", "")
        names = sorted(name for name in self.objects if name.startswith(prefix))
        rows: dict[str, str] = {}
        for name in names:
            rest = name[len(prefix) :]
            if delimiter and delimiter in rest:
                folder = prefix + rest.split(delimiter)[0] + delimiter
                rows[folder] = f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>"
            else:
                rows[name] = self._row(name)
        keys = [name for name in rows if name > after]
        size = min(self.habits.page, int(query.get("max-keys", 1000)))
        page, more = keys[:size], len(keys) > size
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        ordered = sorted(page, reverse=True) if self.habits.shuffled else page
        body = (
            '<?xml version="1.0"?><ListBucketResult>'
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}"
            + "".join(rows[name] for name in ordered)
            + "</ListBucketResult>"
        )
        return Answer(200, body.encode(), {"Content-Type": "application/xml"})

    def _row(self, name: str) -> str:
        body = self.objects[name]
        tag = self.tags.get(name) or self.etag(body)
        return (
            f"<Contents><Key>{escape(name)}</Key><Size>{len(body)}</Size>"
            f"<LastModified>2026-11-21T10:00:00.000Z</LastModified><ETag>{escape(tag)}</ETag></Contents>"
        )


def error(status: int, code: str, message: str = "as the test asked") -> Answer:
    """An S3 error document."""
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Answer(status, body.encode(), {"Content-Type": "application/xml"})


@asynccontextmanager
async def running(**fields: object) -> AsyncIterator[S3StandIn]:
    """A stand-in that serves on a free loopback port."""
    standin = S3StandIn(**fields)  # type: ignore[arg-type]
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await standin.serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 24)
    standin.port = server.sockets[0].getsockname()[1]
    try:
        yield standin
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    path, _, query = target.partition("?")
    bucket, _, key = path[1:].partition("/")
    return Request(
        method,
        bucket,
        urllib.parse.unquote(key),
        dict(urllib.parse.parse_qsl(query, keep_blank_values=True)),
        headers,
        body,
    )


async def _write(writer: asyncio.StreamWriter, answer: Answer, truncated: bool) -> bool:
    head = f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Status')}\r\n"
    answer.headers["Content-Length"] = str(len(answer.body))
    head += "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
    body = answer.body[: len(answer.body) // 2] if truncated else answer.body
    writer.write(head.encode() + b"\r\n" + body)
    await writer.drain()
    return not truncated
