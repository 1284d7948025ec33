"""One store, two servers in turn: the engine and a real OpenBao 2.6.2 on the same directory."""

import base64
from pathlib import Path
from typing import Any

import pytest

from tests.support.openbao import OpenBao, running
from tests.support.running import Running
from zvault.base.clock import SystemClock
from zvault.engine.core import Core
from zvault.engine.settings import CoreSettings
from zvault.storage.file import FileStorage

pytestmark = pytest.mark.real("openbao-2.6.2")

POLICY = """
path "secret/data/app/*" { capabilities = ["create", "read", "update", "delete"] }
path "auth/token/create" { capabilities = ["update"] }
"""


def unseal(bao: OpenBao, keys: list[bytes]) -> None:
    """Submit shares to OpenBao and wait until it serves."""
    state: dict[str, Any] = {"sealed": True}
    for key in keys:
        if state["sealed"]:
            status, state = bao.request(
                "PUT", "sys/unseal", {"key": base64.b64encode(key).decode()}
            )
            assert status == 200, state
    assert state["sealed"] is False
    for _ in range(100):
        if bao.request("GET", "sys/health")[0] == 200:
            return
    raise AssertionError("OpenBao did not become healthy")


def ok(answer: tuple[int, dict[str, Any]]) -> dict[str, Any]:
    """The body of an answer that succeeded."""
    status, body = answer
    assert status in (200, 204), body
    return body


async def engine(data: Path, family: str = "vault") -> Core:
    """The engine on a directory; sealed."""
    settings = CoreSettings(family=family, max_lease_ttl_ns=87_600 * 3600 * 10**9)
    core = Core(FileStorage.open(data), settings, clock=SystemClock())
    await core.start()
    return core


async def opened(data: Path, keys: list[bytes], root: str) -> Running:
    """The engine on a directory; unsealed."""
    server = Running(await engine(data), SystemClock(), keys, root)  # type: ignore[arg-type]
    await server.unseal()
    return server


async def engine_fills(server: Running) -> dict[str, Any]:
    """Mounts, policy, secrets, AppRole, tokens and an entity, made by the engine."""
    await server.write("sys/mounts/secret", type="kv-v2", description="by the engine")
    await server.write("sys/mounts/old", type="kv", options={"version": "1"})
    await server.write("sys/auth/approle", type="approle")
    await server.policy("app", POLICY)
    for number in range(3):
        await server.write("secret/data/app/a", data={"n": number, "t": "<&>é"})
    await server.write("secret/delete/app/a", versions=[2])
    await server.write("secret/data/app/deep/er", data={"f": 0.5})
    await server.write("old/x", v="1", ttl="1h")
    await server.write("auth/approle/role/web", token_policies=["app"], token_ttl="10h")
    role = await server.read("auth/approle/role/web/role-id")
    secret = await server.write("auth/approle/role/web/secret-id")
    assert role is not None
    assert secret is not None
    assert secret.data is not None
    login = await server.write(
        "auth/approle/login", "", role_id=role["role_id"], secret_id=secret.data["secret_id"]
    )
    assert login is not None
    assert login.auth is not None
    token = await server.token(policies=["app"], ttl="5h", meta={"who": "engine"})
    child = await server.token(token, ttl="1h")
    custom = await server.token(id="customid", policies=["app"], ttl="5h")
    revoked = await server.token(policies=["app"])
    await server.write("cubbyhole/mine", token, v="private")
    await server.revoke(revoked)
    return {
        "role_id": role["role_id"],
        "secret_id": secret.data["secret_id"],
        "login": login.auth.client_token,
        "entity": login.auth.entity_id,
        "token": token,
        "child": child,
        "custom": custom,
        "revoked": revoked,
    }


def openbao_finds(bao: OpenBao, made: dict[str, Any], root: str) -> None:
    """OpenBao finds all that the engine has made."""
    for number, expected in ((1, 0), (3, 2)):
        body = ok(bao.request("GET", f"secret/data/app/a?version={number}", token=made["token"]))
        assert body["data"]["data"] == {"n": expected, "t": "<&>é"}
    assert bao.request("GET", "secret/data/app/a?version=2", token=root)[0] == 404
    assert ok(bao.request("GET", "secret/data/app/deep/er", token=made["login"]))["data"][
        "data"
    ] == {"f": 0.5}
    listed = ok(bao.request("GET", "secret/metadata/app?list=true", token=root))
    assert listed["data"]["keys"] == ["a", "deep/"]
    assert ok(bao.request("GET", "old/x", token=root))["data"] == {"v": "1", "ttl": "1h"}
    policy = ok(bao.request("GET", "sys/policies/acl/app", token=root))
    assert policy["data"]["policy"] == POLICY
    for name in ("login", "token", "child", "custom"):
        found = ok(bao.request("GET", "auth/token/lookup-self", token=made[name]))["data"]
        assert "app" in found["policies"]
        assert found["ttl"] > 0
    found = ok(bao.request("GET", "auth/token/lookup-self", token=made["login"]))["data"]
    assert found["entity_id"] == made["entity"]
    assert found["meta"] == {"role_name": "web"}
    entity = ok(bao.request("GET", f"identity/entity/id/{made['entity']}", token=root))["data"]
    assert [alias["name"] for alias in entity["aliases"]] == [made["role_id"]]
    assert bao.request("GET", "auth/token/lookup-self", token=made["revoked"])[0] == 403
    own = ok(bao.request("GET", "cubbyhole/mine", token=made["token"]))
    assert own["data"] == {"v": "private"}
    again = ok(
        bao.request(
            "PUT",
            "auth/approle/login",
            {"role_id": made["role_id"], "secret_id": made["secret_id"]},
        )
    )
    assert again["auth"]["entity_id"] == made["entity"]


def openbao_goes_on(bao: OpenBao, made: dict[str, Any], root: str) -> dict[str, Any]:
    """OpenBao renews, revokes, writes; what it changed."""
    ok(bao.request("PUT", "auth/token/renew-self", {}, made["token"]))
    ok(bao.request("PUT", "auth/token/revoke", {"token": made["login"]}, root))
    ok(bao.request("PUT", "secret/data/app/b", {"data": {"by": "bao"}}, made["token"]))
    body = ok(bao.request("PUT", "auth/token/create", {"policies": ["app"], "ttl": "2h"}, root))
    secret = ok(bao.request("PUT", "auth/approle/role/web/secret-id", {}, root))["data"]
    ok(bao.request("PUT", "sys/rotate", {}, root))
    ok(bao.request("PUT", "secret/data/app/c", {"data": {"after": "rotate"}}, root))
    return {"token": body["auth"]["client_token"], "secret_id": secret["secret_id"]}


@pytest.mark.row("C6")
@pytest.mark.parametrize("family", ["vault", "openbao"])
async def test_a_store_the_engine_made_goes_to_openbao_and_back(
    tmp_path: Path, family: str
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    core = await engine(data, family)
    outcome = await core.initialize(5, 3)
    keys = [key.reveal() for key in outcome.keys]
    root = outcome.root_token.reveal_text()
    server = Running(core, SystemClock(), keys[:3], root)  # type: ignore[arg-type]
    await server.unseal()
    made = await engine_fills(server)
    await core.shutdown()

    with running(tmp_path, data) as bao:
        unseal(bao, keys[2:])
        openbao_finds(bao, made, root)
        changed = openbao_goes_on(bao, made, root)
        bao.stop()

    server = await opened(data, keys[1:4], root)
    assert not await server.alive(made["login"])
    for token in (made["token"], made["child"], made["custom"], changed["token"]):
        assert await server.alive(token)
    for path, expected in (("b", {"by": "bao"}), ("c", {"after": "rotate"})):
        found = await server.read(f"secret/data/app/{path}", changed["token"])
        assert found is not None
        assert found["data"] == expected
    for secret_id in (made["secret_id"], changed["secret_id"]):
        login = await server.write(
            "auth/approle/login", "", role_id=made["role_id"], secret_id=secret_id
        )
        assert login is not None
        assert login.auth is not None
        assert login.auth.entity_id == made["entity"]
    await server.revoke(made["token"])
    assert not await server.alive(made["child"])
    await server.core.shutdown()

    with running(tmp_path, data) as bao:
        unseal(bao, keys[:3])
        for token in (made["token"], made["child"], made["login"]):
            assert bao.request("GET", "auth/token/lookup-self", token=token)[0] == 403
        ok(bao.request("GET", "auth/token/lookup-self", token=changed["token"]))
        ok(bao.request("GET", "secret/data/app/c", token=changed["token"]))


@pytest.mark.row("C6")
async def test_openbao_fills_the_engine_serves_and_openbao_finds_all_again(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with running(tmp_path, data) as bao:
        init = ok(bao.request("PUT", "sys/init", {"secret_shares": 5, "secret_threshold": 3}))
        keys = [base64.b64decode(key) for key in init["keys_base64"]]
        root = init["root_token"]
        unseal(bao, keys[:3])
        ok(bao.request("PUT", "sys/mounts/secret", {"type": "kv-v2"}, root))
        ok(bao.request("PUT", "sys/auth/approle", {"type": "approle"}, root))
        ok(bao.request("PUT", "sys/policies/acl/app", {"policy": POLICY}, root))
        ok(bao.request("PUT", "secret/data/app/one", {"data": {"by": "bao"}}, root))
        role = {"token_policies": "app", "token_ttl": "10h", "secret_id_num_uses": 3}
        ok(bao.request("PUT", "auth/approle/role/web", role, root))
        role_id = ok(bao.request("GET", "auth/approle/role/web/role-id", token=root))["data"]
        secret = ok(bao.request("PUT", "auth/approle/role/web/secret-id", {}, root))["data"]
        credentials = {"role_id": role_id["role_id"], "secret_id": secret["secret_id"]}
        login = ok(bao.request("PUT", "auth/approle/login", credentials))["auth"]
        token = ok(bao.request("PUT", "auth/token/create", {"policies": ["app"]}, root))["auth"]
        bao.stop()

    server = await opened(data, keys[:3], root)
    assert server.open.barrier.family == "openbao"
    for known in (login["client_token"], token["client_token"]):
        found = await server.read("secret/data/app/one", known)
        assert found is not None
        assert found["data"] == {"by": "bao"}
    second = await server.write("auth/approle/login", "", **credentials)
    assert second is not None
    assert second.auth is not None
    assert second.auth.client_token.startswith("s.")
    assert second.auth.entity_id == login["entity_id"]
    await server.write("secret/data/app/one", token["client_token"], data={"by": "engine"})
    own = await server.token(token["client_token"], policies=["app"], ttl="1h")
    fresh_secret = await server.write("auth/approle/role/web/secret-id", num_uses=1)
    assert fresh_secret is not None
    assert fresh_secret.data is not None
    await server.write("sys/mounts/more", type="kv")
    await server.write("more/x", v=1)
    await server.core.shutdown()

    with running(tmp_path, data) as bao:
        unseal(bao, keys[2:])
        for known in (
            login["client_token"],
            token["client_token"],
            second.auth.client_token,
            own,
        ):
            body = ok(bao.request("GET", "secret/data/app/one", token=known))
            assert body["data"]["data"] == {"by": "engine"}
            assert body["data"]["metadata"]["version"] == 2
        assert ok(bao.request("GET", "more/x", token=root))["data"] == {"v": 1}
        ok(bao.request("PUT", "auth/approle/login", credentials))
        assert bao.request("PUT", "auth/approle/login", credentials)[0] == 400
        once = {**credentials, "secret_id": fresh_secret.data["secret_id"]}
        ok(bao.request("PUT", "auth/approle/login", once))
        assert bao.request("PUT", "auth/approle/login", once)[0] == 400
        ok(bao.request("PUT", "auth/token/revoke", {"token": token["client_token"]}, root))
        assert bao.request("GET", "auth/token/lookup-self", token=own)[0] == 403
