"""Policies written, read, listed, compiled; capabilities asked for."""

import base64
from typing import Any

import pytest

from tests.support.running import fresh, restarted
from zvault.engine.api import Operation
from zvault.engine.errors import (
    EngineError,
    InternalEngineError,
    InvalidRequestError,
    PermissionDeniedError,
)
from zvault.storage.api import Put
from zvault.storage.errors import DiskFullError

TEXT = 'path "kv/*" { capabilities = ["read"] }'


async def test_a_policy_is_given_back_byte_for_byte() -> None:
    async with fresh() as server:
        odd = '\n# comment <&>\npath "kv/*" {\n  capabilities = ["read"]  }\n\n'
        for name, text in (
            ("a", odd),
            ("b/c", TEXT),
            ("json", '{"path":{"x":{"capabilities":["read"]}}}'),
        ):
            await server.policy(name, text)
            assert await server.read(f"sys/policies/acl/{name}") == {"name": name, "policy": text}
            assert await server.read(f"sys/policy/{name}") == {"name": name, "rules": text}
        again = await restarted(server)
        assert await again.list("sys/policies/acl/") == ["a", "b/c", "default", "json", "root"]
        await again.core.seal()


async def test_base64_is_decoded_and_names_become_lower_case() -> None:
    async with fresh() as server:
        encoded = base64.b64encode(TEXT.encode()).decode()
        response = await server.write("sys/policies/acl/App", policy=encoded)
        assert response is not None
        assert "was converted to" in response.warnings[0]
        found = await server.read("sys/policies/acl/app")
        assert found is not None
        assert found["policy"] == TEXT


async def test_the_old_field_is_taken_with_a_warning() -> None:
    async with fresh() as server:
        response = await server.write("sys/policy/x", rules=TEXT)
        assert response is not None
        assert "deprecated" in response.warnings[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('path "x" { capabilities = ["fly"] }', 'invalid capability "fly"'),
        ('path "x" {', "failed to parse policy"),
        ('pth "x" { }', 'invalid key "pth"'),
        ('path "x" { nope = 1 }', 'invalid key "nope"'),
        ('path "x+*" { capabilities=["read"] }', "'+*' is forbidden"),
        ('path "x" { min_wrapping_ttl = "1h" max_wrapping_ttl = "1m" }', "cannot be less"),
        ('path "a/{{identity.entity.id}" { }', "unbalanced templating characters"),
        ('path "a" { capabilities = "read" }', "must be a list of strings"),
        ('path "a" { capabilities = ["deny"] allowed_parameters = "x" }', "must be a block"),
    ],
)
async def test_a_policy_that_does_not_parse_is_refused_and_not_stored(
    text: str, words: str
) -> None:
    async with fresh() as server:
        with pytest.raises(InvalidRequestError) as caught:
            await server.policy("bad", text)
        assert words in str(caught.value)
        assert await server.read("sys/policies/acl/bad") is None


async def test_what_cannot_be_changed() -> None:
    async with fresh() as server:
        for name in ("root", "response-wrapping", "control-group"):
            with pytest.raises(InvalidRequestError, match=f'cannot update "{name}" policy'):
                await server.policy(name, TEXT)
            with pytest.raises(InvalidRequestError, match=f'cannot delete "{name}" policy'):
                await server.delete(f"sys/policies/acl/{name}")
        with pytest.raises(InvalidRequestError, match="cannot delete default policy"):
            await server.delete("sys/policies/acl/default")
        with pytest.raises(InvalidRequestError, match="not supplied or empty"):
            await server.write("sys/policies/acl/empty")
        assert await server.read("sys/policies/acl/root") == {"name": "root", "policy": ""}
        assert await server.read("sys/policies/acl/control-group") is None
        shown = await server.read("sys/policies/acl/response-wrapping")
        assert shown is not None
        assert "cubbyhole/response" in shown["policy"]
        await server.policy("default", TEXT)
        found = await server.read("sys/policies/acl/default")
        assert found is not None
        assert found["policy"] == TEXT


async def test_an_edited_default_stays_edited_and_a_missing_one_is_made() -> None:
    async with fresh() as server:
        await server.policy("default", TEXT)
        again = await restarted(server)
        found = await again.read("sys/policies/acl/default")
        assert found is not None
        assert found["policy"] == TEXT
        await again.core.seal()


async def test_two_stanzas_of_one_path_add_up_and_a_deny_is_never_lost() -> None:
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv")
        await server.policy(
            "p", 'path "kv/a" { capabilities = ["deny"] }\npath "kv/a" { capabilities = ["read"] }'
        )
        token = await server.token(policies=["p"])
        with pytest.raises(PermissionDeniedError):
            await server.read("kv/a", token)


async def test_a_stored_policy_that_does_not_parse_refuses_rather_than_ignores() -> None:
    async with fresh() as server:
        token = await server.token(policies=["p", "default"])
        record = server.open.barrier.encrypt("sys/policy/p", b'{"Version":2,"Raw":"path {"}')
        await server.core.storage.apply([Put("sys/policy/p", record)])
        again = await restarted(server)
        with pytest.raises(EngineError, match="stored policy 'p' does not parse"):
            await again.read("auth/token/lookup-self", token)
        assert await again.alive(again.root)
        await again.core.seal()


async def test_capabilities_are_what_the_rules_give() -> None:
    async with fresh() as server:
        await server.policy(
            "p",
            'path "kv/*" { capabilities = ["create", "read", "update"] }\n'
            'path "kv/no" { capabilities = ["deny"] }\n'
            'path "meta/+/x" { capabilities = ["list", "read"] }',
        )
        response = await server.write("auth/token/create", policies=["p"])
        assert response is not None
        assert response.auth is not None
        token, accessor = response.auth.client_token, response.auth.accessor
        paths = ["kv/a", "kv/no", "meta/q/x", "nope"]
        found = await server.write("sys/capabilities-self", token, paths=paths)
        assert found is not None
        assert found.data == {
            "kv/a": ["create", "read", "update"],
            "kv/no": ["deny"],
            "meta/q/x": ["list", "read"],
            "nope": ["deny"],
        }
        for path, data in (
            ("sys/capabilities", {"token": token, "path": "kv/a"}),
            ("sys/capabilities-accessor", {"accessor": accessor, "path": "kv/a"}),
        ):
            found = await server.call(Operation.UPDATE, path, data)
            assert found is not None
            assert found.data is not None
            assert found.data["capabilities"] == ["create", "read", "update"]
        root = await server.write("sys/capabilities-self", paths=["x"])
        assert root is not None
        assert root.data == {"x": ["root"], "capabilities": ["root"]}
        with pytest.raises(InvalidRequestError, match="paths must be supplied"):
            await server.write("sys/capabilities-self")
        with pytest.raises(InvalidRequestError, match="invalid token"):
            await server.call(Operation.UPDATE, "sys/capabilities", {"token": "no", "path": "x"})
        with pytest.raises(InvalidRequestError, match="invalid accessor"):
            await server.write("sys/capabilities-accessor", accessor="no", paths=["x"])


@pytest.mark.parametrize("operation", [Operation.UPDATE, Operation.DELETE])
async def test_a_change_that_reports_failure_and_came_through_counts(operation: Operation) -> None:
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv")
        await server.policy("p", 'path "kv/*" { capabilities = ["list", "read"] }')
        token = await server.token(policies=["p"])
        await server.read("kv/a", token)
        storage = server.core.storage
        apply = storage.apply

        async def broken(operations: Any) -> None:
            await apply(operations)
            raise DiskFullError("no space left", provider="test", store="memory", key="k")

        storage.apply = broken  # type: ignore[method-assign]
        denying = {"policy": 'path "kv/*" { capabilities = ["deny"] }'}
        with pytest.raises(InternalEngineError):
            await server.call(operation, "sys/policies/acl/p", denying)
        with pytest.raises(PermissionDeniedError):
            await server.read("kv/a", token)
