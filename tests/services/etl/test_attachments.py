"""Attachments: what is fetched, what is not, and what a host can do to the service: nothing."""

import asyncio
import contextlib
import hashlib
import os
import socket
import ssl
import stat
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.services.etl.conftest import NOW
from tests.services.etl.running import Json, metric, until
from tests.support.certificates import TestPki, make_pki
from tests.support.disk import watch_disk
from tests.support.service_stand import Backing, Provided, Stand, standing
from zakupai_common.web.settings import SettingsError
from zakupai_etl.attachments.addresses import is_public
from zakupai_etl.attachments.fetch import AT_ONCE, Fetcher, Limits, fetcher
from zakupai_etl.attachments.files import Folder
from zakupai_etl.attachments.target import read_hosts
from zakupai_etl.engine import FOLDER_OPTION, HOSTS_OPTION, LOOK_OPTION, Engine

HOST, OTHER = "files.example.kz", "other.example.kz"
PDF = b"%PDF-1.7 " + os.urandom(100_000)
LIMITS = Limits(bytes=200_000, silent_seconds=0.5, whole_seconds=5.0)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> TestPki:
    return make_pki(tmp_path_factory.mktemp("pki"), HOST, OTHER, "localhost")


@dataclass
class FileHost:
    """A TLS server that answers with whatever bytes it was given, and notes who came."""

    answers: dict[str, list[bytes]] = field(default_factory=dict)
    """By path: pieces; None as a piece would be silence: see ``silent``."""
    silent: set[str] = field(default_factory=set)
    """After its pieces the connection stays open and nothing comes."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split()[1]
            named = [line for line in head.splitlines() if line.lower().startswith("host:")]
            self.asked.append((named[0].split()[1], path))
            for piece in self.answers.get(path, [b"HTTP/1.1 404 N\r\nContent-Length: 0\r\n\r\n"]):
                writer.write(piece)
                await writer.drain()
            if path in self.silent:
                await reader.read()
        writer.close()

    def gives(self, path: str, body: bytes, *headers: str, status: str = "200 OK") -> None:
        """An ordinary answer."""
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
        self.answers[path] = ["\r\n".join(lines).encode(), body]

    def leads(self, path: str, to: str, status: str = "302 Found") -> None:
        """A redirect."""
        self.gives(path, b"", f"Location: {to}", status=status)


@contextlib.asynccontextmanager
async def served(
    pki: TestPki, address: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[FileHost]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pki.certificate, pki.key)
    host = FileHost()
    server = await asyncio.start_server(host.handle, address, port, ssl=context)
    host.port = server.sockets[0].getsockname()[1]
    try:
        yield host
    finally:
        server.close()


@pytest.fixture
async def host(pki: TestPki) -> AsyncIterator[FileHost]:
    async with served(pki) as made:
        yield made


class NameServer:
    """Answers with the next of its answers, the last one for ever; counts."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def public_or_server(address: str) -> bool:
    """The real rule, but for the one address where the test's server is."""
    return address == "127.0.0.1" or is_public(address)


@contextlib.asynccontextmanager
async def fetching(
    pki: TestPki,
    host: FileHost,
    folder: Path,
    names: NameServer | None = None,
    limits: Limits = LIMITS,
) -> AsyncIterator[Fetcher]:
    hosts = read_hosts(f"{HOST}:{host.port},{OTHER}:{host.port}")
    files = Folder(folder)
    files.prepare()
    async with fetcher(
        hosts,
        files,
        limits,
        lookup=names or NameServer(["127.0.0.1"]),
        permit=public_or_server,
        tls=ssl.create_default_context(cafile=str(pki.ca)),
    ) as made:
        yield made


@pytest.fixture
async def stand(etl: Stand, pki: TestPki, host: FileHost, tmp_path: Path) -> AsyncIterator[Stand]:
    """etl with a fetcher that reaches the test's host."""
    folder = Folder(tmp_path / "files")
    async with fetching(pki, host, folder.path) as made:
        etl.parts.put(replace(etl.parts.own(Engine), fetcher=made, folder=folder))
        yield etl


def url(host: FileHost, path: str, name: str = HOST) -> str:
    return f"https://{name}:{host.port}{path}"


async def fetch(stand: Stand, address: str, expected: int, *, again: bool = False) -> Json:
    answer = await stand.call(
        "POST", "/attachments", scopes=["etl:write"], json={"url": address, "again": again}
    )
    assert answer.status_code == expected, answer.text
    found: Json = answer.json()
    return found


async def refused(stand: Stand, address: str, expected: int, slug: str) -> str:
    found = await fetch(stand, address, expected)
    assert found["type"] == f"urn:zakupai:problem:{slug}", found
    return str(found["detail"])


async def test_a_file_is_kept_under_what_it_holds_and_given_back(
    stand: Stand, host: FileHost, tmp_path: Path
) -> None:
    address = url(host, "/..%2Fetc/passwd.html?a=b")
    host.gives("/..%2Fetc/passwd.html?a=b", PDF, "Content-Type: text/html")
    found = await fetch(stand, address, 201)
    digest = hashlib.sha256(PDF).hexdigest()
    assert (found["sha256"], found["kind"], found["size_bytes"]) == (digest, "pdf", len(PDF))
    files = [path for path in (tmp_path / "files").rglob("*") if path.is_file()]
    assert files == [tmp_path / "files" / digest[:2] / digest]
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600
    path = f"/attachments/{found['attachment_id']}"
    assert (await stand.call("GET", path)).json() == found
    content = await stand.call("GET", f"{path}/content")
    assert (content.status_code, content.content) == (200, PDF)
    assert content.headers["content-type"] == "application/pdf"
    assert content.headers["x-content-type-options"] == "nosniff"
    assert content.headers["content-disposition"].startswith("attachment;")
    assert host.asked == [(f"{HOST}:{host.port}", "/..%2Fetc/passwd.html?a=b")]
    assert await metric(stand, "etl_attachment_fetches_total", result="stored") == 1


async def test_within_a_day_a_file_is_fetched_once_unless_it_is_asked_for_again(
    stand: Stand, host: FileHost
) -> None:
    host.gives("/a", PDF)
    first = await fetch(stand, url(host, "/a"), 201)
    assert await fetch(stand, url(host, "/a"), 200) == first
    assert len(host.asked) == 1
    stand.parts.clock = lambda: NOW + timedelta(hours=25)
    later = await fetch(stand, url(host, "/a"), 200)
    assert later["attachment_id"] == first["attachment_id"]
    assert later["fetched_at"] > first["fetched_at"]
    host.gives("/a", b"PK\x03\x04 other")
    other = await fetch(stand, url(host, "/a"), 201, again=True)
    assert other["attachment_id"] != first["attachment_id"]
    assert len(host.asked) == 3
    listed = (await stand.call("GET", "/attachments", params={"limit": 1})).json()
    assert (listed["items"], listed["next"]) == ([other], other["attachment_id"])


async def test_a_file_that_is_gone_from_the_folder_is_said_to_be_and_fetched_again(
    stand: Stand, host: FileHost
) -> None:
    host.gives("/a", PDF)
    found = await fetch(stand, url(host, "/a"), 201)
    path = stand.parts.own(Engine).folder.file(found["sha256"])
    assert path is not None
    path.unlink()
    content = await stand.call("GET", f"/attachments/{found['attachment_id']}/content")
    assert content.status_code == 410
    await fetch(stand, url(host, "/a"), 200)
    assert len(host.asked) == 2


async def test_a_few_redirects_are_followed_and_each_is_checked(
    stand: Stand, host: FileHost
) -> None:
    host.leads("/1", "/2")
    host.leads("/2", url(host, "/3", OTHER), "308 P")
    host.gives("/3", PDF)
    assert (await fetch(stand, url(host, "/1"), 201))["url"] == url(host, "/1")
    assert [name.partition(":")[0] for name, _ in host.asked] == [HOST, HOST, OTHER]
    host.leads("/loop", "/loop")
    await refused(stand, url(host, "/loop"), 502, "fetch-failed")
    assert len(host.asked) == 3 + LIMITS.redirects + 1


@pytest.mark.parametrize(
    ("to", "status", "slug"),
    [
        ("http://files.example.kz/", 422, "url-refused"),
        ("https://evil.kz/", 403, "host-not-allowed"),
        ("//evil.kz/", 403, "host-not-allowed"),
        ("https://127.0.0.1/", 422, "url-refused"),
        ("https://[::1]/", 422, "url-refused"),
        ("https://169.254.169.254/latest/meta-data", 422, "url-refused"),
        ("file:///etc/passwd", 422, "url-refused"),
        ("https://u:p@files.example.kz/", 422, "url-refused"),
        ("https://files.example.kz:22/", 403, "host-not-allowed"),
        ("https://files.example.kz:x/", 502, "fetch-failed"),
        ("https://[::1/", 502, "fetch-failed"),
    ],
)
async def test_a_redirect_that_leads_elsewhere_is_not_followed(
    stand: Stand, host: FileHost, to: str, status: int, slug: str
) -> None:
    host.leads("/a", to)
    await refused(stand, url(host, "/a"), status, slug)
    assert host.connections == 1


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.2"],
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["fd00::1"],
        ["fe80::1%lo"],
        ["0.0.0.0"],
        ["224.0.0.1"],
        ["100.64.1.1"],
        ["127.0.0.1", "10.0.0.1"],
    ],
)
async def test_a_host_with_an_inner_address_is_not_connected_to(
    pki: TestPki, host: FileHost, etl: Stand, tmp_path: Path, addresses: list[str]
) -> None:
    async with fetching(pki, host, tmp_path, NameServer(addresses)) as made:
        etl.parts.put(replace(etl.parts.own(Engine), fetcher=made))
        await refused(etl, url(host, "/a"), 403, "address-not-public")
    assert host.connections == 0


async def test_a_name_server_that_changes_its_answer_gains_nothing(
    pki: TestPki, host: FileHost, etl: Stand, tmp_path: Path
) -> None:
    """DNS rebinding: a second look-up would lead to an inner server, and there is none."""
    async with served(pki, "127.0.0.2", host.port) as inner:
        names = NameServer(["127.0.0.1"], ["127.0.0.2"])
        host.gives("/a", PDF)
        inner.gives("/a", b"PK\x03\x04 secret")
        async with fetching(pki, host, tmp_path, names) as made:
            etl.parts.put(replace(etl.parts.own(Engine), fetcher=made))
            assert (await fetch(etl, url(host, "/a"), 201))["kind"] == "pdf"
            assert names.asked == [HOST]
        assert (host.connections, inner.connections) == (1, 0)


async def test_a_redirect_is_a_new_look_up_that_is_checked_again(
    pki: TestPki, host: FileHost, etl: Stand, tmp_path: Path
) -> None:
    async with served(pki, "127.0.0.2", host.port) as inner:
        names = NameServer(["127.0.0.1"], ["127.0.0.2"])
        host.leads("/a", "/b")
        async with fetching(pki, host, tmp_path, names) as made:
            etl.parts.put(replace(etl.parts.own(Engine), fetcher=made))
            await refused(etl, url(host, "/a"), 403, "address-not-public")
        assert names.asked == [HOST, HOST]
        assert (host.connections, inner.connections) == (1, 0)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_the_service_as_it_is_deployed_reaches_no_loopback_even_when_the_host_is_allowed(
    pki: TestPki, provided: Provided, address: str, tmp_path: Path
) -> None:
    """No setting switches the check off."""
    if address == "::1" and not _has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    async with served(pki, address) as inner:
        inner.gives("/a", PDF)
        options = {
            FOLDER_OPTION: str(tmp_path / "files"),
            HOSTS_OPTION: f"localhost:{inner.port},{socket.gethostname().lower()}:{inner.port}",
            LOOK_OPTION: "0",
        }
        async with standing(provided, options=options) as stand:
            target = f"https://localhost:{inner.port}/a"
            await refused(stand, target, 403, "address-not-public")
            assert await metric(stand, "etl_attachment_fetches_total", result="refused") == 1
        assert inner.connections == 0


def _has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


def chunked(*pieces: bytes) -> list[bytes]:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return [head, *(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces), b"0\r\n\r\n"]


async def test_a_body_larger_than_the_limit_is_refused_whatever_was_announced(
    stand: Stand, host: FileHost, tmp_path: Path
) -> None:
    large = b"%PDF-" + b"x" * LIMITS.bytes
    host.gives("/announced", large)
    host.answers["/chunked"] = chunked(*(large[n : n + 9000] for n in range(0, len(large), 9000)))
    for path in ("/announced", "/chunked"):
        assert "larger than" in await refused(stand, url(host, path), 422, "content-refused")
    host.answers["/endless"] = [*chunked(large)[:2], *[b"1\r\nx\r\n"] * 20]
    host.silent.add("/endless")
    assert "larger than" in await refused(stand, url(host, "/endless"), 422, "content-refused")
    assert [path for path in (tmp_path / "files").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    "body", [b"<html>", b"", b"GIF89a" + b"x" * 50, b"MZ" + b"\x00" * 9999, b"%PD"]
)
async def test_what_is_of_no_known_kind_is_refused_whatever_it_says_it_is(
    stand: Stand, host: FileHost, tmp_path: Path, body: bytes
) -> None:
    host.gives("/a.pdf", body, "Content-Type: application/pdf")
    assert "kind" in await refused(stand, url(host, "/a.pdf"), 422, "content-refused")
    assert [path for path in (tmp_path / "files").rglob("*") if path.is_file()] == []


async def test_a_compressed_body_is_not_unpacked(stand: Stand, host: FileHost) -> None:
    host.gives("/a", PDF, "Content-Encoding: gzip")
    assert "compressed" in await refused(stand, url(host, "/a"), 422, "content-refused")


@pytest.mark.parametrize(
    ("answer", "status", "slug"),
    [
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n%PDF-1.7 x"], 502, "fetch-failed"),
        # Whole or cut off: nobody can tell.
        ([b"HTTP/1.1 200 OK\r\n\r\n%PDF-1.7 x"], 502, "fetch-failed"),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n%PDF-1.7"], 502, "fetch-failed"),
        ([chunked(b"%PDF-1.7")[0], b"8\r\n%PDF-1.7\r\n"], 502, "fetch-failed"),
        ([b"\x00\x01 what?\r\n\r\n"], 502, "fetch-failed"),
        ([], 502, "fetch-failed"),
        ([b"HTTP/1.1 302 F\r\nContent-Length: 0\r\n\r\n"], 502, "fetch-failed"),
        ([b"HTTP/1.1 206 P\r\nContent-Length: 5\r\n\r\n%PDF-"], 502, "fetch-failed"),
        ([b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n"], 502, "fetch-failed"),
    ],
)
async def test_a_host_that_answers_garbage_is_told_as_that_and_nothing_is_kept(
    stand: Stand, host: FileHost, tmp_path: Path, answer: list[bytes], status: int, slug: str
) -> None:
    host.answers["/a"] = answer
    await refused(stand, url(host, "/a"), status, slug)
    assert [path for path in (tmp_path / "files").rglob("*") if path.is_file()] == []
    assert await metric(stand, "etl_attachment_fetches_total", result="failed") == 1


@pytest.mark.parametrize("begun", [[], [b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n%PDF-1"]])
async def test_a_host_that_falls_silent_is_504(
    stand: Stand, host: FileHost, begun: list[bytes]
) -> None:
    host.answers["/a"] = begun
    host.silent.add("/a")
    await refused(stand, url(host, "/a"), 504, "fetch-timeout")


async def test_who_would_wait_long_for_a_turn_is_told_to_come_again(
    pki: TestPki, etl: Stand, host: FileHost, tmp_path: Path
) -> None:
    host.answers["/slow"] = []
    host.silent.add("/slow")
    limits = replace(LIMITS, silent_seconds=60.0, whole_seconds=60.0, turn_seconds=0.0)
    async with fetching(pki, host, tmp_path / "files", limits=limits) as made:
        etl.parts.put(replace(etl.parts.own(Engine), fetcher=made))
        waiting = [
            asyncio.create_task(made.fetch(made.check(url(host, "/slow")))) for _ in range(AT_ONCE)
        ]

        async def all_wait() -> bool:
            return len(host.asked) == AT_ONCE

        await until(all_wait)
        await refused(etl, url(host, "/a"), 503, "fetches-busy")
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        host.gives("/a", PDF)
        await fetch(etl, url(host, "/a"), 201)


async def test_a_certificate_of_somebody_else_is_not_believed(
    etl: Stand, host: FileHost, pki: TestPki, tmp_path: Path
) -> None:
    strange = make_pki(tmp_path / "strange", HOST)
    async with fetching(strange, host, tmp_path / "files") as made:
        etl.parts.put(replace(etl.parts.own(Engine), fetcher=made))
        await refused(etl, url(host, "/a"), 502, "fetch-failed")
    assert host.asked == []


def test_a_file_is_whole_on_the_disk_before_it_has_its_name_and_then_the_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path / "files")
    folder.prepare()
    seen = watch_disk(monkeypatch)
    with folder.incoming() as incoming:
        incoming.write(PDF)
        name = incoming.keep(folder.path)
    place = folder.path / name[:2]
    content, *after = seen
    assert (content.what, content.size_bytes) == ("sync", len(PDF))
    assert content.path.name.startswith("incoming-")
    assert [(one.what, one.path) for one in after] == [
        ("rename", place / name),
        ("sync", place),
        ("sync", folder.path),
    ]


async def test_without_postgresql_nothing_is_told_to_be_kept(
    servers: Backing, stand: Stand, host: FileHost
) -> None:
    host.gives("/a", PDF)
    await asyncio.to_thread(servers.postgres.stop)
    try:
        assert (await fetch(stand, url(host, "/a"), 503))["detail"].startswith("PostgreSQL")
    finally:
        await asyncio.to_thread(servers.postgres.start)
    await fetch(stand, url(host, "/a"), 201)


async def test_a_folder_that_cannot_be_used_is_503(
    stand: Stand, host: FileHost, tmp_path: Path
) -> None:
    host.gives("/a", PDF)
    (tmp_path / "files").rename(tmp_path / "gone")
    answer = await fetch(stand, url(host, "/a"), 503)
    assert str(tmp_path) not in str(answer)


async def test_fetching_needs_its_scope(stand: Stand, host: FileHost) -> None:
    answer = await stand.call("POST", "/attachments", json={"url": url(host, "/a")})
    assert answer.status_code == 403
    assert host.connections == 0


def test_what_a_dead_writer_left_is_removed_and_what_a_living_one_writes_is_not(
    tmp_path: Path,
) -> None:
    old, new = tmp_path / "incoming-old", tmp_path / "incoming-new"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    Folder(tmp_path).prepare()
    assert [path.name for path in tmp_path.iterdir()] == ["incoming-new"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {FOLDER_OPTION: "/proc/none"},
        {HOSTS_OPTION: "10.0.0.1"},
        {LOOK_OPTION: "soon"},
    ],
)
async def test_settings_that_cannot_be_used_stop_the_start(
    provided: Provided, tmp_path: Path, options: dict[str, str]
) -> None:
    told = {FOLDER_OPTION: str(tmp_path / "files"), **options} if options else {}
    with pytest.raises(SettingsError, match=r"ZAKUPAI_ETL_"):
        async with standing(provided, options=told):
            pass
