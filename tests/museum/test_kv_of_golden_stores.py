"""KV backends on stores that real servers filled: every secret, version and list reads as there."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.opened import (
    DAY_OF_THE_GOLDEN_STORES_NS,
    context_for,
    mounted,
    open_golden,
    request,
)
from zvault.base.clock import ManualClock
from zvault.engine.api import Response
from zvault.engine.backends.kv import v1 as kv1
from zvault.engine.backends.kv import v2 as kv2
from zvault.engine.userdata import EncodedData

STORES = ["vault-file", "vault-audited", "vault-rotated-rekeyed", "openbao-file"]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(DAY_OF_THE_GOLDEN_STORES_NS)


def data_of(response: Response | None) -> Any:
    assert response is not None
    if isinstance(response.data, EncodedData):
        assert json.loads(response.data.encoded) == response.data
    return response.data


@pytest.mark.parametrize("store", STORES)
async def test_every_version_of_every_secret_is_what_the_server_said(
    store: str, tmp_path: Path, clock: ManualClock
) -> None:
    golden, barrier = await open_golden(store, tmp_path, clock)
    entry = await mounted(barrier, "zakupai/")
    backend = kv2.make(context_for(barrier, entry, clock))
    await backend.start()
    compared = 0
    for path, secret in golden.expected["kv2"].items():
        shown = data_of(await backend.handle(request("read", f"metadata/{path}")))
        ours = secret["metadata"]
        for foreign in ("metadata_cas_required", "current_metadata_version"):
            ours.pop(foreign, None)
        assert shown == ours, path
        for version, expected in secret["readable"].items():
            for _ in ("from storage", "from memory"):
                answer = await backend.handle(request("read", f"data/{path}", {"version": version}))
                if expected is not None:
                    assert data_of(answer)["data"] == expected, (path, version)
                elif version in secret["metadata"]["versions"]:
                    assert answer is not None
                    assert answer.status == 404
                    assert data_of(answer)["data"] is None
                else:
                    assert answer is None
                compared += 1
    assert compared > 100
    await barrier.storage.close()


@pytest.mark.parametrize("store", STORES)
async def test_lists_find_every_name_and_nothing_else(
    store: str, tmp_path: Path, clock: ManualClock
) -> None:
    golden, barrier = await open_golden(store, tmp_path, clock)
    backend = kv2.make(context_for(barrier, await mounted(barrier, "zakupai/"), clock))
    await backend.start()
    found: list[str] = []
    folders = [""]
    while folders:
        folder = folders.pop()
        answer = await backend.handle(request("list", f"metadata/{folder}"))
        for name in data_of(answer)["keys"]:
            (folders if name.endswith("/") else found).append(folder + name)
    assert sorted(found) == sorted(golden.expected["kv2"])
    await barrier.storage.close()


@pytest.mark.parametrize("store", STORES)
async def test_version_one_secrets_read_as_the_server_said(
    store: str, tmp_path: Path, clock: ManualClock
) -> None:
    golden, barrier = await open_golden(store, tmp_path, clock)
    backend = kv1.make(context_for(barrier, await mounted(barrier, "legacy/"), clock))
    assert golden.expected["kv1"]
    for path, expected in golden.expected["kv1"].items():
        answer = await backend.handle(request("read", path))
        assert data_of(answer) == expected
        assert answer is not None
        assert answer.lease_seconds == 3600
    await barrier.storage.close()


async def test_starting_on_a_store_of_a_real_server_changes_nothing(
    tmp_path: Path, clock: ManualClock
) -> None:
    golden, barrier = await open_golden("vault-file", tmp_path, clock)

    def content() -> dict[str, bytes]:
        files = (p for p in golden.data.rglob("*") if p.is_file() and "lock" not in p.name)
        return {str(p): p.read_bytes() for p in files}

    before = content()
    backend = kv2.make(context_for(barrier, await mounted(barrier, "zakupai/"), clock))
    await backend.start()
    await backend.handle(request("read", "data/a"))
    assert content() == before
    await barrier.storage.close()
