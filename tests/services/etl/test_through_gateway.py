"""Client → gateway → etl → PostgreSQL, all of them real, with the table that the gateway ships."""

import secrets
from importlib.resources import files
from pathlib import Path

import pytest

from launcher.outside import World
from tests.services.etl.running import counted, state, worker_of
from tests.services.gateway.stand import standing_gateway
from tests.support.asgi_server import serving_asgi
from tests.support.service_stand import Backing, Stand, provide
from zakupai_etl.upload_routes import BODY_BYTES
from zakupai_gateway.service import SERVICE as GATEWAY

TABLE = files("zakupai_gateway").joinpath("table.toml").read_text()


@pytest.mark.row("B8.4")
async def test_runs_and_large_uploads_come_through_the_gateway(
    servers: Backing, etl: Stand, world: World, tmp_path: Path
) -> None:
    row = "123456789012,1.00,NEW," + "x" * 90 + "\n"
    head = f"bin,amount,status,{secrets.token_hex(8)}\n"
    table = (head + row * ((BODY_BYTES - len(head)) // len(row))).encode()
    assert len(table) > 4 * 2 * 1024 * 1024
    async with (
        serving_asgi(etl.app, lifespan="off") as address,
        standing_gateway(
            provide(servers, GATEWAY), tmp_path, table=TABLE, more_urls={"etl": address}
        ) as gateway,
    ):
        token = gateway.token("user-7", ("etl:run", "etl:write"))
        bearer = {"Authorization": f"Bearer {token}"}
        begun = await gateway.client.post("/api/etl/runs", json={"days": 7}, headers=bearer)
        assert begun.status_code == 202, begun.text
        assert begun.json()["requested_by"] == "user-7"
        again = await gateway.client.post("/api/etl/runs", json={}, headers=bearer)
        assert (again.status_code, again.json()["run_id"]) == (409, begun.json()["run_id"])
        assert await worker_of(etl).once() == "success"
        assert counted(await state(etl, begun.json()), "trd_buy") == (7, 7, 0, 0, 0)

        headers = {**bearer, "Content-Type": "text/csv"}
        kept = await gateway.client.post("/api/etl/upload-batch", content=table, headers=headers)
        assert kept.status_code == 201, kept.text
        assert kept.json()["rows_accepted"] == table.count(b"NEW")
        too_large = await gateway.client.post(
            "/api/etl/upload-batch", content=table + b"\n" * 20_000, headers=headers
        )
        assert too_large.status_code == 413
        assert too_large.json()["limit_bytes"] == BODY_BYTES

        plain = {"Authorization": f"Bearer {gateway.token('user-7')}"}
        denied = await gateway.client.post("/api/etl/runs", json={}, headers=plain)
        assert denied.status_code == 403
        assert (await gateway.client.get("/api/etl/runs")).status_code == 401
