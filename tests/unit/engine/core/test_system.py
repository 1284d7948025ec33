"""What the server says of itself, browsers' rules, the raw way in."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.running import Running, fresh, golden, restarted
from zvault.engine.api import Operation, Request
from zvault.engine.backends.system.openapi import templates
from zvault.engine.errors import (
    InternalEngineError,
    InvalidRequestError,
    NotFoundInEngineError,
    PermissionDeniedError,
    UnsupportedOperationError,
)
from zvault.engine.versions import PREFIX as VERSIONS


@asynccontextmanager
async def with_raw() -> AsyncIterator[Running]:
    async with fresh() as server:
        await server.core.seal()
        server.core.settings = replace(server.core.settings, raw_storage=True)
        await server.unseal()
        yield server


async def test_the_raw_way_in_does_not_exist_unless_configured() -> None:
    async with fresh() as server:
        for operation in (Operation.READ, Operation.UPDATE, Operation.DELETE, Operation.LIST):
            with pytest.raises(NotFoundInEngineError):
                await server.call(operation, "sys/raw/core/mounts", {"value": "x"})


async def test_raw_reads_and_writes_what_lies_behind_the_barrier() -> None:
    async with with_raw() as server:
        found = await server.read("sys/raw/core/mounts")
        assert found is not None
        assert json.loads(found["value"])["type"] == "mounts", "decompressed"
        await server.write("sys/raw/own/x", value="text")
        assert await server.open.barrier.get("own/x") == b"text"
        await server.write("sys/raw/own/y", value="AP8=", encoding="base64")
        assert await server.open.barrier.get("own/y") == b"\0\xff"
        shown = await server.call(Operation.READ, "sys/raw/own/y", {"encoding": "base64"})
        assert shown is not None
        assert shown.data == {"value": "AP8="}
        assert await server.list("sys/raw/own/") == ["x", "y"]
        assert "core/" in await server.list("sys/raw/")
        await server.delete("sys/raw/own/x")
        assert await server.read("sys/raw/own/x") is None


@pytest.mark.parametrize(
    "key", ["core/keyring", "core/master", "core/seal-config", "core/hsm/barrier-unseal-keys", ""]
)
async def test_raw_gives_nobody_the_keys(key: str) -> None:
    async with with_raw() as server:
        for operation in (Operation.READ, Operation.UPDATE, Operation.DELETE):
            with pytest.raises(InvalidRequestError, match="cannot"):
                await server.call(operation, f"sys/raw/{key}", {"value": "x"})


async def test_raw_needs_sudo() -> None:
    async with with_raw() as server:
        every = '["create", "read", "update", "delete", "list"]'
        await server.policy("wide", f'path "sys/raw/*" {{ capabilities = {every} }}')
        token = await server.token(policies=["wide"])
        with pytest.raises(PermissionDeniedError):
            await server.read("sys/raw/core/mounts", token)


async def test_versions_are_remembered_and_a_real_servers_entry_is_read(tmp_path: Path) -> None:
    async with fresh() as server:
        listed = await server.call(Operation.LIST, "sys/version-history/")
        assert listed is not None
        assert listed.data is not None
        assert listed.data["keys"] == ["1.16.0"]
        first = dict(listed.data["key_info"]["1.16.0"])
        assert first["previous_version"] is None
        server.clock.advance(3600)
        await server.core.seal()
        server.core.settings = replace(server.core.settings, version="1.17.0")
        await server.unseal()
        listed = await server.call(Operation.LIST, "sys/version-history/")
        assert listed is not None
        assert listed.data is not None
        assert listed.data["keys"] == ["1.16.0", "1.17.0"]
        assert listed.data["key_info"]["1.16.0"] == first
        assert listed.data["key_info"]["1.17.0"]["previous_version"] == "1.16.0"
    async with golden("vault-file", tmp_path) as (server, _):
        before = await server.open.barrier.get(VERSIONS + "1.16.0")
        assert [entry.version for entry in server.open.versions] == ["1.16.0"]
        assert await server.open.barrier.get(VERSIONS + "1.16.0") == before


async def test_the_server_says_where_it_is() -> None:
    async with fresh() as server:
        await server.core.seal()
        server.core.settings = replace(server.core.settings, api_address="http://a:1")
        await server.unseal()
        found = await server.read("sys/ha-status")
        assert found is not None
        assert found["nodes"][0]["api_address"] == "http://a:1"
        assert found["nodes"][0]["active_node"] is True
        host = await server.read("sys/host-info")
        assert host is not None
        assert host["memory"]["total"] >= host["memory"]["used"] > 0
        assert host["host"]["hostname"]
        assert host["host"]["os"] == "linux"
        assert len(host["cpu"]) == len(host["cpu_times"]) > 0


async def test_cross_origin_rules_outlive_a_restart() -> None:
    async with fresh() as server:
        assert await server.read("sys/config/cors") == {"enabled": False}
        rules = {"allowed_origins": "http://a,http://b", "allowed_headers": "X-My"}
        await server.call_update("sys/config/cors", rules)
        again = await restarted(server)
        shown = await again.read("sys/config/cors")
        assert shown is not None
        assert shown["enabled"] is True
        assert shown["allowed_origins"] == ["http://a", "http://b"]
        assert shown["allowed_headers"][-1] == "X-My"
        assert "X-Vault-Token" in shown["allowed_headers"]
        cors = again.core.cors
        assert cors is not None
        assert cors.admits("http://b")
        assert not cors.admits("http://b.evil")
        assert not cors.admits("*")
        for origins in ([], ["*", "http://x"]):
            with pytest.raises(InternalEngineError):
                await again.write("sys/config/cors", allowed_origins=origins)
        await again.write("sys/config/cors", allowed_origins="*")
        assert cors.admits("http://anybody")
        await again.delete("sys/config/cors")
        assert await again.read("sys/config/cors") == {"enabled": False}
        await again.core.seal()
        assert again.core.cors is None


async def test_headers_of_the_web_interface_are_kept_for_a_server_that_has_one() -> None:
    async with fresh() as server:
        await server.write("sys/config/ui/headers/x-foo", values=["a", "b"])
        assert await server.read("sys/config/ui/headers/X-Foo") == {"value": "a"}
        both = {"multivalue": "true"}
        many = await server.call(Operation.READ, "sys/config/ui/headers/X-FOO", both)
        assert many is not None
        assert many.data == {"values": ["a", "b"]}
        assert await server.open.barrier.get("sys/uiconfig") == b'{"headers":{"X-Foo":["a","b"]}}'
        assert await server.list("sys/config/ui/headers/") == ["X-Foo"]
        await asyncio.gather(
            *(server.write(f"sys/config/ui/headers/h{n}", values="v") for n in range(5))
        )
        assert len(await server.list("sys/config/ui/headers/")) == 6, "none is lost"
        await server.delete("sys/config/ui/headers/x-foo")
        assert await server.read("sys/config/ui/headers/x-foo") is None


async def test_the_catalogue_names_every_type_that_can_be_mounted() -> None:
    async with fresh() as server:
        found = await server.read("sys/plugins/catalog")
        assert found is not None
        for kind, table in (("auth", "sys/auth"), ("secret", "sys/mounts")):
            assert await server.list(f"sys/plugins/catalog/{kind}/") == found[kind]
            for name in found[kind]:
                await server.write(f"{table}/try-{name}", type=name)
                one = await server.read(f"sys/plugins/catalog/{kind}/{name}")
                assert one is not None
                assert one["builtin"] is True
        mounted = await server.read("sys/mounts/try-kv")
        listed = await server.read("sys/plugins/catalog/secret/kv")
        assert mounted is not None
        assert listed is not None
        assert mounted["running_plugin_version"] == listed["version"] == "v0.16.2+builtin"
        with pytest.raises(UnsupportedOperationError):
            await server.list("sys/plugins/catalog/nope/")


async def test_the_description_of_the_paths_needs_no_token_and_knows_them() -> None:
    async with fresh() as server:
        request = Request("id", Operation.READ, "sys/internal/specs/openapi")
        response = await server.core.handle(request)
        assert response is not None
        assert response.raw_body is not None
        paths = json.loads(response.raw_body)["paths"]
        assert set(paths["/sys/mounts/{path}"]) == {"get", "post", "delete", "parameters"}
        assert paths["/sys/seal"]["x-vault-sudo"] is True
        assert paths["/sys/internal/specs/openapi"]["x-vault-unauthenticated"] is True
        assert "post" in paths["/auth/token/create"]
        assert not [path for path in paths if set(path) & set("()?\\")], "no pattern is left"


def test_a_pattern_becomes_its_templates() -> None:
    assert templates("mounts/?") == ["mounts"]
    assert templates("role/(?P<name>[^/(]+)/id") == ["role/{name}/id"]
    assert templates("a(?:/(?P<s>x|y))?(?:/(?P<n>[^/|]+))?") == ["a", "a/{n}", "a/{s}", "a/{s}/{n}"]
    assert templates("raw(?:/(?P<path>.*))?") == ["raw", "raw/{path}"]
    assert templates("rotate(?:/keyring)?/config") == ["rotate/config", "rotate/keyring/config"]
