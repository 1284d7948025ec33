"""What an issuer says of somebody counts as of the last login."""

from collections.abc import AsyncIterator

import pytest

from tests.support.running import Running, fresh, restarted
from zvault.engine.errors import PermissionDeniedError
from zvault.records.identity import (
    LOCAL_ALIAS_BUCKETS,
    Alias,
    Bucket,
    bucket_key,
    encode_bucket,
    put_local_aliases,
)
from zvault.storage.api import Put


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    """An AppRole whose secret ids say of which team their owner is, and a path for each team."""
    async with fresh() as running:
        await running.write("sys/mounts/kv", type="kv")
        await running.write("sys/auth/ar", type="approle")
        tables = await running.read("sys/auth")
        assert tables is not None
        accessor = tables["ar/"]["accessor"]
        place = f"kv/{{{{identity.entity.aliases.{accessor}.metadata.team}}}}"
        await running.policy("team", f'path "{place}" {{ capabilities = ["read"] }}')
        await running.write("auth/ar/role/r", token_policies=["team"])
        await running.write("auth/ar/role/r/role-id", role_id="r")
        for team in ("red", "blue"):
            await running.write(f"kv/{team}", v=1)
        yield running


async def signed_in(server: Running, team: str) -> str:
    made = await server.write("auth/ar/role/r/secret-id", metadata=f"team={team}")
    assert made is not None
    assert made.data is not None
    login = await server.write("auth/ar/login", "", role_id="r", secret_id=made.data["secret_id"])
    assert login is not None
    assert login.auth is not None
    return login.auth.client_token


async def reads(server: Running, token: str) -> list[str]:
    found = []
    for team in ("red", "blue"):
        try:
            await server.read(f"kv/{team}", token)
        except PermissionDeniedError:
            continue
        found.append(team)
    return found


async def test_a_new_login_takes_what_an_older_one_said_away_from_all_tokens(
    server: Running,
) -> None:
    first = await signed_in(server, "red")
    assert await reads(server, first) == ["red"]
    second = await signed_in(server, "blue")
    assert [await reads(server, token) for token in (first, second)] == [["blue"], ["blue"]]
    again = await restarted(server)
    assert [await reads(again, token) for token in (first, second)] == [["blue"], ["blue"]]
    await again.core.seal()


async def test_an_alias_in_a_bucket_of_local_mounts_follows_too(server: Running) -> None:
    """Real servers keep the aliases of local mounts apart from their entity."""
    token = await signed_in(server, "red")
    store = server.open.identity
    (entity,) = [e for e in store.entities.values() if e.aliases]
    aliases = [Alias.FromString(alias.SerializeToString()) for alias in entity.aliases]
    key = bucket_key(LOCAL_ALIAS_BUCKETS, entity.id)
    bucket = Bucket(key=key)
    put_local_aliases(bucket, entity.id, aliases)
    async with store.changing:
        del entity.aliases[:]
        await store.save_entity(entity)
    mounts = await server.read("sys/mounts")
    assert mounts is not None
    prefix = f"logical/{mounts['identity/']['uuid']}/"
    await server.open.barrier.apply([Put(prefix + key, encode_bucket(bucket))])

    again = await restarted(server)
    assert await reads(again, token) == ["red"]
    await signed_in(again, "blue")
    assert await reads(again, token) == ["blue"]
    third = await restarted(again)
    assert await reads(third, token) == ["blue"]
    for running in (again, third):
        await running.core.seal()
