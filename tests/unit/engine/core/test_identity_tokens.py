"""Identity tokens: who gets one, what is in it, and how long it can be checked."""

import base64
import json
from typing import Any

import pytest

from tests.support.running import Running, fresh, restarted
from zvault.crypto import jwk, jws
from zvault.engine.api import Operation
from zvault.engine.errors import InvalidRequestError, NotFoundInEngineError

HOUR = 3600


async def ready(server: Running, **role: Any) -> str:
    """A key, a role that signs with it, and the token of a user with an entity."""
    await server.write("sys/auth/up", type="userpass")
    await server.write("auth/up/users/ann", password="pw", token_policies="all")
    await server.policy("all", 'path "identity/*" { capabilities = ["read", "update"] }')
    await server.write("identity/oidc/key/k", algorithm="ES256", allowed_client_ids="*")
    await server.write("identity/oidc/role/r", key="k", **role)
    answer = await server.call_update("auth/up/login/ann", {"password": "pw"}, "")
    assert answer is not None
    assert answer.auth is not None
    return answer.auth.client_token


async def raw(server: Running, path: str, body: Any = None) -> dict[str, Any]:
    operation = Operation.READ if body is None else Operation.UPDATE
    answer = await server.call(operation, path, body, "" if "well-known" in path else None)
    assert answer is not None
    assert answer.raw_body is not None
    found: dict[str, Any] = json.loads(answer.raw_body)
    return found


async def issue(server: Running, token: str, role: str = "r") -> str:
    data = await server.read(f"identity/oidc/token/{role}", token)
    assert data is not None
    return str(data["token"])


async def checked(server: Running, text: str) -> dict[str, Any]:
    """The claims, verified with what is published to anybody."""
    token = jws.parse(text, jws.ALGORITHMS)
    published = (await raw(server, "identity/oidc/.well-known/keys"))["keys"]
    (key,) = [key for key in published if key["kid"] == token.key_id]
    assert key["alg"] == token.algorithm
    jws.verify(token, jwk.public_key(key))
    claims: dict[str, Any] = json.loads(token.payload)
    return claims


async def is_active(server: Running, text: str, **more: str) -> bool:
    found = await raw(server, "identity/oidc/introspect", {"token": text, **more})
    return bool(found["active"])


async def test_a_token_says_who_asked_and_anybody_can_check_it() -> None:
    async with fresh(api_address="https://vault.example:8200") as server:
        token = await ready(server, ttl="30m")
        me = await server.read("auth/token/lookup-self", token)
        role = await server.read("identity/oidc/role/r")
        assert me is not None
        assert role is not None
        now = server.clock.now_ns() // 10**9
        assert await checked(server, await issue(server, token)) == {
            "aud": role["client_id"],
            "exp": now + 1800,
            "iat": now,
            "iss": "https://vault.example:8200/v1/identity/oidc",
            "namespace": "root",
            "sub": me["entity_id"],
        }
        found = await raw(server, "identity/oidc/.well-known/openid-configuration")
        assert found["issuer"] == "https://vault.example:8200/v1/identity/oidc"
        await server.write("identity/oidc/config", issuer="https://id.example")
        claims = await checked(server, await issue(server, token))
        assert claims["iss"] == "https://id.example/v1/identity/oidc"


async def test_nothing_private_is_ever_published() -> None:
    async with fresh() as server:
        await ready(server)
        for algorithm in ("RS256", "EdDSA"):
            await server.write(f"identity/oidc/key/{algorithm}", algorithm=algorithm)
            await server.write(f"identity/oidc/role/{algorithm}", key=algorithm)
        published = (await raw(server, "identity/oidc/.well-known/keys"))["keys"]
        assert len(published) == 6
        for key in published:
            assert not key.keys() & {"d", "p", "q", "dp", "dq", "qi"}
        shown = await server.read("identity/oidc/key/k")
        assert shown is not None
        assert shown.keys() == {
            "algorithm",
            "allowed_client_ids",
            "rotation_period",
            "verification_ttl",
        }


async def test_the_root_token_a_foreign_client_and_a_disabled_entity_get_none() -> None:
    async with fresh() as server:
        token = await ready(server)
        with pytest.raises(InvalidRequestError, match="no entity"):
            await server.read("identity/oidc/token/r")
        await server.write("identity/oidc/key/k", allowed_client_ids=["somebody"])
        with pytest.raises(InvalidRequestError, match="allowed client"):
            await issue(server, token)
        await server.write("identity/oidc/key/k", allowed_client_ids=["*"])
        text = await issue(server, token)
        assert await is_active(server, text)
        me = await server.read("auth/token/lookup-self", token)
        assert me is not None
        await server.write(f"identity/entity/id/{me['entity_id']}", disabled=True)
        assert not await is_active(server, text)
        await server.delete(f"identity/entity/id/{me['entity_id']}")
        assert not await is_active(server, text)


async def test_introspection_believes_only_our_own_living_tokens() -> None:
    async with fresh() as server:
        token = await ready(server, ttl="30m", client_id="me")
        text = await issue(server, token)
        assert await is_active(server, text, client_id="me")
        assert not await is_active(server, text, client_id="you")
        head, body, signature = text.split(".")
        claims = json.loads(base64.urlsafe_b64decode(body + "=="))
        claims["sub"] = "somebody"
        forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
        assert not await is_active(server, f"{head}.{forged}.{signature}")
        assert not await is_active(server, f"{head}.{body}.")
        server.clock.advance(1800 + 61)
        assert not await is_active(server, text)


async def test_a_rotated_key_is_published_until_its_last_token_has_expired() -> None:
    async with fresh() as server:
        token = await ready(server, ttl="1h")
        await server.write("identity/oidc/key/k", rotation_period="2h", verification_ttl="3h")
        old = await issue(server, token)
        server.clock.advance(2 * HOUR)
        new = await issue(server, token)
        kids = [jws.parse(text, jws.ALGORITHMS).key_id for text in (old, new)]
        assert kids[0] != kids[1]
        published = (await raw(server, "identity/oidc/.well-known/keys"))["keys"]
        assert {key["kid"] for key in published} >= set(kids)
        again = await restarted(server)
        assert {k["kid"] for k in (await raw(again, "identity/oidc/.well-known/keys"))["keys"]} == {
            key["kid"] for key in published
        }
        again.clock.advance(3 * HOUR - 1)
        published = (await raw(again, "identity/oidc/.well-known/keys"))["keys"]
        assert kids[0] in {key["kid"] for key in published}
        again.clock.advance(1)
        published = (await raw(again, "identity/oidc/.well-known/keys"))["keys"]
        assert kids[0] not in {key["kid"] for key in published}
        stored = await again.open.barrier.list(f"{prefix(again)}oidc_tokens/public_keys/")
        assert kids[0] not in stored
        await again.core.seal()


async def test_rotating_with_no_verification_ttl_ends_the_old_key_at_once() -> None:
    async with fresh() as server:
        token = await ready(server)
        text = await issue(server, token)
        await server.write("identity/oidc/key/k/rotate", verification_ttl=0)
        assert not await is_active(server, text)
        assert await is_active(server, await issue(server, token))


async def test_another_algorithm_means_other_keys_and_the_old_ones_expire() -> None:
    async with fresh() as server:
        token = await ready(server)
        old = await issue(server, token)
        await server.write("identity/oidc/key/k", algorithm="EdDSA")
        assert jws.parse(await issue(server, token), jws.ALGORITHMS).algorithm == "EdDSA"
        await checked(server, old)
        server.clock.advance(24 * HOUR)
        algorithms = [
            key["alg"] for key in (await raw(server, "identity/oidc/.well-known/keys"))["keys"]
        ]
        assert set(algorithms) == {"EdDSA"}


async def test_the_default_key_is_there_and_made_when_it_is_needed() -> None:
    async with fresh() as server:
        token = await ready(server)
        assert await server.list("identity/oidc/key") == ["default", "k"]
        stored = await server.open.barrier.list(f"{prefix(server)}oidc_tokens/named_keys/")
        assert stored == ["k"]
        await server.write("identity/oidc/role/d", key="default")
        claims = await checked(server, await issue(server, token, "d"))
        assert claims["sub"]
        with pytest.raises(InvalidRequestError):
            await server.delete("identity/oidc/key/default")


def prefix(server: Running) -> str:
    (entry,) = [e for e in server.open.mounts.entries("mounts") if e.type == "identity"]
    return entry.view_prefix


async def test_the_issuer_is_stored_where_real_servers_look_for_it() -> None:
    async with fresh() as server:
        await server.write("identity/oidc/config", issuer="https://id.example")
        key = f"{prefix(server)}oidc_tokens/config"
        barrier = server.open.barrier
        record = await server.core.storage.get(key)
        assert record is not None
        assert json.loads(barrier.decrypt(key + "/", record)) == {"issuer": "https://id.example"}
        again = await restarted(server)
        assert await again.read("identity/oidc/config") == {"issuer": "https://id.example"}
        await again.core.seal()


async def test_no_name_or_metadata_adds_a_claim_to_a_template() -> None:
    template = '{"user": {"name": {{identity.entity.name}}, "m": {{identity.entity.metadata}} } }'
    async with fresh() as server:
        token = await ready(server, template=template)
        me = await server.read("auth/token/lookup-self", token)
        assert me is not None
        evil = 'x", "admin": true, "sub": "root'
        await server.write(
            f"identity/entity/id/{me['entity_id']}", name=evil, metadata={'k"': '"},{{time.now}}'}
        )
        claims = await checked(server, await issue(server, token))
        assert claims["user"] == {"name": evil, "m": {'k"': '"},{{time.now}}'}}
        assert claims["sub"] == me["entity_id"]
        assert "admin" not in claims


async def test_keys_in_use_and_unknown_paths_are_refused() -> None:
    async with fresh() as server:
        await ready(server)
        with pytest.raises(InvalidRequestError, match="referenced by these roles: r"):
            await server.delete("identity/oidc/key/k")
        await server.delete("identity/oidc/role/r")
        await server.delete("identity/oidc/key/k")
        assert await server.read("identity/oidc/key/k") is None
        assert await server.open.barrier.list(f"{prefix(server)}oidc_tokens/public_keys/") == []
        with pytest.raises(NotFoundInEngineError):
            await server.read("identity/oidc/.well-known/nope", "")
