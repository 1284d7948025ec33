"""Shares cut by one server, used at another: the engine and a real OpenBao on one directory."""

import base64
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_openbao_interop import ok, opened, unseal
from tests.support.openbao import OpenBao, running
from tests.support.running import Running
from tests.support.shareholders import as_shares, put, rekey, verify
from zvault.base.clock import SystemClock
from zvault.engine.core import Core
from zvault.engine.settings import CoreSettings
from zvault.storage.file import FileStorage

ROTATE_ROOT = "sys/rotate/root"
pytestmark = pytest.mark.real("openbao-2.6.2")


async def end(server: Running) -> None:
    await server.core.shutdown()


def rotate_root(bao: OpenBao, token: str, keys: list[bytes], shares: int, threshold: int) -> Any:
    """OpenBao's own rekey, which since 2.6 asks for a token."""
    wish = {"secret_shares": shares, "secret_threshold": threshold}
    begun = ok(bao.request("POST", f"{ROTATE_ROOT}/init", wish, token))["data"]
    answer: dict[str, Any] = {}
    for key in keys:
        body = {"key": base64.b64encode(key).decode(), "nonce": begun["nonce"]}
        answer = ok(bao.request("POST", f"{ROTATE_ROOT}/update", body, token))["data"]
    return answer


@pytest.mark.parametrize("family", ["vault", "openbao"])
async def test_a_store_that_the_engine_rekeyed_and_rotated_opens_in_openbao_and_back(
    tmp_path: Path, family: str
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    core = Core(FileStorage.open(data), CoreSettings(family=family), clock=SystemClock())
    await core.start()
    made = await core.initialize(3, 2)
    root = made.root_token.reveal_text()
    server = Running(core, SystemClock(), [k.reveal() for k in made.keys], root)  # type: ignore[arg-type]
    await server.unseal()
    await server.write("sys/mounts/kv", type="kv")
    await server.write("kv/before", v=1)
    handed_out = await rekey(server, 5, 3, verified=True)
    await verify(server, handed_out, 3)
    await server.write("sys/rotate")
    await server.write("sys/rotate/config", enabled=True, interval="48h", max_operations=2_000_000)
    await server.write("kv/after", v=2)
    begun = await put(server, "generate-root/attempt")
    for key in handed_out["keys"][:3]:
        answer = await put(server, "generate-root/update", key=key, nonce=begun["nonce"])
    decoded = await put(
        server, "decode-token", encoded_token=answer["encoded_token"], otp=begun["otp"]
    )
    await end(server)
    shares = as_shares(handed_out)

    with running(tmp_path, data) as bao:
        old = [base64.b64encode(key.reveal()).decode() for key in made.keys]
        for key in old:
            status, body = bao.request("PUT", "sys/unseal", {"key": key})
        assert status == 400, body
        unseal(bao, shares[2:])
        state = bao.request("GET", "sys/seal-status")[1]
        assert (state["t"], state["n"]) == (3, 5)
        for token in (root, decoded["token"]):
            assert ok(bao.request("GET", "kv/before", token=token))["data"] == {"v": 1}
            assert ok(bao.request("GET", "kv/after", token=token))["data"] == {"v": 2}
        assert ok(bao.request("GET", "sys/key-status", token=root))["data"]["term"] == 2
        assert ok(bao.request("GET", "sys/rotate/config", token=root))["data"] == {
            "enabled": True,
            "interval": "48h0m0s",
            "max_operations": 2_000_000,
        }
        ok(bao.request("PUT", "sys/rotate", {}, root))
        ok(bao.request("POST", "kv/theirs", {"v": 3}, root))
        theirs = as_shares(rotate_root(bao, root, shares[:3], 4, 2))
        bao.stop()

    back = await opened(data, theirs[:2], root)
    assert await back.read("kv/theirs") == {"v": 3}
    assert await back.read("kv/after") == {"v": 2}
    found = await back.read("sys/key-status")
    assert found is not None
    assert found["term"] == 3
    # What OpenBao cut is a quorum for the engine's own rekey.
    back.keys = theirs[:2]
    mine = as_shares(await rekey(back, 1, 1))
    await end(back)
    with running(tmp_path, data) as bao:
        unseal(bao, mine)
        assert ok(bao.request("GET", "kv/theirs", token=root))["data"] == {"v": 3}
