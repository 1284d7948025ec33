"""One PKI mount, two servers in turn: the engine and OpenBao 2.6.2 on the same directory."""

from pathlib import Path

import pytest

from tests.integration.test_openbao_interop import engine, ok, opened, unseal
from tests.support.openbao import OpenBao, running
from tests.support.running import Running
from zvault.base.clock import SystemClock

pytestmark = pytest.mark.real("openbao-2.6.2")
ROLE = {
    "allowed_domains": "example.com",
    "allow_subdomains": True,
    "generate_lease": True,
    "max_ttl": "72h",
}


async def issue(server: Running, role: str) -> tuple[str, str, str]:
    """Lease, serial and CA of a new certificate."""
    answer = await server.call_update(
        f"pki/issue/{role}", {"common_name": "a.example.com", "ttl": "1h"}
    )
    assert answer is not None
    assert answer.data is not None
    return answer.lease_id, answer.data["serial_number"], answer.data["issuing_ca"]


def openbao_goes_on(bao: OpenBao, root: str, made: dict[str, str]) -> tuple[str, str]:
    """OpenBao issues by the engine's role and revokes the engine's lease; its own new lease."""
    assert ok(bao.request("GET", "pki/roles/r", token=root))["data"]["max_ttl"] == 259200
    issued = ok(
        bao.request("POST", "pki/issue/r", {"common_name": "b.example.com", "ttl": "1h"}, root)
    )
    assert issued["data"]["issuing_ca"] == made["ca"]
    ok(bao.request("PUT", "sys/leases/revoke", {"lease_id": made["lease"]}, root))
    shown = ok(bao.request("GET", f"pki/cert/{made['serial']}"))["data"]
    assert shown["revocation_time"] > 0
    kept = ok(bao.request("GET", f"pki/cert/{made['kept']}"))["data"]
    assert kept["revocation_time"] == 0
    ok(bao.request("POST", "pki/roles/theirs", {**ROLE, "key_type": "ec"}, root))
    return issued["lease_id"], issued["data"]["serial_number"]


async def test_roots_roles_certificates_and_leases_go_from_one_to_the_other(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    core = await engine(data)
    outcome = await core.initialize(1, 1)
    keys = [key.reveal() for key in outcome.keys]
    root = outcome.root_token.reveal_text()
    server = Running(core, SystemClock(), keys, root)  # type: ignore[arg-type]
    await server.unseal()
    await server.write("sys/mounts/pki", type="pki")
    await server.write(
        "/".join(("pki", "root", "generate", "internal")), common_name="ca.example.com", ttl="700h"
    )
    await server.call_update("pki/config/urls", {"issuing_certificates": "http://x/ca"})
    await server.call_update("pki/roles/r", ROLE)
    lease, serial, ca = await issue(server, "r")
    _, kept, _ = await issue(server, "r")
    await core.shutdown()
    with running(tmp_path, data) as bao:
        unseal(bao, keys)
        made = {"lease": lease, "serial": serial, "ca": ca, "kept": kept}
        their_lease, their_serial = openbao_goes_on(bao, root, made)
        bao.stop()
    server = await opened(data, keys, root)
    try:
        assert (await issue(server, "theirs"))[2] == ca
        for name in (serial, their_serial):
            shown = await server.read(f"pki/cert/{name}", "")
            assert shown is not None
            assert (shown["revocation_time"] > 0) is (name == serial)
        await server.write("sys/leases/revoke", lease_id=their_lease)
        shown = await server.read(f"pki/cert/{their_serial}", "")
        assert shown is not None
        assert shown["revocation_time"] > 0
    finally:
        await server.core.shutdown()
