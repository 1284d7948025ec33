"""Rekey: what a quorum of shares may do, and what works before and after."""

import base64
from pathlib import Path

import orjson
import pytest

from tests.support.running import fresh, golden, restarted
from tests.support.shareholders import as_shares, ask, get, put, rekey, verify
from zvault.barrier.paths import SEAL_CONFIG, UNSEAL_KEYS_BACKUP
from zvault.barrier.rekey import settle
from zvault.engine.api import Operation
from zvault.engine.errors import EngineError, EngineSealedError, InvalidRequestError
from zvault.storage.api import Put

NOTHING = {
    "nonce": "",
    "started": False,
    "t": 0,
    "n": 0,
    "progress": 0,
    "required": 2,
    "pgp_fingerprints": None,
    "backup": False,
    "verification_required": False,
}


async def test_new_shares_replace_the_old_ones_and_the_data_stays() -> None:
    async with fresh(shares=3, threshold=2) as server:
        await server.write("sys/mounts/kv", type="kv")
        await server.write("kv/a", v=1)
        answer = await rekey(server, 7, 4)
        assert answer["complete"] is True
        assert len(set(answer["keys"])) == 7
        assert [base64.b64decode(key).hex() for key in answer["keys_base64"]] == answer["keys"]
        status = await server.core.seal_status()
        assert (status.threshold, status.shares) == (4, 7)
        assert (await get(server, "rekey/init"))["required"] == 4
        old, server.keys = server.keys, as_shares(answer)[3:]
        await server.core.seal()
        for share in old:
            await server.core.submit_share(share)
        with pytest.raises(InvalidRequestError):
            await server.core.submit_share(server.keys[0])  # three dead ones among four
        assert (await server.core.seal_status()).sealed
        again = await restarted(server)
        assert await again.read("kv/a") == {"v": 1}
        await again.core.seal()


@pytest.mark.parametrize("family", ["vault", "openbao"])
async def test_the_seal_configuration_keeps_its_familys_form(family: str) -> None:
    async with fresh(shares=3, threshold=2, family=family) as server:
        before = orjson.loads(await server.core.storage.get(SEAL_CONFIG) or b"")
        answer = await rekey(server, 5, 3)
        after = orjson.loads(await server.core.storage.get(SEAL_CONFIG) or b"")
    changed = {"secret_shares": 5, "secret_threshold": 3, "nonce": answer["nonce"]}
    assert after == before | changed
    assert list(after) == list(before), "in Vault's order"


async def test_the_data_key_can_be_rotated_before_and_after() -> None:
    async with fresh(shares=3, threshold=2) as server:
        await server.write("sys/rotate")
        server.keys = as_shares(await rekey(server, 1, 1))
        await server.write("sys/rotate")
        status = await server.read("sys/key-status")
        assert status is not None
        assert status["term"] == 3
        again = await restarted(server)
        assert await again.alive(again.root)
        await again.core.seal()


async def test_until_verified_the_old_shares_are_in_force_and_then_the_new_ones() -> None:
    async with fresh(shares=3, threshold=2) as server:
        handed_out = await rekey(server, 5, 3, verified=True)
        assert handed_out["verification_required"] is True
        status = await get(server, "rekey/verify")
        assert (status["started"], status["t"], status["n"], status["progress"]) == (True, 3, 5, 0)
        assert (await server.core.seal_status()).threshold == 2
        again = await restarted(server)
        await again.core.seal()
        done = await verify(server, handed_out, 3)
        assert done == {"nonce": handed_out["verification_nonce"], "complete": True}
        assert await get(server, "rekey/init") == NOTHING | {"required": 3}
        server.keys = as_shares(handed_out)
        again = await restarted(server)
        await again.core.seal()


async def test_wrong_new_shares_verify_nothing_and_the_round_starts_again() -> None:
    async with fresh(shares=3, threshold=2) as server:
        handed_out = await rekey(server, 3, 2, verified=True)
        first = handed_out["verification_nonce"]
        await put(server, "rekey/verify", key=handed_out["keys"][0], nonce=first)
        with pytest.raises(InvalidRequestError, match="incorrect key shares supplied"):
            await put(server, "rekey/verify", key="00" * 32 + "99", nonce=first)
        with pytest.raises(InvalidRequestError, match="incorrect nonce supplied"):
            await put(server, "rekey/verify", key=handed_out["keys"][0], nonce=first)
        status = await get(server, "rekey/verify")
        assert status["progress"] == 0
        assert (await server.core.seal_status()).shares == 3
        await restarted(server)
        handed_out["verification_nonce"] = status["nonce"]
        assert (await verify(server, handed_out, 2))["complete"] is True


async def test_a_verification_that_is_restarted_has_another_nonce() -> None:
    async with fresh(shares=3, threshold=2) as server:
        handed_out = await rekey(server, 3, 2, verified=True)
        old = handed_out["verification_nonce"]
        await put(server, "rekey/verify", key=handed_out["keys"][0], nonce=old)
        now = await ask(server, Operation.DELETE, "rekey/verify")
        assert (now["progress"], now["started"]) == (0, True)
        assert now["nonce"] != old
        with pytest.raises(InvalidRequestError, match="incorrect nonce supplied"):
            await put(server, "rekey/verify", key=handed_out["keys"][0], nonce=old)


async def test_wrong_old_shares_give_nothing_and_the_progress_starts_again() -> None:
    async with fresh(shares=3, threshold=2) as server:
        nonce = (await put(server, "rekey/init", secret_shares=1, secret_threshold=1))["nonce"]
        good, twin = server.keys[0].hex(), "11" * 32 + server.keys[0][-1:].hex()
        for wrong in ("00" * 32 + "99", twin, "00" * 20, "00" * 32):
            progress = await put(server, "rekey/update", key=good, nonce=nonce)
            assert progress["progress"] == 1
            with pytest.raises(EngineError) as refused:
                await put(server, "rekey/update", key=wrong, nonce=nonce)
            assert wrong not in refused.value.message
            assert (await get(server, "rekey/init"))["progress"] == 0
        assert (await restarted(server)).open.rekey.config.secret_shares == 3


async def test_a_quorum_of_another_vault_is_none() -> None:
    async with fresh(shares=3, threshold=2) as server, fresh(shares=3, threshold=2) as other:
        with pytest.raises(EngineError, match="failed to read root key: invalid key"):
            await rekey(server, 1, 1, use=[key.hex() for key in other.keys[:2]])
        assert (await server.core.seal_status()).shares == 3


async def test_a_share_counts_once_and_only_with_the_nonce() -> None:
    async with fresh(shares=3, threshold=2) as server:
        key = server.keys[0].hex()
        with pytest.raises(InvalidRequestError, match="no barrier rekey in progress"):
            await put(server, "rekey/update", key=key, nonce="x")
        nonce = (await put(server, "rekey/init", secret_shares=1, secret_threshold=1))["nonce"]
        with pytest.raises(InvalidRequestError, match=f'rekey operation is "{nonce}"'):
            await put(server, "rekey/update", key=key)
        await put(server, "rekey/update", key=key, nonce=nonce)
        with pytest.raises(InvalidRequestError, match="already been provided"):
            await put(server, "rekey/update", key=key, nonce=nonce)
        assert (await get(server, "rekey/init"))["progress"] == 1


@pytest.mark.parametrize(
    ("wish", "text"),
    [
        ({"secret_shares": 1, "secret_threshold": 2}, "provided threshold greater than the total"),
        ({}, "shares must be at least one"),
        ({"secret_shares": 5}, "threshold must be at least one"),
        ({"secret_shares": 3, "secret_threshold": 1}, "greater than one for multiple shares"),
        ({"secret_shares": 256, "secret_threshold": 3}, "shares must be less than 256"),
        ({"secret_shares": "5", "secret_threshold": 3}, "failed to parse JSON input"),
        ({"secret_shares": True, "secret_threshold": True}, "failed to parse JSON input"),
        ({"secret_shares": 2, "secret_threshold": 2, "backup": True}, "without providing PGP keys"),
        ({"secret_shares": 1, "secret_threshold": 1, "pgp_keys": ["x"]}, "does not encrypt"),
    ],
)
async def test_what_cannot_be_is_refused_and_starts_nothing(
    wish: dict[str, object], text: str
) -> None:
    async with fresh(shares=3, threshold=2) as server:
        with pytest.raises(EngineError, match=text):
            await put(server, "rekey/init", **wish)
        assert await get(server, "rekey/init") == NOTHING


async def test_there_is_one_rekey_at_a_time_and_anybody_may_cancel_it() -> None:
    async with fresh(shares=3, threshold=2) as server:
        await put(server, "rekey/init", secret_shares=1, secret_threshold=1)
        with pytest.raises(InvalidRequestError, match="rekey already in progress"):
            await put(server, "rekey/init", secret_shares=1, secret_threshold=1)
        await ask(server, Operation.DELETE, "rekey/init")
        assert await get(server, "rekey/init") == NOTHING


async def test_handed_out_shares_that_are_cancelled_never_count() -> None:
    async with fresh(shares=3, threshold=2) as server:
        handed_out = await rekey(server, 3, 2, verified=True)
        with pytest.raises(InvalidRequestError, match="verification must be performed"):
            await put(server, "rekey/update", key=server.keys[2].hex(), nonce=handed_out["nonce"])
        await ask(server, Operation.DELETE, "rekey/init")
        with pytest.raises(InvalidRequestError, match="no rekey in progress"):
            await verify(server, handed_out, 2)
        await restarted(server)


async def test_sealing_forgets_a_rekey() -> None:
    async with fresh(shares=3, threshold=2) as server:
        handed_out = await rekey(server, 3, 2, verified=True)
        await server.core.seal()
        with pytest.raises(EngineSealedError):
            await get(server, "rekey/init")
        await server.unseal()
        assert await get(server, "rekey/init") == NOTHING
        with pytest.raises(InvalidRequestError, match="no rekey in progress"):
            await verify(server, handed_out, 2)


async def test_kept_shares_of_an_earlier_rekey_are_shown_to_who_may_and_can_be_removed() -> None:
    async with fresh() as server:
        with pytest.raises(InvalidRequestError, match="no backed-up keys found"):
            await server.read("sys/rekey/backup")
        kept = {"nonce": "n", "keys": {"fingerprint": ["c0ffee"]}}
        await server.core.storage.apply([Put(UNSEAL_KEYS_BACKUP, orjson.dumps(kept))])
        assert await server.read("sys/rekey/backup") == {
            "nonce": "n",
            "keys": {"fingerprint": ["c0ffee"]},
            "keys_base64": {"fingerprint": ["wP/u"]},
        }
        with pytest.raises(EngineError, match="permission denied"):
            await server.read("sys/rekey/backup", token="")
        await server.delete("sys/rekey/backup")
        with pytest.raises(InvalidRequestError, match="no backed-up keys found"):
            await server.read("sys/rekey/backup")


async def test_recovery_keys_are_refused_because_shares_seal_the_store() -> None:
    async with fresh() as server:
        for name in ("init", "update", "verify"):
            with pytest.raises(InvalidRequestError, match="recovery rekeying not supported"):
                await put(server, f"rekey-recovery-key/{name}")


async def test_a_store_of_a_real_vault_is_rekeyed_again(tmp_path: Path) -> None:
    async with golden("vault-rotated-rekeyed", tmp_path) as (server, store):
        assert await settle(server.core.storage) is False
        server.keys = as_shares(await rekey(server, 3, 2))
        again = await restarted(server)
        found = await again.read("sys/key-status")
        assert found is not None
        assert found["term"] == store.expected["key_status"]["term"]
        await again.core.seal()
