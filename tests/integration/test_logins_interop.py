"""Users, JWT roles and identity tokens in one store, served by engine and OpenBao in turn."""

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.integration.test_openbao_interop import engine, ok, opened, unseal
from tests.support.openbao import OpenBao, running
from tests.support.running import Running
from zvault.base.clock import SystemClock
from zvault.crypto import jws
from zvault.engine.api import Operation

pytestmark = pytest.mark.real("openbao-2.6.2")
KEY = ec.generate_private_key(ec.SECP256R1())
PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
ISSUER = "https://id.example"
WRITES: list[tuple[str, Any]] = [
    ("sys/auth/up", {"type": "userpass"}),
    ("sys/auth/up/tune", {"user_lockout_config": {"lockout_threshold": 7}}),
    ("auth/up/users/ann", {"password": "geheim", "policies": "id", "ttl": "1h"}),
    ("sys/policies/acl/id", {"policy": 'path "identity/*" { capabilities = ["read"] }'}),
    ("sys/auth/j", {"type": "jwt"}),
    ("auth/j/config", {"jwt_validation_pubkeys": PEM}),
    (
        "auth/j/role/r",
        {
            "role_type": "jwt",
            "user_claim": "sub",
            "bound_audiences": "a",
            "bound_claims": {"n": [1, "x"]},
            "claim_mappings": {"team": "t"},
        },
    ),
    ("identity/oidc/config", {"issuer": ISSUER}),
    ("identity/oidc/key/ec", {"algorithm": "ES256", "allowed_client_ids": "*"}),
    ("identity/oidc/key/rsa", {"allowed_client_ids": "*"}),
    ("identity/oidc/key/ed", {"algorithm": "EdDSA", "allowed_client_ids": "*"}),
    *[(f"identity/oidc/role/{name}", {"key": name}) for name in ("ec", "rsa", "ed")],
    ("identity/oidc/key/ec/rotate", {}),
]


def assertion() -> str:
    claims = {"sub": "bob", "aud": "a", "n": 1, "team": "blue", "iat": int(time.time())}
    return jws.sign(KEY, "ES256", "", json.dumps(claims).encode())


def kid(token: str) -> str:
    return jws.parse(token, jws.ALGORITHMS).key_id


async def engine_uses(server: Running, before: dict[str, Any]) -> dict[str, Any]:
    """Log in both ways, issue tokens, look at those of the other server."""

    async def login(path: str, body: dict[str, Any]) -> Any:
        answer = await server.call_update(path, body, "")
        assert answer is not None
        assert answer.auth is not None
        return answer.auth

    user = await login("auth/up/login/ANN", {"password": "geheim"})
    signed = await login("auth/j/login", {"role": "r", "jwt": assertion()})
    assert signed.metadata == {"role": "r", "t": "blue"}
    tokens = {}
    for name in ("ec", "rsa", "ed"):
        data = await server.read(f"identity/oidc/token/{name}", user.client_token)
        assert data is not None
        tokens[name] = data["token"]
    for token in (*tokens.values(), *before.get("tokens", {}).values()):
        answer = await server.call(Operation.UPDATE, "identity/oidc/introspect", {"token": token})
        assert answer is not None
        assert answer.raw_body is not None
        assert json.loads(answer.raw_body) == {"active": True}
    shown = await server.read("auth/up/users/ann")
    assert shown is not None
    return {
        "entities": [user.entity_id, signed.entity_id],
        "tokens": tokens,
        "policies": shown["policies"],
    }


def bao_uses(bao: OpenBao, root: str, before: dict[str, Any]) -> dict[str, Any]:
    user = ok(bao.request("POST", "auth/up/login/ann", {"password": "geheim"}))["auth"]
    signed = ok(bao.request("POST", "auth/j/login", {"role": "r", "jwt": assertion()}))["auth"]
    assert signed["metadata"] == {"role": "r", "t": "blue"}
    tokens = {
        name: ok(bao.request("GET", f"identity/oidc/token/{name}", None, user["client_token"]))[
            "data"
        ]["token"]
        for name in ("ec", "rsa", "ed")
    }
    for token in (*tokens.values(), *before.get("tokens", {}).values()):
        assert bao.request("POST", "identity/oidc/introspect", {"token": token}, root) == (
            200,
            {"active": True},
        )
    tuned = ok(bao.request("GET", "sys/auth/up/tune", None, root))["data"]
    assert tuned["user_lockout_threshold"] == 7
    shown = ok(bao.request("GET", "auth/up/users/ann", None, root))["data"]
    return {
        "entities": [user["entity_id"], signed["entity_id"]],
        "tokens": tokens,
        "policies": shown["policies"],
    }


def assert_same_people(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one["entities"] == other["entities"]
    assert one["policies"] == other["policies"] == ["id"]
    for name in ("ec", "rsa", "ed"):
        assert kid(one["tokens"][name]) == kid(other["tokens"][name])
        body = one["tokens"][name].split(".")[1]
        assert json.loads(base64.urlsafe_b64decode(body + "=="))["iss"] == (
            f"{ISSUER}/v1/identity/oidc"
        )


async def test_openbao_knows_the_people_of_a_store_that_the_engine_wrote(tmp_path: Path) -> None:
    data = tmp_path / "data"
    core = await engine(data, family="openbao")
    made = await core.initialize(1, 1)
    keys = [key.reveal() for key in made.keys]
    root = made.root_token.reveal_text()
    server = Running(core, SystemClock(), keys, root)  # type: ignore[arg-type]
    await server.unseal()
    for path, body in WRITES:
        await server.call_update(path, body)
    mine = await engine_uses(server, {})
    await core.shutdown()
    with running(tmp_path, data) as bao:
        unseal(bao, keys)
        theirs = bao_uses(bao, root, mine)
        bao.stop()
    assert_same_people(mine, theirs)
    again = await opened(data, keys, root)
    assert_same_people(await engine_uses(again, theirs), mine)
    await again.core.shutdown()


async def test_the_engine_knows_the_people_of_a_store_that_openbao_wrote(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(tmp_path, data) as bao:
        body = {"secret_shares": 1, "secret_threshold": 1}
        made = ok(bao.request("PUT", "sys/init", body))
        keys, root = [bytes.fromhex(made["keys"][0])], made["root_token"]
        unseal(bao, keys)
        for path, body in WRITES:
            ok(bao.request("POST", path, body, root))
        theirs = bao_uses(bao, root, {})
        bao.stop()
    server = await opened(data, keys, root)
    assert_same_people(await engine_uses(server, theirs), theirs)
    await server.core.shutdown()
