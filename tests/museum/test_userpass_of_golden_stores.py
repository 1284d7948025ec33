"""Users that real servers have stored log in."""

from pathlib import Path

import pytest

from tests.support.running import golden
from zvault.engine.errors import InvalidRequestError

STORES = ["vault-file", "vault-rotated-rekeyed", "vault-s3", "openbao-file", "openbao-raft"]


@pytest.mark.parametrize("name", STORES)
async def test_the_user_of_a_golden_store_logs_in_with_its_old_entity(
    name: str, tmp_path: Path
) -> None:
    async with golden(name, tmp_path) as (server, store):
        ((user, password),) = store.expected["userpass"].items()
        mounts = await server.read("sys/auth") or {}
        ((path, mount),) = [(p, m) for p, m in mounts.items() if m["type"] == "userpass"]
        login = f"auth/{path}login/{user}"
        with pytest.raises(InvalidRequestError, match="invalid username or password"):
            await server.call_update(login, {"password": password + "x"}, "")
        for _ in range(2):
            answer = await server.call_update(login, {"password": password}, "")
            assert answer is not None
            assert answer.auth is not None
            entity = await server.read(f"identity/entity/id/{answer.auth.entity_id}")
            assert entity is not None
            (alias,) = entity["aliases"]
            assert (alias["name"], alias["mount_accessor"]) == (user, mount["accessor"])
        shown = await server.read("auth/token/lookup-self", answer.auth.client_token)
        assert shown is not None
        assert shown["policies"] == list(answer.auth.token_policies)
