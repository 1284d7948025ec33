"""Keys of a transit mount: who may make one, what a crash leaves, what a backup may bring."""

import asyncio
import base64
import json
from typing import Any

import pytest

from tests.support.running import Running, fresh, restarted, slow_down
from zvault.engine.backends.transit.backend import Transit
from zvault.engine.errors import (
    EngineError,
    InternalEngineError,
    InvalidRequestError,
    PermissionDeniedError,
)
from zvault.storage.api import Put

I64 = "aGVsbG8="
HOUR = 3600


async def mounted(server: Running) -> Transit:
    """Transit at its usual place; the backend."""
    await server.write("sys/mounts/transit", type="transit")
    return backend(server)


def backend(server: Running) -> Transit:
    found = server.open.mounts.router.find("transit/x")
    assert found is not None
    assert isinstance(found[1].backend, Transit)
    return found[1].backend


async def data(server: Running, path: str, token: str | None = None, **body: Any) -> dict[str, Any]:
    response = await server.write(f"transit/{path}", token, **body)
    assert response is not None
    assert response.data is not None
    return response.data


async def rotated(server: Running, name: str, times: int) -> None:
    for _ in range(times):
        await data(server, f"keys/{name}/rotate")


async def test_encryption_makes_a_key_only_for_who_may_create() -> None:
    async with fresh() as server:
        await mounted(server)
        tokens = {}
        for capability in ("create", "update"):
            rule = f'path "transit/encrypt/*" {{ capabilities = ["{capability}"] }}'
            await server.policy(capability, rule)
            tokens[capability] = await server.token(policies=[capability])
        with pytest.raises(PermissionDeniedError):
            await data(server, "encrypt/a", tokens["update"], plaintext=I64)
        assert await server.read("transit/keys/a") is None
        await data(server, "encrypt/a", tokens["create"], plaintext=I64)
        with pytest.raises(PermissionDeniedError):
            await data(server, "encrypt/a", tokens["create"], plaintext=I64)
        await data(server, "encrypt/a", tokens["update"], plaintext=I64)


async def test_of_many_that_make_one_key_all_use_the_same() -> None:
    async with fresh() as server:
        await mounted(server)
        slow_down(server)
        made = await asyncio.gather(
            *[data(server, "encrypt/a", plaintext=I64) for _ in range(8)],
            *[data(server, "keys/a", derived=False) for _ in range(4)],
        )
        for one in made[:8]:
            assert (await data(server, "decrypt/a", ciphertext=one["ciphertext"]))[
                "plaintext"
            ] == I64


async def test_rotations_at_once_lose_none() -> None:
    async with fresh() as server:
        await mounted(server)
        await data(server, "keys/a")
        slow_down(server)
        await asyncio.gather(*[data(server, "keys/a/rotate") for _ in range(9)])
        shown = await server.read("transit/keys/a")
        assert shown is not None
        assert shown["latest_version"] == 10
        assert list(shown["keys"]) == [str(number) for number in range(1, 11)]


async def test_what_is_trimmed_is_gone_and_what_was_only_forbidden_comes_back() -> None:
    async with fresh() as server:
        await mounted(server)
        old = await data(server, "encrypt/a", plaintext=I64)
        await rotated(server, "a", 3)
        await data(server, "keys/a/config", min_decryption_version=3, min_encryption_version=4)
        with pytest.raises(InvalidRequestError, match="too old"):
            await data(server, "decrypt/a", ciphertext=old["ciphertext"])
        with pytest.raises(InvalidRequestError, match="less than the minimum encryption"):
            await data(server, "encrypt/a", plaintext=I64, key_version=3)
        await data(server, "keys/a/config", min_decryption_version=1)
        assert (await data(server, "decrypt/a", ciphertext=old["ciphertext"]))["plaintext"] == I64
        await data(server, "keys/a/config", min_decryption_version=2)
        await data(server, "keys/a/trim", min_available_version=2)
        with pytest.raises(InvalidRequestError, match="min available version"):
            await data(server, "keys/a/config", min_decryption_version=1)
        again = await restarted(server)
        with pytest.raises(InvalidRequestError, match="too old"):
            await data(again, "decrypt/a", ciphertext=old["ciphertext"])
        await again.core.seal()


@pytest.mark.parametrize("act", ["rotate", "trim"])
@pytest.mark.parametrize("done", [0, 1])
async def test_a_crash_between_archive_and_policy_costs_no_version(act: str, done: int) -> None:
    async with fresh() as server:
        await mounted(server)
        texts = [(await data(server, "encrypt/a", plaintext=I64))["ciphertext"]]
        for _ in range(3):
            await rotated(server, "a", 1)
            texts.append((await data(server, "encrypt/a", plaintext=I64))["ciphertext"])
        await data(server, "keys/a/config", min_decryption_version=3, min_encryption_version=3)
        storage = server.core.storage
        apply = storage.apply

        async def cut(operations: Any) -> None:
            if any("/archive/" in operation.key for operation in operations):
                await apply(operations[:done])
                raise RuntimeError("the power went")
            await apply(operations)

        storage.apply = cut  # type: ignore[method-assign]
        with pytest.raises(InternalEngineError, match="internal error"):
            await data(server, f"keys/a/{act}", min_available_version=2)
        storage.apply = apply  # type: ignore[method-assign]
        again = await restarted(server)
        await data(again, "keys/a/rotate")
        await data(again, "keys/a/config", min_decryption_version=2)
        for text in texts[1:]:
            assert (await data(again, "decrypt/a", ciphertext=text))["plaintext"] == I64
        new = await data(again, "encrypt/a", plaintext=I64)
        assert (await data(again, "decrypt/a", ciphertext=new["ciphertext"]))["plaintext"] == I64
        await again.core.seal()


async def test_a_key_rotates_itself_when_its_period_is_over() -> None:
    async with fresh() as server:
        mount = await mounted(server)
        await data(server, "keys/a", auto_rotate_period="1h")
        await data(server, "keys/b")
        server.clock.advance(HOUR - 1)
        assert await mount.rotation.rotate_due() == 0
        server.clock.advance(1)
        assert await mount.rotation.rotate_due() == 1
        assert await mount.rotation.rotate_due() == 0
        again = await restarted(server)
        again.clock.advance(HOUR)
        await backend(again).rotation.look_at_all()
        assert await backend(again).rotation.rotate_due() == 1
        for name, latest in (("a", 3), ("b", 1)):
            shown = await again.read(f"transit/keys/{name}")
            assert shown is not None
            assert shown["latest_version"] == latest
        await data(again, "keys/a/config", auto_rotate_period=0)
        again.clock.advance(9 * HOUR)
        assert await backend(again).rotation.rotate_due() == 0
        await again.core.seal()


async def test_openbaos_soft_deleted_key_is_not_used() -> None:
    async with fresh(family="openbao") as server:
        await mounted(server)
        made = await data(server, "encrypt/a", plaintext=I64)
        prefix = next(
            entry.view_prefix
            for entry in server.open.mounts.entries("mounts")
            if entry.type == "transit"
        )
        key = f"{prefix}policy/a"
        stored = await server.open.barrier.get(key)
        assert stored is not None
        body = json.loads(stored)
        assert body["soft_deleted"] is False
        body["soft_deleted"] = True
        await server.open.barrier.apply([Put(key, json.dumps(body).encode())])
        again = await restarted(server)
        for path, more in (
            ("encrypt/a", {"plaintext": I64}),
            ("decrypt/a", {"ciphertext": made["ciphertext"]}),
            ("hmac/a", {"input": I64}),
            ("datakey/wrapped/a", {}),
        ):
            with pytest.raises(InvalidRequestError, match="soft-deleted"):
                await data(again, path, **more)
        await again.core.seal()


async def test_a_nonce_of_the_callers_is_not_taken() -> None:
    async with fresh() as server:
        await mounted(server)
        await data(server, "keys/a")
        with pytest.raises(InvalidRequestError, match="nonce not allowed"):
            await data(server, "encrypt/a", plaintext=I64, nonce="AAAAAAAAAAAAAAAA")


async def backed_up(server: Running, kind: str, **wish: Any) -> dict[str, Any]:
    """A backup of a key with two versions, opened."""
    allow = {"exportable": True, "allow_plaintext_backup": True}
    await data(server, f"keys/{kind}", type=kind, **allow, **wish)
    await rotated(server, kind, 1)
    answer = await server.read(f"transit/backup/{kind}")
    assert answer is not None
    body: dict[str, Any] = json.loads(base64.b64decode(answer["backup"]))
    return body


async def restored(server: Running, body: Any, name: str = "back") -> None:
    backup = base64.b64encode(json.dumps(body).encode()).decode()
    await server.write(f"transit/restore/{name}", backup=backup)


BREAKAGES: list[tuple[str, list[Any], Any]] = [
    ("aes256-gcm96", ["policy"], None),
    ("aes256-gcm96", ["policy", "latest_version"], 2_000_000_000),
    ("aes256-gcm96", ["policy", "latest_version"], 1),
    ("aes256-gcm96", ["policy", "min_decryption_version"], 9),
    ("aes256-gcm96", ["policy", "archive_min_version"], -1),
    ("aes256-gcm96", ["policy", "keys"], {"2000000000": {}}),
    ("aes256-gcm96", ["policy", "type"], 77),
    ("aes256-gcm96", ["policy", "type"], "x"),
    ("aes256-gcm96", ["policy", "auto_rotate_period"], 1),
    ("aes256-gcm96", ["policy", "version_template"], "{{version}}:"),
    ("aes256-gcm96", ["archived_keys", "keys"], []),
    ("aes256-gcm96", ["archived_keys", "keys", 2, "key"], "AAAA"),
    ("aes256-gcm96", ["archived_keys", "keys", 2, "key"], 5),
    ("aes256-gcm96", ["archived_keys", "keys", 2, "hmac_key"], None),
    ("hmac", ["policy", "key_size"], 1_000_000_000_000),
    ("ecdsa-p256", ["archived_keys", "keys", 2, "ec_x"], 5),
    ("ecdsa-p256", ["archived_keys", "keys", 2, "ec_d"], 5),
    ("ecdsa-p256", ["archived_keys", "keys", 2, "ec_d"], "5"),
    ("ed25519", ["archived_keys", "keys", 2, "public_key"], ""),
    ("rsa-2048", ["archived_keys", "keys", 2, "rsa_key", "D"], 5),
    ("rsa-2048", ["archived_keys", "keys", 2, "rsa_key", "N"], 15),
    ("rsa-2048", ["archived_keys", "keys", 2, "rsa_key", "Primes"], [0, 0]),
    ("rsa-2048", ["archived_keys", "keys", 2, "rsa_key", "Primes"], [7]),
    ("rsa-2048", ["archived_keys", "keys", 2, "rsa_key"], 5),
]


@pytest.mark.parametrize(("kind", "where", "value"), BREAKAGES)
async def test_a_backup_that_makes_no_key_is_refused(
    kind: str, where: list[Any], value: Any
) -> None:
    async with fresh() as server:
        await mounted(server)
        body = await backed_up(server, kind, **({"key_size": 32} if kind == "hmac" else {}))
        await restored(server, body, "good")
        place = body
        for step in where[:-1]:
            place = place[step]
        place[where[-1]] = value
        with pytest.raises((InternalEngineError, InvalidRequestError)) as refusal:
            await restored(server, body)
        assert "internal error" not in str(refusal.value)
        assert await server.read("transit/keys/back") is None


@pytest.mark.parametrize("name", ["..", "a b", "import/wrapping-key", "", "-x", "é"])
async def test_a_backup_cannot_name_what_is_no_key(name: str) -> None:
    async with fresh() as server:
        await mounted(server)
        body = await backed_up(server, "aes256-gcm96")
        body["policy"]["name"] = name
        backup = base64.b64encode(json.dumps(body).encode()).decode()
        with pytest.raises(InternalEngineError, match="name"):
            await server.write("transit/restore", backup=backup)
        assert await server.list("transit/keys/") == ["aes256-gcm96"]


async def test_a_key_is_replaced_only_by_force() -> None:
    async with fresh() as server:
        await mounted(server)
        body = await backed_up(server, "aes256-gcm96")
        made = await data(server, "encrypt/aes256-gcm96", plaintext=I64)
        await data(server, "keys/back")
        with pytest.raises(InternalEngineError, match="already exists"):
            await restored(server, body)
        backup = base64.b64encode(json.dumps(body).encode()).decode()
        await server.write("transit/restore/back", backup=backup, force=True)
        opened = await data(server, "decrypt/back", ciphertext=made["ciphertext"])
        assert opened["plaintext"] == I64


async def test_material_leaves_only_a_key_that_lets_it() -> None:
    async with fresh() as server:
        await mounted(server)
        for kind in ("aes256-gcm96", "ed25519", "ecdsa-p256", "rsa-2048"):
            await data(server, f"keys/{kind}", type=kind)
            for what in ("encryption-key", "signing-key", "hmac-key"):
                with pytest.raises(InvalidRequestError, match="not exportable"):
                    await server.read(f"transit/export/{what}/{kind}")
            with pytest.raises(InternalEngineError, match="disallowed"):
                await server.read(f"transit/backup/{kind}")
        shown = await server.read("transit/export/public-key/rsa-2048")
        assert shown is not None
        assert "PRIVATE" not in json.dumps(shown)


async def test_a_batch_of_a_thousand_lets_others_through() -> None:
    async with fresh() as server:
        await mounted(server)
        await data(server, "keys/a")
        batch = asyncio.create_task(
            data(server, "encrypt/a", batch_input=[{"plaintext": I64}] * 1000)
        )
        await asyncio.sleep(0)
        await data(server, "random")
        assert not batch.done()
        assert len((await batch)["batch_results"]) == 1000


async def test_no_key_shows_in_what_an_error_or_a_repr_says() -> None:
    async with fresh() as server:
        mount = await mounted(server)
        body = await backed_up(server, "rsa-2048")
        secret = str(body["archived_keys"]["keys"][2]["rsa_key"]["D"])
        from zvault.records.transit import decode_backup

        policy, versions = decode_backup(json.dumps(body).encode())
        assert secret not in repr(policy) + repr(versions) + repr(mount)
        assert body["archived_keys"]["keys"][2]["hmac_key"] not in repr(policy) + repr(versions)
        body["archived_keys"]["keys"][2]["rsa_key"]["N"] = 15
        with pytest.raises(EngineError) as refusal:
            await restored(server, body)
        assert secret not in str(refusal.value)
