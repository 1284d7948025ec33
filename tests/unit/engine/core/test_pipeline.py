"""The way of a request: who, where, may they, recorded."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.running import fresh
from zvault.engine.api import Operation, Request
from zvault.engine.errors import (
    EngineError,
    InternalEngineError,
    InvalidRequestError,
    NotFoundInEngineError,
    PermissionDeniedError,
)
from zvault.storage.errors import StoreUnreachableError


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_no_token_and_an_unknown_token_are_denied_alike() -> None:
    async with fresh() as server:
        for token in (
            "",
            "nope",
            "hvs." + "x" * 24,
            "hvs.CAES" + "A" * 90,
            "hvb.AAAA",
            "s.old",
            "\ud800",
            "é.ü",
        ):
            with pytest.raises(PermissionDeniedError) as caught:
                await server.read("sys/mounts", token)
            assert caught.value.messages == ["permission denied"]


async def test_a_token_without_the_right_is_denied_in_vaults_words() -> None:
    async with fresh() as server:
        token = await server.token(policies=["default"])
        with pytest.raises(PermissionDeniedError) as caught:
            await server.read("sys/mounts", token)
        assert caught.value.messages == ["1 error occurred:\n\t* permission denied\n\n"]


async def test_where_nothing_is_mounted_rights_come_before_the_truth() -> None:
    async with fresh() as server:
        token = await server.token(policies=["default"])
        with pytest.raises(PermissionDeniedError):
            await server.read("nomount/x", token)
        with pytest.raises(NotFoundInEngineError, match="no handler for route"):
            await server.read("nomount/x")


async def test_sudo_paths_need_sudo() -> None:
    async with fresh() as server:
        await server.policy("p", 'path "sys/audit" { capabilities = ["read"] }')
        await server.policy("s", 'path "sys/audit" { capabilities = ["read", "sudo"] }')
        with pytest.raises(PermissionDeniedError):
            await server.read("sys/audit", await server.token(policies=["p"]))
        assert await server.read("sys/audit", await server.token(policies=["s"])) == {}


async def test_creating_and_updating_are_two_rights() -> None:
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv")
        await server.policy("c", 'path "kv/*" { capabilities = ["create"] }')
        token = await server.token(policies=["c"])
        await server.write("kv/a", token, v=1)
        with pytest.raises(PermissionDeniedError):
            await server.write("kv/a", token, v=2)
        assert await server.read("kv/a") == {"v": 1}


async def test_a_change_of_a_policy_counts_from_the_next_request_on() -> None:
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv")
        await server.write("kv/a", v=1)
        token = await server.token(policies=["p"])
        with pytest.raises(PermissionDeniedError):
            await server.read("kv/a", token)
        await server.policy("p", 'path "kv/a" { capabilities = ["read"] }')
        assert await server.read("kv/a", token) == {"v": 1}
        await server.policy("p", 'path "kv/a" { capabilities = ["deny"] }')
        with pytest.raises(PermissionDeniedError):
            await server.read("kv/a", token)
        await server.delete("sys/policies/acl/p")
        with pytest.raises(PermissionDeniedError):
            await server.read("kv/a", token)


async def test_a_token_bound_to_networks_works_from_there_only() -> None:
    async with fresh() as server:
        await server.write("auth/token/roles/r", token_bound_cidrs="10.0.0.0/8,127.0.0.1")
        token = await server.token(path="create/r", policies=["default"])
        lookup = "auth/token/lookup-self"
        assert await server.call(Operation.READ, lookup, token=token, address="10.1.2.3")
        assert await server.call(Operation.READ, lookup, token=token, address="127.0.0.1")
        for address in ("11.0.0.1", "", "::1"):
            with pytest.raises(PermissionDeniedError):
                await server.call(Operation.READ, lookup, token=token, address=address)


async def test_a_path_with_dots_is_refused_where_it_would_leave_its_view() -> None:
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv")
        with pytest.raises(InvalidRequestError, match="relative paths not supported"):
            await server.read("kv/../sys/x")
        with pytest.raises(InvalidRequestError, match="relative paths not supported"):
            await server.write("kv/a/../../b", v=1)


async def test_a_cached_read_never_suspends() -> None:
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv-v2")
        await server.write("kv/data/a", data={"v": 1})
        await server.policy("p", 'path "kv/data/*" { capabilities = ["read"] }')
        token = await server.token(policies=["p"])
        await server.read("kv/data/a", token)
        request = Request("1", Operation.READ, "kv/data/a", client_token=token)
        with pytest.raises(StopIteration) as finished:
            server.core.handle(request).send(None)  # type: ignore[attr-defined]
        assert finished.value.value.data["data"] == {"v": 1}


@pytest.mark.row("A3")
async def test_every_outcome_is_recorded_and_no_secret_is_in_clear(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    async with fresh() as server:
        await server.write("sys/audit/file", type="file", options={"file_path": str(log)})
        await server.write("sys/mounts/kv", type="kv")
        await server.write("kv/a", value="top-secret-value")
        await server.read("kv/a")
        with pytest.raises(EngineError):
            await server.read("kv/a", "hvs.wrongtokenwrongtoken")
        with pytest.raises(EngineError):
            await server.read("nomount/b")
        denied = await server.token(policies=["default"])
        with pytest.raises(EngineError):
            await server.read("kv/a", denied)
    found = records(log)
    by_id: dict[str, list[str]] = {}
    for record in found[2:]:
        by_id.setdefault(record["request"]["id"], []).append(record["type"])
    assert set(map(tuple, by_id.values())) == {("request", "response")}
    errors = [record.get("error") for record in found if record.get("error")]
    assert "permission denied" in errors
    text = log.read_text()
    for secret in ("top-secret-value", server.root, denied):
        assert secret not in text
    reads = [r for r in found if r["request"]["path"] == "kv/a" and r["type"] == "response"]
    assert {r["auth"]["policy_results"]["allowed"] for r in reads} == {True, False}


async def test_when_no_audit_device_can_be_written_nothing_is_done(tmp_path: Path) -> None:
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv")
        log = tmp_path / "audit.log"
        await server.write("sys/audit/file", type="file", options={"file_path": str(log)})
        sink = server.open.audit._sinks[0]
        sink.file.close()
        object.__setattr__(sink, "file", _Full())
        with pytest.raises(EngineError, match="internal error"):
            await server.write("kv/a", v=1)
        server.open.audit._sinks = ()
        assert await server.read("kv/a") is None


class _Full:
    """A device whose disk is full."""

    def write(self, line: bytes) -> None:
        from zvault.engine.audit.file_device import AuditWriteError

        raise AuditWriteError("no space left")

    def close(self) -> None:
        pass


async def test_a_bug_in_a_backend_is_an_internal_error_without_details() -> None:
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv")
        mounted = server.open.mounts.router.get("kv/")
        assert mounted is not None

        async def broken(request: Request) -> None:
            raise KeyError("secret detail")

        mounted.backend.handle = broken  # type: ignore[method-assign, assignment]
        with pytest.raises(EngineError) as caught:
            await server.read("kv/a")
        assert caught.value.messages == ["1 error occurred:\n\t* internal error\n\n"]


async def test_a_path_that_cannot_be_is_told_only_to_those_who_may_write_there(
    tmp_path: Path,
) -> None:
    log = tmp_path / "audit.log"
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv")
        await server.write("sys/audit/file", type="file", options={"file_path": str(log)})
        token = await server.token(policies=["default"])
        before = len(records(log))
        with pytest.raises(PermissionDeniedError):
            await server.write("kv/a..b", token, v=1)
        assert [r["type"] for r in records(log)[before:]] == ["request", "response"]
        with pytest.raises(InvalidRequestError):
            await server.write("kv/a..b", v=1)


async def test_a_request_that_storage_stops_is_recorded_too(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv")
        await server.policy("u", 'path "kv/*" { capabilities = ["update"] }')
        await server.write("sys/audit/file", type="file", options={"file_path": str(log)})
        known, unknown = await server.token(policies=["u"]), await server.token(policies=["u"])
        with pytest.raises(PermissionDeniedError):
            await server.write("kv/a", known, v=1)

        async def broken(key: str) -> bytes | None:
            raise StoreUnreachableError("gone", provider="test", store="memory", key=key)

        server.open.barrier.storage.get = broken  # type: ignore[method-assign]
        for token in (known, unknown):
            before = len(records(log))
            with pytest.raises(InternalEngineError, match="gone"):
                await server.write("kv/a", token, v=1)
            added = records(log)[before:]
            assert [r["type"] for r in added] == ["request", "response"]
            assert all("gone" in r["error"] for r in added)


async def test_no_write_goes_to_a_folder() -> None:
    async with fresh() as server:
        for name in ("approle", "userpass"):
            await server.write(f"sys/auth/{name}", type=name)
        for path in (
            "sys/mounts/kv/",
            "auth/approle/role/r/",
            "auth/userpass/login/somebody/",
            "identity/entity/",
            "cubbyhole/a/",
        ):
            with pytest.raises(InvalidRequestError) as caught:
                await server.write(path, type="kv")
            assert caught.value.messages == ["cannot write to a path ending in '/'"]
