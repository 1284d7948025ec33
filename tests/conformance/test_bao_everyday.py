"""What people do every day with OpenBao's own command line, against the embedded server."""

import base64
import json
from pathlib import Path

import pytest

from tests.conformance.test_bao_cli import Bao, bao  # noqa: F401 - a fixture

PKI_ROOT = "pki/root"
pytestmark = pytest.mark.real("openbao-2.6.2")


def ok(command: Bao, *arguments: str, token: str | None = None) -> str:
    done = command.run(*arguments, token=token)
    assert done.returncode == 0, (arguments, done.stdout + done.stderr)
    return done.stdout.strip()


def test_login_by_token_userpass_and_approle(bao: Bao) -> None:  # noqa: F811
    bao.server.initialize()
    ok(bao, "auth", "enable", "-description=people", "userpass")
    ok(bao, "auth", "enable", "approle")
    assert json.loads(ok(bao, "auth", "list"))["userpass/"]["description"] == "people"
    ok(bao, "auth", "tune", "-default-lease-ttl=1h", "userpass/")
    ok(bao, "write", "auth/userpass/users/ann", "password=pw", "token_policies=app")
    told = json.loads(
        ok(bao, "login", "-no-store", "-method=userpass", "username=ann", "password=pw", token="")
    )
    assert told["auth"]["policies"] == ["app", "default"]
    assert told["auth"]["lease_duration"] == 3600
    refused = bao.run(
        "login", "-no-store", "-method=userpass", "username=ann", "password=no", token=""
    )
    assert refused.returncode == 2
    assert "invalid username or password" in refused.stderr
    ok(bao, "write", "auth/approle/role/r", "token_policies=app")
    role = json.loads(ok(bao, "read", "auth/approle/role/r/role-id"))["data"]["role_id"]
    secret = json.loads(ok(bao, "write", "-f", "auth/approle/role/r/secret-id"))["data"]
    given = [f"role_id={role}", f"secret_id={secret['secret_id']}"]
    assert json.loads(ok(bao, "write", "auth/approle/login", *given))["auth"]["client_token"]
    token = told["auth"]["client_token"]
    ok(bao, "login", "-no-store", token)
    assert json.loads(ok(bao, "token", "lookup", token=token))["data"]["display_name"] == (
        "userpass-ann"
    )
    ok(bao, "auth", "move", "auth/userpass/", "auth/people/")
    ok(bao, "auth", "disable", "people/")
    assert bao.run("token", "lookup", token=token).returncode == 2


def test_kv_in_both_versions(bao: Bao) -> None:  # noqa: F811
    bao.server.initialize()
    ok(bao, "secrets", "enable", "-path=old", "-version=1", "kv")
    ok(bao, "secrets", "enable", "-path=new", "kv-v2")
    ok(bao, "kv", "put", "-mount=old", "a/b", "x=1")
    assert json.loads(ok(bao, "kv", "get", "-mount=old", "a/b"))["data"] == {"x": "1"}
    assert json.loads(ok(bao, "kv", "list", "-mount=old", "a")) == ["b"]
    ok(bao, "kv", "delete", "-mount=old", "a/b")
    for number in range(3):
        ok(bao, "kv", "put", "-mount=new", f"-cas={number}", "a", f"n={number}")
    assert bao.run("kv", "put", "-mount=new", "-cas=1", "a", "n=9").returncode == 2
    ok(bao, "kv", "rollback", "-mount=new", "-version=1", "a")
    assert json.loads(ok(bao, "kv", "get", "-mount=new", "a"))["data"]["data"] == {"n": "0"}
    ok(bao, "kv", "metadata", "put", "-mount=new", "-custom-metadata=who=me", "a")
    ok(bao, "kv", "destroy", "-mount=new", "-versions=2", "a")
    told = json.loads(ok(bao, "kv", "metadata", "get", "-mount=new", "a"))["data"]
    assert told["custom_metadata"] == {"who": "me"}
    assert told["versions"]["2"]["destroyed"] is True
    ok(bao, "kv", "metadata", "delete", "-mount=new", "a")
    assert bao.run("kv", "get", "-mount=new", "a").returncode == 2
    ok(bao, "secrets", "tune", "-max-lease-ttl=2h", "new/")
    ok(bao, "secrets", "move", "new/", "newer/")
    ok(bao, "secrets", "disable", "newer/")
    assert "newer/" not in json.loads(ok(bao, "secrets", "list"))


def test_policies_tokens_and_capabilities(bao: Bao, tmp_path: Path) -> None:  # noqa: F811
    bao.server.initialize()
    ok(bao, "secrets", "enable", "-path=kv", "-version=1", "kv")
    text = tmp_path / "p.hcl"
    text.write_text('path "kv/*" { capabilities = ["read", "list"] }\n')
    ok(bao, "policy", "fmt", str(text))
    ok(bao, "policy", "write", "p", str(text))
    assert json.loads(ok(bao, "policy", "read", "p"))["policy"] == text.read_text()
    made = json.loads(ok(bao, "token", "create", "-policy=p", "-ttl=1h", "-orphan"))["auth"]
    token = made["client_token"]
    assert json.loads(ok(bao, "token", "capabilities", token, "kv/x")) == ["list", "read"]
    renewed = json.loads(ok(bao, "token", "renew", "-increment=30m", token))["auth"]
    assert renewed["lease_duration"] == 1800
    ok(bao, "token", "revoke", "-accessor", made["accessor"])
    assert bao.run("token", "lookup", token=token).returncode == 2
    ok(bao, "policy", "delete", "p")
    assert "p" not in json.loads(ok(bao, "policy", "list"))


def test_transit_leases_wrapping_and_audit(bao: Bao) -> None:  # noqa: F811
    bao.server.initialize()
    ok(bao, "secrets", "enable", "transit")
    ok(bao, "write", "-f", "transit/keys/k")
    text = base64.b64encode(b"plain").decode()
    cipher = json.loads(ok(bao, "write", "transit/encrypt/k", f"plaintext={text}"))["data"]
    opened = json.loads(ok(bao, "write", "transit/decrypt/k", f"ciphertext={cipher['ciphertext']}"))
    assert opened["data"]["plaintext"] == text
    ok(bao, "write", "-f", "transit/keys/k/rotate")
    again = json.loads(ok(bao, "write", "transit/rewrap/k", f"ciphertext={cipher['ciphertext']}"))
    assert again["data"]["ciphertext"].startswith("vault:v2:")
    ok(bao, "secrets", "enable", "pki")
    ok(bao, "write", f"{PKI_ROOT}/generate/internal", "common_name=x.example", "key_type=ec")
    role = ["allowed_domains=x.example", "allow_subdomains=true", "generate_lease=true"]
    ok(bao, "write", "pki/roles/r", *role, "key_type=ec", "key_bits=256", "max_ttl=1h")
    lease = json.loads(ok(bao, "write", "pki/issue/r", "common_name=a.x.example"))["lease_id"]
    assert json.loads(ok(bao, "lease", "lookup", lease))["data"]["id"] == lease
    ok(bao, "lease", "revoke", "-sync", lease)
    assert bao.run("lease", "lookup", lease).returncode == 2
    ok(bao, "lease", "revoke", "-prefix", "pki/")
    wrapped = json.loads(ok(bao, "read", "-wrap-ttl=60", "transit/keys/k"))["wrap_info"]["token"]
    assert json.loads(ok(bao, "unwrap", wrapped))["data"]["latest_version"] == 2
    assert bao.run("unwrap", wrapped).returncode == 2
    status, _ = bao.server.request(
        "PUT", "sys/audit/f", {"type": "file", "options": {"file_path": str(bao.home / "audit")}}
    )
    assert status == 204
    assert json.loads(ok(bao, "audit", "list"))["f/"]["type"] == "file"
