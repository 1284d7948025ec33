"""``bao agent`` against the embedded server: it logs in by AppRole and renders a template."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from launcher.ports import free_port
from tests.support.engine_server import start_server
from tests.support.real import require

pytestmark = pytest.mark.real("openbao-2.6.2")
POLICY = 'path "kv/data/app/*" { capabilities = ["read"] }'
TEMPLATE = '{{ with secret "kv/data/app/db" }}{{ .Data.data.password }}{{ end }}\n'
PATIENCE_SECONDS = 60.0


def until(path: Path, text: str, process: "subprocess.Popen[bytes]") -> None:
    """Wait for the file to hold the text."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not path.exists() or path.read_text() != text:
        assert process.poll() is None, "the agent ended"
        assert time.monotonic() < deadline, path.read_text() if path.exists() else "no file"
        time.sleep(0.1)


def test_the_agent_logs_in_renders_and_follows_a_change(tmp_path: Path) -> None:
    binary = require("openbao-2.6.2")
    server = start_server(tmp_path / "server")
    try:
        server.initialize()
        for method, path, body in (
            ("POST", "sys/mounts/kv", {"type": "kv-v2"}),
            ("PUT", "sys/policies/acl/app", {"policy": POLICY}),
            ("POST", "sys/auth/approle", {"type": "approle"}),
            ("POST", "auth/approle/role/app", {"token_policies": "app", "token_ttl": "10s"}),
            ("POST", "auth/approle/role/app/role-id", {"role_id": "the-role"}),
            ("POST", "kv/data/app/db", {"data": {"password": "first"}}),
        ):
            assert server.request(method, path, body)[0] in (200, 204), path
        _, made = server.request("POST", "auth/approle/role/app/secret-id")
        secret_id = tmp_path / "secret_id"
        secret_id.write_text(made["data"]["secret_id"])
        (tmp_path / "role_id").write_text("the-role")
        rendered, sink = tmp_path / "rendered", tmp_path / "token"
        (tmp_path / "template.ctmpl").write_text(TEMPLATE)
        (tmp_path / "agent.hcl").write_text(f"""
vault {{ address = "{server.address}" }}
auto_auth {{
  method "approle" {{
    config = {{
      role_id_file_path = "{tmp_path}/role_id"
      secret_id_file_path = "{secret_id}"
    }}
  }}
  sink "file" {{ config = {{ path = "{sink}" }} }}
}}
template_config {{ static_secret_render_interval = "1s" }}
template {{
  source = "{tmp_path}/template.ctmpl"
  destination = "{rendered}"
}}
api_proxy {{ use_auto_auth_token = true }}
listener "tcp" {{
  address = "127.0.0.1:{free_port()}"
  tls_disable = true
}}
""")
        with (tmp_path / "agent.log").open("wb") as log:
            agent = subprocess.Popen(
                [binary, "agent", f"-config={tmp_path}/agent.hcl"],
                env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
                stdout=log,
                stderr=log,
            )
        try:
            until(rendered, "first\n", agent)
            assert not secret_id.exists(), "the agent removes a secret_id that it has used"
            token = sink.read_text()
            status, mine = server.request("GET", "auth/token/lookup-self", token=token)
            assert (status, mine["data"]["policies"]) == (200, ["app", "default"])
            server.request("POST", "kv/data/app/db", {"data": {"password": "second"}})
            until(rendered, "second\n", agent)
            deadline = time.monotonic() + PATIENCE_SECONDS
            renewed = mine
            while "last_renewal" not in renewed["data"]:
                assert time.monotonic() < deadline, "the agent never renewed its token"
                time.sleep(0.2)
                status, renewed = server.request("GET", "auth/token/lookup-self", token=token)
                assert status == 200
        finally:
            agent.send_signal(signal.SIGTERM)
            agent.wait(30)
    finally:
        assert server.stop() == 0
    assert "internal error" not in server.log
