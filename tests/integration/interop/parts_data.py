"""Parts that hold data: KV, cubbyhole, transit, mounts, limits and the server's own settings."""

import base64
import time
from typing import Any
from urllib.parse import quote

from tests.integration.interop.journey import Memory, Part, Server

NAMES = ("a", "é +/b", "deep/er/x")


def _pick(data: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: data.get(name) for name in names}


# -- KV ------------------------------------------------------------------------------------------


def _kv_begin(server: Server) -> Memory:
    server.write("sys/mounts/v1", type="kv", options={"version": "1"})
    server.write("sys/mounts/v2", type="kv-v2")
    server.write("v2/config", max_versions=4)
    server.write("v1/x", n=12345678901234567890, f=1.0, s="<&>é")
    for name in NAMES:
        for number in range(5):
            server.write(f"v2/data/{_quoted(name)}", data={"n": number, "s": "<&>é"})
        server.write(f"v2/metadata/{_quoted(name)}", custom_metadata={"owner": "one"})
    server.write("v2/delete/a", versions=[4])
    server.write("v2/destroy/a", versions=[3])
    server.write("v2/metadata/a", cas_required=True, delete_version_after="240h")
    return {}


def _quoted(name: str) -> str:
    return quote(name, safe="/")


def _kv_shown(server: Server, memory: Memory) -> Any:
    read = {name: server.read(f"v2/data/{_quoted(name)}") for name in NAMES}
    about = {name: server.read(f"v2/metadata/{_quoted(name)}") for name in NAMES}
    for metadata in about.values():
        metadata.pop("current_metadata_version", None)  # only OpenBao counts those
    lists = [server.list(f"v2/metadata/{folder}") for folder in ("", "deep/", "deep/er/")]
    statuses = [server.status("GET", f"v2/data/a?version={number}") for number in range(1, 7)]
    return read, about, lists, statuses, server.read("v2/config"), server.read("v1/x")


def _kv_go_on(server: Server, memory: Memory) -> None:
    assert server.status("POST", "v2/data/a", {"data": {"late": 1}}) == 400
    server.write("v2/data/a", data={"by": server.name}, options={"cas": 5})
    server.write("v2/undelete/a", versions=[4])
    server.delete("v2/metadata/deep/er/x")
    server.write("v2/data/deep/er/x", data={"anew": server.name})
    server.write("v1/folder/y", by=server.name)
    server.delete("v1/x")
    server.write("v1/x", z=1)


def _kv_finish(server: Server, memory: Memory) -> None:
    assert server.read("v2/data/a?version=4")["data"]["n"] == 3
    assert server.read("v2/data/deep/er/x")["metadata"]["version"] == 1
    assert server.list("v1/") == ["folder/", "x"]


# -- cubbyhole -----------------------------------------------------------------------------------


def _drawers_begin(server: Server) -> Memory:
    memory = {"one": server.token(policies=["default"], ttl="5h")}
    custom = {"id": "my-own-words", "policies": ["default"], "ttl": "5h"}
    memory["custom"] = server.token(**custom)
    for token in memory.values():
        server.write("cubbyhole/a/b", token, v="private", n=1.50)
        server.write("cubbyhole/a", token, v="file beside a folder")
    return memory


def _drawers_shown(server: Server, memory: Memory) -> Any:
    return [
        (server.list("cubbyhole/", token), server.read("cubbyhole/a/b", token))
        for token in memory.values()
    ]


def _drawers_go_on(server: Server, memory: Memory) -> None:
    for token in memory.values():
        server.write("cubbyhole/a/b", token, v=server.name)
        server.write("cubbyhole/c", token, v=1)
        server.delete("cubbyhole/a", token)
    assert server.status("GET", "cubbyhole/c") == 404, "root has a drawer of its own"


def _drawers_finish(server: Server, memory: Memory) -> None:
    for token in memory.values():
        server.write("auth/token/revoke", token=token)
        assert not server.lives(token)
    again = server.token(id="my-own-words", policies=["default"])
    assert server.status("GET", "cubbyhole/c", None, again) == 404


# -- transit -------------------------------------------------------------------------------------

PLAIN = base64.b64encode(b"plain").decode()


def _transit_begin(server: Server) -> Memory:
    server.write("sys/mounts/tr", type="transit")
    server.write("tr/keys/c")
    server.write("tr/keys/s", type="ed25519")
    server.write("tr/keys/d", derived=True, convergent_encryption=True, exportable=True)
    return {"texts": [_encrypted(server)], "signed": [_signed(server)]}


def _encrypted(server: Server) -> dict[str, str]:
    context = base64.b64encode(b"context").decode()
    derived = server.data("tr/encrypt/d", plaintext=PLAIN, context=context)
    return {
        "c": server.data("tr/encrypt/c", plaintext=PLAIN)["ciphertext"],
        "d": derived["ciphertext"],
    }


def _signed(server: Server) -> str:
    return str(server.data("tr/sign/s", input=PLAIN)["signature"])


def _transit_shown(server: Server, memory: Memory) -> Any:
    ignored = {"soft_deleted", "keys", "imported_key", "imported_key_allow_rotation"}
    keys = [server.read(f"tr/keys/{name}") for name in "csd"]
    settings = [{name: value for name, value in key.items() if name not in ignored} for key in keys]
    return settings, [sorted(key["keys"]) for key in keys], keys[1]["keys"]


def _transit_opens(server: Server, memory: Memory) -> None:
    context = base64.b64encode(b"context").decode()
    for text in memory["texts"]:
        assert server.data("tr/decrypt/c", ciphertext=text["c"])["plaintext"] == PLAIN
        opened = server.data("tr/decrypt/d", ciphertext=text["d"], context=context)
        assert opened["plaintext"] == PLAIN
    for signature in memory["signed"]:
        assert server.data("tr/verify/s", input=PLAIN, signature=signature)["valid"] is True


def _transit_go_on(server: Server, memory: Memory) -> None:
    _transit_opens(server, memory)
    for name in "csd":
        server.write(f"tr/keys/{name}/rotate")
    server.write("tr/keys/c/config", min_decryption_version=1, deletion_allowed=True)
    memory["texts"].append(_encrypted(server))
    memory["signed"].append(_signed(server))


def _transit_finish(server: Server, memory: Memory) -> None:
    _transit_opens(server, memory)
    assert memory["texts"][1]["c"].startswith("vault:v2:")
    server.delete("tr/keys/c")


# -- mounts --------------------------------------------------------------------------------------

_TUNING = ("default_lease_ttl", "max_lease_ttl", "description", "listing_visibility")
_KEYS = ("audit_non_hmac_request_keys", "audit_non_hmac_response_keys")


def _mounts_begin(server: Server) -> Memory:
    server.write(
        "sys/mounts/tuned", type="kv", description="as made", config={"max_lease_ttl": "9h"}
    )
    server.write(
        "sys/mounts/tuned/tune",
        default_lease_ttl="1800s",
        listing_visibility="unauth",
        audit_non_hmac_request_keys=["one", "two"],
        audit_non_hmac_response_keys=["three"],
        passthrough_request_headers=["X-One"],
        allowed_response_headers=["X-Two"],
    )
    server.write("sys/mounts/here", type="kv", local=True)
    server.write("sys/mounts/old/place", type="kv-v2")
    server.write("sys/mounts/doomed", type="kv")
    server.write("sys/auth/method", type="userpass", config={"default_lease_ttl": "2h"})
    for path in ("tuned/x", "here/x", "old/place/data/x", "doomed/x"):
        server.write(path, data={"at": path})
    _move(server, "old/place", "new/place")
    return {}


def _move(server: Server, source: str, target: str) -> None:
    """Move a mount and wait for it: OpenBao answers before it has."""
    server.write("sys/remount", **{"from": source, "to": target})
    for _ in range(500):
        if server.status("GET", f"{target}/data/x") == 200:
            return
        time.sleep(0.02)
    raise AssertionError(f"{source} did not become {target}")


def _mounts_shown(server: Server, memory: Memory) -> Any:
    tables = server.read("sys/mounts"), server.read("sys/auth")
    listed = [
        {
            path: _pick(
                entry, "type", "accessor", "local", "options", "description", "uuid", "config"
            )
        }
        for table in tables
        for path, entry in sorted(table.items())
        if path in ("tuned/", "here/", "old/place/", "new/place/", "doomed/", "method/", "moved/")
    ]
    tuned = server.read("sys/mounts/tuned/tune")
    return listed, _pick(tuned, *_TUNING, *_KEYS, "passthrough_request_headers")


def _mounts_go_on(server: Server, memory: Memory) -> None:
    assert server.read("new/place/data/x")["data"] == {"at": "old/place/data/x"}
    assert server.status("GET", "old/place/data/x") == 404
    assert server.read("here/x")["data"] == {"at": "here/x"}
    server.write("sys/mounts/tuned/tune", default_lease_ttl="60s", description=server.name)
    server.write("sys/auth/method/tune", max_lease_ttl="3h", token_type="batch")
    server.delete("sys/mounts/doomed")
    _move(server, "new/place", "old/place")


def _mounts_finish(server: Server, memory: Memory) -> None:
    assert server.read("old/place/data/x")["data"] == {"at": "old/place/data/x"}
    assert server.status("GET", "doomed/x") == 404
    server.write("sys/mounts/doomed", type="kv")
    assert server.status("GET", "doomed/x") == 404, "nothing of an unmounted engine comes back"
    server.write("auth/method/users/ann", password="geheim")
    assert server.login("auth/method/login/ann", password="geheim")["token_type"] == "batch"


# -- rate limits ---------------------------------------------------------------------------------


def _limits_begin(server: Server) -> Memory:
    server.write("sys/mounts/limited", type="kv")
    server.write("limited/x", v=1)
    limits = "sys/quotas/rate-limit"
    server.write(f"{limits}/one", path="limited/", rate=2, interval="600s", block_interval="600s")
    server.write(f"{limits}/two", path="limited/never", rate=0.5, interval="60s")
    server.write("sys/quotas/config", enable_rate_limit_response_headers=True)
    return {"statuses": [429]}


def _limits_shown(server: Server, memory: Memory) -> Any:
    rules = [server.read(f"sys/quotas/rate-limit/{name}") for name in ("one", "two")]
    config = server.read("sys/quotas/config")
    return rules, sorted(server.list("sys/quotas/rate-limit")), sorted(config.items(), key=str)


def _limits_hold(server: Server, allowed: int) -> None:
    statuses = [server.status("GET", "limited/x") for _ in range(allowed + 1)]
    assert statuses == [200] * allowed + [429]


def _limits_go_on(server: Server, memory: Memory) -> None:
    _limits_hold(server, 2)
    server.write("sys/quotas/rate-limit/one", path="limited/", rate=3, interval="600s")


def _limits_finish(server: Server, memory: Memory) -> None:
    _limits_hold(server, 3)


# -- settings of the server ----------------------------------------------------------------------


def _settings_begin(server: Server) -> Memory:
    server.write("sys/config/auditing/request-headers/X-Seen", hmac=False)
    server.write("sys/config/auditing/request-headers/X-Hashed", hmac=True)
    server.write("sys/config/cors", allowed_origins="https://ui.example")
    server.write("sys/config/ui/headers/X-Custom", values=["one"])
    server.write("sys/rotate/config", interval="96h", max_operations=3_000_000)
    server.write("sys/rotate")
    return {}


def _settings_shown(server: Server, memory: Memory) -> Any:
    cors = server.read("sys/config/cors")
    return (
        server.read("sys/config/auditing/request-headers"),
        (cors["enabled"], cors["allowed_origins"]),
        server.read("sys/config/ui/headers/X-Custom"),
        server.read("sys/rotate/config"),
        _pick(server.read("sys/key-status"), "term", "install_time"),
    )


def _settings_go_on(server: Server, memory: Memory) -> None:
    server.delete("sys/config/auditing/request-headers/X-Seen")
    server.write("sys/config/cors", allowed_origins="https://other.example")
    server.write("sys/rotate/config", interval="72h", enabled=True, max_operations=4_000_000)
    server.write("sys/rotate")


def _settings_finish(server: Server, memory: Memory) -> None:
    assert server.read("sys/key-status")["term"] == 3


DATA = {
    "kv": Part(_kv_begin, _kv_go_on, _kv_finish, _kv_shown),
    "cubbyhole": Part(_drawers_begin, _drawers_go_on, _drawers_finish, _drawers_shown),
    "transit": Part(_transit_begin, _transit_go_on, _transit_finish, _transit_shown),
    "mounts": Part(_mounts_begin, _mounts_go_on, _mounts_finish, _mounts_shown),
    "rate limits": Part(_limits_begin, _limits_go_on, _limits_finish, _limits_shown),
    "settings": Part(_settings_begin, _settings_go_on, _settings_finish, _settings_shown),
}
