"""Our audit records against those a real Vault wrote about requests we know.

The golden store holds the device's salt, and ``expected.json`` the secrets that were sent, so the
records can be rebuilt: same keys, same order, same hashes.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.opened import open_golden, request
from zvault.barrier.barrier import Barrier
from zvault.barrier.view import View
from zvault.engine.api import Auth, Operation, Request, Response
from zvault.engine.audit.auth_view import LOGIN, AuthView
from zvault.engine.audit.hashing import Hasher
from zvault.engine.audit.headers import AuditedHeaders
from zvault.engine.audit.options import FileOptions
from zvault.engine.audit.records import RecordWriter
from zvault.engine.userdata import EncodedData, UserData
from zvault.records import gojson
from zvault.records.mounts import AUDIT, AUTH, MOUNTS, TABLE_KEYS, MountEntry, decode_table
from zvault.records.tokens import ID_PREFIX, SALT_KEY, TokenEntry, decode_token, salt_id

BY_ROOT = AuthView(allowed=True, granting_policies=("root",))
ANY_TIME_NS = 1_795_290_937_110_807_699


class World:
    """The golden store with everything needed to rebuild its records."""

    def __init__(self, expected: dict[str, Any], log: list[dict[str, Any]]) -> None:
        self.expected = expected
        self.log = log
        self.mounts: dict[str, MountEntry] = {}
        self.root = TokenEntry()
        self.writer: RecordWriter
        self.hasher: Hasher

    async def load(self, barrier: Barrier) -> "World":
        for kind in (MOUNTS, AUTH):
            for key in TABLE_KEYS[kind]:
                stored = await barrier.get(key)
                assert stored is not None
                for entry in decode_table(stored).entries:
                    prefix = "auth/" if kind == AUTH else ""
                    self.mounts[prefix + entry.path] = entry
        table = await barrier.get(TABLE_KEYS[AUDIT][0])
        assert table is not None
        (device,) = decode_table(table).entries
        salt = await View(barrier, device.view_prefix).get("salt")
        token_salt = await barrier.get(SALT_KEY)
        assert salt is not None
        assert token_salt is not None
        root_id = self.expected["root_token"]
        stored = await barrier.get(ID_PREFIX + salt_id(token_salt.decode(), root_id))
        assert stored is not None
        self.root = decode_token(stored)
        self.hasher = Hasher(salt.decode())
        headers = AuditedHeaders(View(barrier, "sys/"))
        await headers.load()
        self.writer = RecordWriter(self.hasher, FileOptions("x"), "v1.16.0+builtin.vault", headers)
        return self

    def request(self, golden: dict[str, Any], data: dict[str, Any]) -> Request:
        """The request that a golden record is about."""
        said = golden["request"]
        by_root = "client_token" in said
        made = request(
            said["operation"],
            said["path"],
            data,
            token=self.root if by_root else None,
            mount=self.mounts.get(said.get("mount_point", "")),
            remote_address=said.get("remote_address", ""),
            remote_port=said.get("remote_port", 0),
            policies=("root",) if by_root else (),
            client_token=self.root.id if by_root else "",
        )
        made.id = said["id"]
        return made

    def records(self, kind: str, path: str) -> Iterator[dict[str, Any]]:
        for record in self.log:
            if record["type"] == kind and record["request"]["path"].startswith(path):
                yield record


@pytest.fixture
async def world(tmp_path: Path) -> World:
    golden, barrier = await open_golden("vault-audited", tmp_path)
    lines = (golden.root / "audit.log").read_text().splitlines()
    world = await World(golden.expected, [json.loads(line) for line in lines]).load(barrier)
    await barrier.storage.close()
    return world


def same(ours: bytes, golden: dict[str, Any]) -> None:
    """Equal in content and in the order of keys, but for the time."""
    assert ours.endswith(b"\n")
    record = json.loads(ours)
    assert record.pop("time")
    expected = {key: value for key, value in golden.items() if key != "time"}
    assert json.dumps(record) == json.dumps(expected)


def given(version: Any) -> dict[str, Any]:
    """Values with the digits they were sent with."""
    return gojson.loads_object(json.dumps(version))


async def test_records_of_kv_writes_are_those_of_vault_hash_for_hash(world: World) -> None:
    seen: dict[str, int] = {}
    compared = 0
    for golden in world.records("request", "zakupai/data/"):
        if golden["request"]["operation"] not in ("create", "update"):
            continue
        name = golden["request"]["path"].removeprefix("zakupai/data/")
        if name not in world.expected["kv2"]:
            continue
        seen[name] = seen.get(name, 0) + 1
        data = {"data": given(world.expected["kv2"][name]["data"][str(seen[name])])}
        made = world.request(golden, data)
        same(world.writer.request(ANY_TIME_NS, made, BY_ROOT, "").line, golden)
        compared += 1
    for golden in world.records("request", "legacy/"):
        name = golden["request"]["path"].removeprefix("legacy/")
        made = world.request(golden, given(world.expected["kv1"][name]))
        same(world.writer.request(ANY_TIME_NS, made, BY_ROOT, "").line, golden)
        compared += 1
    assert compared > 50


def read_answer(secret: dict[str, Any], version: str) -> EncodedData | None:
    readable, meta = secret["readable"].get(version), secret["metadata"]
    if readable is None or version not in meta["versions"]:
        return None
    about = {
        "created_time": meta["versions"][version]["created_time"],
        "custom_metadata": meta["custom_metadata"],
        "deletion_time": meta["versions"][version]["deletion_time"],
        "destroyed": meta["versions"][version]["destroyed"],
        "version": int(version),
    }
    return EncodedData({"data": UserData(given(readable)), "metadata": about}, b"")


def with_numbers_hashed(value: Any, hasher: Hasher) -> Any:
    if isinstance(value, dict):
        return {key: with_numbers_hashed(item, hasher) for key, item in value.items()}
    if isinstance(value, list):
        return [with_numbers_hashed(item, hasher) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return hasher.text(json.dumps(value))
    return value


async def test_records_of_kv_reads_are_those_of_vault_hash_for_hash(world: World) -> None:
    """But for one thing: Vault leaves numbers that are read back in clear, and we do not."""
    hashes = {world.hasher.text(str(number)): str(number) for number in range(1, 20)}
    compared = 0
    for golden in world.records("response", "zakupai/data/"):
        if golden["request"]["operation"] != "read":
            continue
        secret = world.expected["kv2"][golden["request"]["path"].removeprefix("zakupai/data/")]
        version = hashes[golden["request"]["data"]["version"]]
        answer = read_answer(secret, version)
        if answer is None:
            continue
        made = world.request(golden, {"version": version})
        record = world.writer.response(ANY_TIME_NS, made, Response(data=answer), BY_ROOT, "")
        answered = golden["response"]["data"]
        answered["data"] = with_numbers_hashed(answered["data"], world.hasher)
        same(record, golden)
        again = world.writer.response(ANY_TIME_NS, made, Response(data=answer), BY_ROOT, "")
        assert again == record
        compared += 1
    assert compared > 40


async def test_records_of_reads_before_execution_lack_the_mount_accessor_as_in_vault(
    world: World,
) -> None:
    compared = 0
    for golden in world.records("request", ""):
        if golden["request"]["operation"] == "read" and "data" not in golden["request"]:
            made = world.request(golden, {})
            same(world.writer.request(ANY_TIME_NS, made, BY_ROOT, "").line, golden)
            compared += 1
    assert compared > 20


async def test_logins_are_recorded_with_the_hashed_token_they_made(world: World) -> None:
    compared = 0
    for golden in world.records("response", "auth/approle/login"):
        role = golden["auth"]["metadata"]["role_name"]
        ids = world.expected["approle"][role]
        data = {"role_id": ids["role_id"], "secret_id": ids["secret_id"]}
        token = next(t for t in world.expected["tokens"] if role in t["policies"])
        issued = Auth(
            client_token=token["token"],
            accessor=token["accessor"],
            display_name="approle",
            token_policies=token["policies"],
            metadata=golden["auth"]["metadata"],
            entity_id=golden["auth"]["entity_id"],
            entity_created=True,
            token_type="service",
            lease_seconds=golden["auth"]["token_ttl"],
        )
        made = world.request(golden, data)
        answer = Response(auth=issued)
        same(world.writer.response(ANY_TIME_NS, made, answer, LOGIN, ""), golden)
        before = next(
            record
            for record in world.records("request", "auth/approle/login")
            if record["request"]["id"] == golden["request"]["id"]
        )
        same(world.writer.request(ANY_TIME_NS, made, LOGIN, "").line, before)
        compared += 1
    assert compared == 5


async def test_token_creation_is_recorded_with_the_hashed_token_it_made(world: World) -> None:
    plain = {"zvault": "unknown"}
    for golden in world.records("response", "auth/token/create"):
        answer = golden["response"]["auth"]
        token = next(
            t
            for t in world.expected["tokens"]
            if world.hasher.text(t["accessor"]) == answer["accessor"]
        )
        issued = Auth(
            client_token=token["token"],
            accessor=token["accessor"],
            display_name=answer["display_name"],
            token_policies=answer["policies"],
            metadata=answer.get("metadata", {}),
            lease_seconds=answer["token_ttl"],
        )
        made = world.request(golden, plain)
        record = json.loads(
            world.writer.response(ANY_TIME_NS, made, Response(auth=issued), BY_ROOT, "")
        )
        assert json.dumps(record["response"]) == json.dumps(golden["response"])
        assert json.dumps(record["auth"]) == json.dumps(golden["auth"])


async def test_known_secrets_appear_only_as_their_hash(world: World) -> None:
    text = json.dumps(world.log)
    for role in world.expected["approle"].values():
        for secret in (role["role_id"], role["secret_id"]):
            assert secret not in text
            assert world.hasher.text(secret) in text
    assert world.hasher.text(world.expected["root_token"]) in text


async def test_the_probe_is_vaults(world: World) -> None:
    (golden,) = world.records("request", "sys/audit/test")
    same(world.writer.probe(ANY_TIME_NS, golden["request"]["id"]), golden)


async def test_every_answer_that_vault_gave_raw_is_hashed_as_a_body(world: World) -> None:
    (golden, *_) = (r for r in world.records("response", "") if "http_raw_body" in str(r))
    made = world.request(golden, {"version": "1"})
    raw = Response(raw_body=b'{"x":1}', status=404)
    record = json.loads(world.writer.response(ANY_TIME_NS, made, raw, BY_ROOT, ""))
    ours, theirs = record["response"]["data"], golden["response"]["data"]
    assert list(ours) == list(theirs)
    assert ours["http_content_type"] == theirs["http_content_type"]
    assert ours["http_status_code"] == theirs["http_status_code"] == 404
    assert ours["http_raw_body"] == world.hasher.text('{"x":1}')


async def test_the_time_is_written_as_go_writes_it(world: World) -> None:
    made = request(Operation.READ, "x")
    for ns, text in (
        (1_795_290_937_110_807_699, "2026-11-21T19:55:37.110807699Z"),
        (1_795_290_937_100_000_000, "2026-11-21T19:55:37.1Z"),
        (1_795_290_937_000_000_000, "2026-11-21T19:55:37Z"),
    ):
        assert json.loads(world.writer.request(ns, made, BY_ROOT, "").line)["time"] == text
