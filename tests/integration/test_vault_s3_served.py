"""A real Vault's S3 objects, uploaded unchanged: served by the engine, then opened by OpenBao."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from demo.seaweed import Seaweed
from tests.integration.test_openbao_interop import ok, unseal
from tests.support.golden import unpack
from tests.support.openbao import running
from tests.support.running import GOLDEN_MAX_TTL_NS, Running
from tests.support.seaweed import fresh_bucket, s3_options, seaweed
from zvault.base.clock import SystemClock
from zvault.engine.core import Core
from zvault.engine.settings import CoreSettings
from zvault.records import gojson
from zvault.storage.api import Put
from zvault.storage.copy import copy_store
from zvault.storage.file import FileStorage
from zvault.storage.s3 import S3Storage

__all__ = ["seaweed"]
pytestmark = pytest.mark.real("seaweedfs")


def plain(value: Any) -> Any:
    return json.loads(gojson.dumps(value))


@pytest.mark.row("C1")
async def test_vaults_objects_are_served_from_s3_and_copied_to_a_file_store_of_openbao(
    tmp_path: Path,
    seaweed: Seaweed,
) -> None:
    store = unpack("vault-s3", tmp_path)
    bucket = fresh_bucket(seaweed)
    storage = S3Storage.open(s3_options(seaweed, bucket))
    root = store.root / "objects"
    objects = sorted(path for path in root.rglob("*") if path.is_file())
    await storage.apply([Put(str(path.relative_to(root)), path.read_bytes()) for path in objects])

    settings = CoreSettings(max_lease_ttl_ns=GOLDEN_MAX_TTL_NS, storage_type="s3")
    core = Core(storage, settings, clock=SystemClock())
    await core.start()
    expected = store.expected
    keys = [base64.b64decode(share) for share in expected["shares"]]
    server = Running(core, SystemClock(), keys[:3], expected["root_token"])  # type: ignore[arg-type]
    await server.unseal()
    for path, secret in expected["kv2"].items():
        for version, data in secret["readable"].items():
            if data is not None:
                found = await server.call_read_version(f"zakupai/data/{path}", int(version))
                assert plain(found)["data"] == data
    role = expected["approle"]["calc"]
    login = await server.write(
        "auth/approle/login", "", role_id=role["role_id"], secret_id=role["secret_id"]
    )
    assert login is not None
    assert login.auth is not None
    path = "zakupai/data/services/calc/from-s3"
    await server.write(path, login.auth.client_token, data={"by": "engine on s3"})
    issued = await server.token(policies=["calc"], ttl="10h")
    revoked = await server.token(policies=["calc"], ttl="10h")
    await server.revoke(revoked)
    await core.seal()

    data = tmp_path / "copied"
    data.mkdir()
    target = FileStorage.open(data)
    await copy_store(storage, target)
    await target.close()
    await storage.close()

    with running(tmp_path, data) as bao:
        unseal(bao, keys[2:])
        for token in (issued, login.auth.client_token):
            body = ok(bao.request("GET", path, token=token))
            assert body["data"]["data"] == {"by": "engine on s3"}
        assert bao.request("GET", path, token=revoked)[0] == 403
        for known in expected["tokens"]:
            found_token = ok(bao.request("GET", "auth/token/lookup-self", token=known["token"]))
            assert found_token["data"]["policies"] == known["policies"]
        for name, policy in expected["policies"].items():
            body = ok(bao.request("GET", f"sys/policies/acl/{name}", token=expected["root_token"]))
            assert body["data"]["policy"] == policy
        ok(
            bao.request(
                "PUT",
                "auth/approle/login",
                {"role_id": role["role_id"], "secret_id": role["secret_id"]},
            )
        )
