"""Init, unseal, seal and what is said about it."""

import asyncio
import gc
import weakref
from dataclasses import replace

import pytest

from tests.support.running import fresh
from zvault.base.clock import ManualClock
from zvault.base.errors import PreconditionError
from zvault.engine.api import Operation, Request
from zvault.engine.core import Core, StoreIsMigratingError
from zvault.engine.errors import EngineSealedError, InvalidRequestError
from zvault.engine.settings import CoreSettings
from zvault.storage.api import Put
from zvault.storage.inmem import InMemStorage
from zvault.storage.keys import MIGRATION_KEY


def core_over(storage: InMemStorage | None = None, **settings: str) -> Core:
    return Core(storage or InMemStorage(), CoreSettings(**settings), clock=ManualClock())


async def test_a_fresh_server_says_it_is_not_initialised() -> None:
    core = core_over(storage_type="inmem")
    await core.start()
    status = await core.seal_status()
    assert (status.initialized, status.sealed, status.threshold, status.shares) == (
        False,
        True,
        0,
        0,
    )
    assert (await core.health()).initialized is False
    with pytest.raises(InvalidRequestError, match="Vault is not initialized"):
        await core.submit_share(bytes(33))


async def test_after_init_the_server_is_sealed_and_the_threshold_opens_it() -> None:
    core = core_over()
    made = await core.initialize(5, 3)
    assert len(made.keys) == 5
    assert all(len(key.reveal()) == 33 for key in made.keys)
    assert len(made.root_token.reveal_text()) == 28
    assert (await core.seal_status()).sealed
    progress = [(await core.submit_share(key.reveal())).progress for key in made.keys[1:3]]
    assert progress == [1, 2]
    status = await core.submit_share(made.keys[4].reveal())
    assert (status.sealed, status.progress, status.nonce) == (False, 0, "")
    assert status.cluster_name.startswith("vault-cluster-")
    await core.seal()


@pytest.mark.parametrize("family", ["vault", "openbao"])
async def test_the_root_token_has_its_familys_form(family: str) -> None:
    async with fresh(family=family) as server:
        assert server.root.startswith("hvs." if family == "vault" else "s.")
        found = await server.read("auth/token/lookup-self")
        assert found is not None
        assert found["policies"] == ["root"]
        assert found["ttl"] == 0
        assert found["expire_time"] is None
        assert server.open.barrier.family == family


async def test_a_second_init_is_refused_and_of_two_at_once_one_wins() -> None:
    core = core_over()
    results = await asyncio.gather(
        core.initialize(1, 1), core.initialize(1, 1), return_exceptions=True
    )
    errors = [result for result in results if isinstance(result, InvalidRequestError)]
    assert [str(error) for error in errors] == ["Vault is already initialized"]


@pytest.mark.parametrize(
    ("shares", "threshold", "word"),
    [
        (0, 0, "shares must be at least one"),
        (1, 0, "threshold"),
        (1, 2, "threshold cannot be larger than shares"),
        (256, 3, "256"),
        (3, 1, "threshold must be greater than one for multiple shares"),
    ],
)
async def test_impossible_shares_are_refused_and_nothing_is_written(
    shares: int, threshold: int, word: str
) -> None:
    storage = InMemStorage()
    with pytest.raises(InvalidRequestError, match=word):
        await core_over(storage).initialize(shares, threshold)
    assert await storage.list("") == []


async def test_wrong_shares_are_named_and_start_over() -> None:
    core = core_over()
    await core.initialize(3, 2)
    await core.submit_share(bytes([1]) * 32 + b"\x01")
    with pytest.raises(InvalidRequestError, match="message authentication failed"):
        await core.submit_share(bytes([2]) * 32 + b"\x02")
    assert (await core.seal_status()).progress == 0


async def test_shares_of_one_number_cannot_be_combined() -> None:
    core = core_over()
    await core.initialize(3, 2)
    await core.submit_share(bytes([1]) * 32 + b"\x01")
    with pytest.raises(InvalidRequestError, match="failed to compute combined key"):
        await core.submit_share(bytes([2]) * 32 + b"\x01")
    assert (await core.seal_status()).progress == 0


async def test_reset_forgets_progress_and_is_refused_when_unsealed() -> None:
    async with fresh(shares=3, threshold=2) as server:
        with pytest.raises(InvalidRequestError, match="vault is unsealed"):
            await server.core.reset_unseal()
        assert not (await server.core.submit_share(server.keys[0])).sealed
        await server.core.seal()
        await server.core.submit_share(server.keys[0])
        status = await server.core.reset_unseal()
        assert (status.progress, status.nonce) == (0, "")


async def test_a_sealed_server_refuses_before_it_looks_at_the_token() -> None:
    core = core_over()
    await core.initialize(1, 1)
    with pytest.raises(EngineSealedError, match="Vault is sealed"):
        await core.handle(Request("1", Operation.READ, "secret/x"))
    assert await core.handle(Request("1", Operation.UPDATE, "sys/seal")) is None


async def test_seal_by_request_needs_sudo_and_tokens_survive_it() -> None:
    async with fresh() as server:
        await server.policy("half", 'path "sys/seal" { capabilities = ["update"] }')
        token = await server.token(policies=["half"])
        with pytest.raises(Exception, match="permission denied"):
            await server.write("sys/seal", token)
        await server.write("sys/seal")
        assert (await server.core.seal_status()).sealed
        await server.unseal()
        assert await server.alive(token)


async def test_sealing_waits_for_the_request_that_has_begun() -> None:
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv")
        storage = server.core.storage
        gate, entered = asyncio.Event(), asyncio.Event()
        apply = storage.apply

        async def slow(operations):  # type: ignore[no-untyped-def]
            entered.set()
            await gate.wait()
            await apply(operations)

        storage.apply = slow  # type: ignore[method-assign]
        writing = asyncio.create_task(server.write("kv/a", v=1))
        await entered.wait()
        sealing = asyncio.create_task(server.core.seal())
        await asyncio.sleep(0)
        with pytest.raises(EngineSealedError):
            await server.read("kv/a")
        assert not sealing.done()
        gate.set()
        await writing
        await sealing
        storage.apply = apply  # type: ignore[method-assign]
        await server.unseal()
        assert await server.read("kv/a") == {"v": 1}


@pytest.mark.row("C1")
async def test_a_store_marked_as_migrating_is_not_started_made_or_opened() -> None:
    async with fresh() as server:
        await server.core.seal()
        await server.core.storage.apply([Put(MIGRATION_KEY, b'{"start":"x"}')])
        with pytest.raises(StoreIsMigratingError, match="mark of a migration") as caught:
            await server.core.start()
        assert isinstance(caught.value, PreconditionError)
        assert caught.value.hint
        with pytest.raises(StoreIsMigratingError):
            await server.unseal()
        assert (await server.core.seal_status()).sealed
    empty = core_over()
    await empty.storage.apply([Put(MIGRATION_KEY, b"{}")])
    with pytest.raises(StoreIsMigratingError):
        await empty.initialize(1, 1)


async def test_a_broken_table_seals_again_and_names_the_step() -> None:
    async with fresh() as server:
        await server.core.seal()
        await server.core.storage.apply([Put("core/mounts", b"\0\0\0\x01\x02" + bytes(40))])
        with pytest.raises(Exception, match="the mount tables") as caught:
            await server.unseal()
        assert "core/mounts" in str(caught.value)
        assert (await server.core.seal_status()).sealed


async def test_rotate_adds_a_term_and_old_and_new_entries_open() -> None:
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv")
        await server.write("kv/old", v=1)
        await server.write("sys/rotate")
        await server.write("kv/new", v=2)
        status = await server.read("sys/key-status")
        assert status is not None
        assert status["term"] == 2
        await server.core.seal()
        await server.unseal()
        assert await server.read("kv/old") == {"v": 1}
        assert await server.read("kv/new") == {"v": 2}


async def test_the_count_of_encryptions_survives_a_seal() -> None:
    async with fresh() as server:
        await server.write("sys/mounts/kv", type="kv")
        for number in range(5):
            await server.write(f"kv/{number}", v=1)
        before = await server.read("sys/key-status")
        await server.core.seal()
        await server.unseal()
        after = await server.read("sys/key-status")
        assert before is not None
        assert after is not None
        assert after["encryptions"] >= before["encryptions"] > 5


async def test_a_data_key_that_is_due_is_followed_by_another() -> None:
    async with fresh() as server:
        await server.token(policies=["default"])
        await server.open.look_after_key()
        assert server.open.barrier.keyring.active.term == 1
        assert server.open.barrier.keyring.active.encryptions > 0
        keyring = server.open.barrier.keyring
        limit = replace(keyring.active, encryptions=keyring.rotation.max_operations + 1)
        server.open.barrier._keyring = replace(keyring, keys=(limit,))
        await server.open.look_after_key()
        assert server.open.barrier.keyring.active.term == 2
        token = await server.token(policies=["default"])
        await server.core.seal()
        await server.unseal()
        assert await server.alive(token)


async def test_the_gauge_says_whether_it_is_unsealed() -> None:
    async with fresh() as server:

        def gauge() -> str:
            lines = server.core.metrics.render_prometheus().splitlines()
            return next(line for line in lines if line.startswith("vault_core_unsealed{"))

        assert gauge().startswith('vault_core_unsealed{cluster="vault-cluster-')
        assert gauge().endswith(" 1")
        await server.core.seal()
        assert gauge().endswith(" 0")


async def test_after_sealing_nothing_of_the_unsealed_store_is_left_in_memory() -> None:
    async with fresh() as server:
        for _ in range(2):
            await server.token(ttl="1h")
            store, barrier = weakref.ref(server.open), weakref.ref(server.open.barrier)
            gc.disable()
            try:
                await server.core.seal()
                assert (store(), barrier()) == (None, None)
            finally:
                gc.enable()
            await server.unseal()
