"""AppRole on stores that real servers filled: their role_ids and secret_ids log in."""

from pathlib import Path

import pytest

from tests.support.opened import (
    DAY_OF_THE_GOLDEN_STORES_NS,
    context_for,
    mounted,
    open_golden,
    request,
)
from zvault.base.clock import ManualClock
from zvault.engine.backends.approle import backend as approle
from zvault.engine.errors import InvalidRequestError

STORES = ["vault-file", "vault-audited", "vault-rotated-rekeyed", "openbao-file"]
TEN_YEARS_SECONDS = 315_360_000


@pytest.mark.parametrize("store", STORES)
async def test_every_role_id_and_secret_id_of_a_real_server_logs_in(
    store: str, tmp_path: Path
) -> None:
    clock = ManualClock(DAY_OF_THE_GOLDEN_STORES_NS)
    golden, barrier = await open_golden(store, tmp_path, clock)
    entry = await mounted(barrier, "auth/approle/")
    backend = approle.make(context_for(barrier, entry, clock))
    names = await backend.handle(request("list", "role/"))
    assert names is not None
    assert names.data == {"keys": sorted(golden.expected["approle"])}
    for name, ids in golden.expected["approle"].items():
        read = await backend.handle(request("read", f"role/{name}/role-id"))
        assert read is not None
        assert read.data == {"role_id": ids["role_id"]}
        login = {"role_id": ids["role_id"], "secret_id": ids["secret_id"]}
        for _ in range(2):
            answer = await backend.handle(request("update", "login", login, token=None))
            assert answer is not None
            assert answer.auth is not None
            assert answer.auth.metadata["role_name"] == name
            assert answer.auth.alias_name == ids["role_id"]
            assert list(answer.auth.policies)
        for wrong in (
            {**login, "secret_id": ids["secret_id"][:-1] + "x"},
            {**login, "role_id": ids["role_id"][:-1] + "x"},
        ):
            with pytest.raises(InvalidRequestError, match="invalid role or secret ID"):
                await backend.handle(request("update", "login", wrong, token=None))
        shown = await backend.handle(
            request(
                "update",
                f"role/{name}/secret-id-accessor/lookup",
                {"secret_id_accessor": ids["secret_id_accessor"]},
            )
        )
        assert shown is not None
        assert shown.data is not None
        assert shown.data["secret_id_accessor"] == ids["secret_id_accessor"]
    await barrier.storage.close()
