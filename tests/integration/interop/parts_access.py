"""Parts that say who may do what: policies, tokens of every kind, token roles, wrapping, leases."""

import time
from typing import Any

from tests.integration.interop.journey import Memory, Part, Server

_POLICY = "sys/policies/acl"


def _told(server: Server, token: str) -> dict[str, Any]:
    """What a token is, without what time changes and what one server only says."""
    found: dict[str, Any] = dict(server.data("auth/token/lookup", token=token))
    for name in ("ttl", "last_renewal", "last_renewal_time", "external_namespace_policies"):
        found.pop(name, None)
    if found["expire_time"] is None:
        # A token that never ends has a lease in one server's answer only.
        found.pop("issue_time", None)
    return found


# -- policies ------------------------------------------------------------------------------------

_RULES = """\
path "acl/*" { capabilities = ["create", "read", "update", "list"] }
path "acl/secret" { capabilities = ["deny"] }
path "acl/+/open" { capabilities = ["read"] }
path "acl/choosy" {
  capabilities = ["create", "update"]
  allowed_parameters = { "colour" = ["red", "gr*"], "size" = [] }
  required_parameters = ["size"]
}
path "acl/wrapped" { capabilities = ["read"] min_wrapping_ttl = "1s" max_wrapping_ttl = "1h" }
"""
_QUESTIONS = [
    ("GET", "acl/x", None, 200),
    ("GET", "acl/secret", None, 403),
    ("POST", "acl/choosy", {"colour": "green", "size": 1}, 204),
    ("POST", "acl/choosy", {"colour": "blue", "size": 1}, 403),
    ("POST", "acl/choosy", {"colour": "red"}, 403),
    ("GET", "acl/wrapped", None, 403),
    ("POST", "acl/a/open", {"v": 1}, 403),
    ("DELETE", "acl/x", None, 403),
    ("GET", "sys/mounts", None, 403),
]


def _policies_begin(server: Server) -> Memory:
    server.write("sys/mounts/acl", type="kv")
    for name in ("x", "secret", "choosy", "wrapped"):
        server.write(f"acl/{name}", v=1)
    server.write(f"{_POLICY}/rules", policy=_RULES)
    server.write(f"{_POLICY}/Upper/and.more", policy='path "acl/x" { policy = "read" }')
    server.write(f"{_POLICY}/as-json", policy='{"path":{"acl/x":{"capabilities":["read"]}}}')
    return {"token": server.token(policies=["rules"], ttl="5h")}


def _policies_shown(server: Server, memory: Memory) -> Any:
    names = ("rules", "upper/and.more", "as-json")
    return [server.read(f"{_POLICY}/{name}")["policy"] for name in names]


def _policies_hold(server: Server, memory: Memory) -> None:
    for method, path, body, expected in _QUESTIONS:
        found = server.status(method, path, body, memory["token"])
        assert found == expected, (method, path)


def _policies_go_on(server: Server, memory: Memory) -> None:
    _policies_hold(server, memory)
    server.write(f"{_POLICY}/rules", policy='path "acl/x" { capabilities = ["delete"] }')
    assert server.status("DELETE", "acl/x", None, memory["token"]) == 204
    server.delete(f"{_POLICY}/as-json")
    server.write(f"{_POLICY}/as-json", policy="# nothing\n")


def _policies_finish(server: Server, memory: Memory) -> None:
    assert server.status("GET", "acl/x", None, memory["token"]) == 403
    assert server.status("DELETE", "acl/x", None, memory["token"]) == 204


# -- policies that end: what OpenBao alone knows, in a store that it has served --------------------

_MORE = {"cas_required": True, "allow_slashes_in_identity_templates": True}


def _ending_begin(server: Server) -> Memory:
    memory: Memory = {}
    if server.knows_endings:
        _ending_made(server, memory)
    return memory


def _ending_made(server: Server, memory: Memory) -> None:
    """Some that are over before the next server starts, or soon after, and some that go on."""
    if "short" in memory:
        return
    server.write("sys/mounts/ends", type="kv")
    server.write("ends/x", v=1)
    rule = 'path "ends/x" { capabilities = ["read"] %s }'
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
    server.write(f"{_POLICY}/short", policy=rule % "", ttl="1s")
    server.write(f"{_POLICY}/stanza", policy=rule % f'expiration = "{soon}"')
    server.write(f"{_POLICY}/long", policy=rule % "", ttl="5h", cas=-1, **_MORE)
    for name in ("short", "stanza", "long"):
        memory[name] = server.token(policies=[name], ttl="5h")


def _ending_shown(server: Server, memory: Memory) -> Any:
    return server.read(f"{_POLICY}/long") if memory else None


def _ending_hold(server: Server, memory: Memory) -> None:
    assert server.status("GET", "ends/x", None, memory["long"]) == 200
    for name in ("short", "stanza"):
        for _ in range(100):
            if server.status("GET", "ends/x", None, memory[name]) == 403:
                break
            time.sleep(0.1)
        assert server.status("GET", "ends/x", None, memory[name]) == 403, name
    assert server.status("GET", f"{_POLICY}/short") == 404
    assert server.status("POST", f"{_POLICY}/long", {"policy": "# lost"}) == 400


def _ending_go_on(server: Server, memory: Memory) -> None:
    if memory:
        _ending_hold(server, memory)
    _ending_made(server, memory)


def _ending_finish(server: Server, memory: Memory) -> None:
    _ending_hold(server, memory)
    server.write(f"{_POLICY}/long", policy="# no more", cas=1)
    assert server.read(f"{_POLICY}/long")["version"] == 2


# -- tokens --------------------------------------------------------------------------------------


def _tokens_begin(server: Server) -> Memory:
    server.write(f"{_POLICY}/makes", policy='path "auth/token/create" { policy = "write" }')
    parent = server.token(policies=["makes"], ttl="5h", meta={"who": "é"}, display_name="One")
    wishes: dict[str, tuple[str | None, dict[str, Any]]] = {
        "child": (parent, {"ttl": "1h"}),
        "periodic": (None, {"policies": ["default"], "period": "2h"}),
        "orphan": (None, {"policies": ["default"], "no_parent": True, "ttl": "5h"}),
        "counted": (None, {"policies": ["default"], "num_uses": 4, "ttl": "5h"}),
        "short": (None, {"policies": ["default"], "ttl": "1h", "explicit_max_ttl": "3h"}),
        "fixed": (None, {"policies": ["default"], "ttl": "1h", "renewable": False}),
        "custom": (None, {"id": "words-of-mine", "policies": ["default"], "ttl": "5h"}),
        "root": (None, {"policies": ["root"]}),
    }
    memory = {name: server.token(by, "create", **wish) for name, (by, wish) in wishes.items()}
    assert server.lives(memory["counted"])
    return {**memory, "parent": parent}


def _tokens_shown(server: Server, memory: Memory) -> Any:
    return {name: _told(server, token) for name, token in memory.items() if name != "accessor_gone"}


def _tokens_go_on(server: Server, memory: Memory) -> None:
    assert _told(server, memory["counted"])["num_uses"] == 3
    assert server.lives(memory["counted"])
    renewed = server.write("auth/token/renew", token=memory["periodic"])["auth"]
    assert renewed["lease_duration"] == 7200
    capped = server.write("auth/token/renew", token=memory["short"], increment="9h")["auth"]
    assert 9000 < capped["lease_duration"] <= 10800
    assert server.status("POST", "auth/token/renew", {"token": memory["fixed"]}) == 400
    accessor = _told(server, memory["child"])["accessor"]
    found = server.data("auth/token/lookup-accessor", accessor=accessor)
    assert (found["id"], found["accessor"]) == ("", accessor)
    memory["accessor_gone"] = accessor
    server.write("auth/token/revoke-accessor", accessor=accessor)
    assert not server.lives(memory["child"])
    memory["child"] = server.token(memory["parent"], ttl="1h")
    assert server.status("POST", "auth/token/create", {"id": "words-of-mine"}) == 400


def _tokens_finish(server: Server, memory: Memory) -> None:
    assert [server.lives(memory["counted"]) for _ in range(3)] == [True, True, False]
    server.write("auth/token/revoke", token=memory["parent"])
    assert not server.lives(memory["child"])
    assert server.status(
        "POST", "auth/token/lookup-accessor", {"accessor": memory["accessor_gone"]}
    ) in (400, 403)
    for name in ("periodic", "orphan", "short", "fixed", "custom", "root"):
        assert server.lives(memory[name]), name
    assert server.status("GET", "sys/mounts", None, memory["root"]) == 200


# -- batch tokens --------------------------------------------------------------------------------


def _batch_begin(server: Server) -> Memory:
    server.write(f"{_POLICY}/batch", policy='path "auth/token/create" { policy = "write" }')
    parent = server.token(policies=["batch"], ttl="5h")
    return {
        "parent": parent,
        "child": server.token(parent, type="batch", ttl="2h"),
        "free": server.token(
            path="create-orphan", type="batch", policies=["default"], ttl="2h", meta={"a": "b"}
        ),
    }


def _batch_shown(server: Server, memory: Memory) -> Any:
    return [_told(server, memory[name]) for name in ("child", "free")]


def _batch_go_on(server: Server, memory: Memory) -> None:
    for name in ("child", "free"):
        assert server.lives(memory[name]), name
        assert server.status("POST", "cubbyhole/x", {"v": 1}, memory[name]) in (400, 500)
        assert server.status("POST", "auth/token/create", {}, memory[name]) in (400, 403)
    memory["theirs"] = server.token(memory["parent"], type="batch", ttl="2h")


def _batch_finish(server: Server, memory: Memory) -> None:
    assert server.lives(memory["theirs"])
    server.write("auth/token/revoke", token=memory["parent"])
    assert not server.lives(memory["theirs"])
    assert not server.lives(memory["child"])
    assert server.lives(memory["free"])


# -- token roles ---------------------------------------------------------------------------------


def _roles_begin(server: Server) -> Memory:
    server.write(
        "auth/token/roles/r",
        allowed_policies=["p1", "p2"],
        disallowed_policies_glob=["x*"],
        orphan=True,
        token_period="2h",
        token_bound_cidrs=["127.0.0.0/8"],
        token_num_uses=9,
        path_suffix="suffix",
    )
    server.write("auth/token/roles/gone", allowed_policies="p1")
    made = server.token(None, "create/r")
    return {"made": made, "gone": server.token(None, "create/gone", ttl="2h")}


def _roles_shown(server: Server, memory: Memory) -> Any:
    ignored = ("token_strictly_bind_ip", "token_type")
    role = server.read("auth/token/roles/r")
    return (
        {name: value for name, value in role.items() if name not in ignored},
        _told(server, memory["made"]),
    )


def _roles_go_on(server: Server, memory: Memory) -> None:
    told = _told(server, memory["made"])
    assert (told["role"], told["orphan"], told["path"]) == ("r", True, "auth/token/create/r/suffix")
    assert server.status("POST", "auth/token/create/r", {"policies": ["p3"]}) == 400
    assert server.write("auth/token/renew", token=memory["made"])["auth"]["lease_duration"] == 7200
    server.write("auth/token/roles/r", token_period="3h", allowed_policies=["p1", "p3"])
    server.delete("auth/token/roles/gone")
    assert server.status("POST", "auth/token/renew", {"token": memory["gone"]}) in (400, 500)
    memory["theirs"] = server.token(None, "create/r", policies=["p3"])


def _roles_finish(server: Server, memory: Memory) -> None:
    for name in ("made", "theirs"):
        renewed = server.write("auth/token/renew", token=memory[name])["auth"]
        assert renewed["lease_duration"] == 10800
    assert _told(server, memory["theirs"])["policies"] == ["default", "p3"]
    assert server.list("auth/token/roles") == ["r"]


# -- leases --------------------------------------------------------------------------------------


def _leases_begin(server: Server) -> Memory:
    server.write("sys/auth/leased", type="userpass")
    memory = {}
    for name in ("ann", "bob", "cid"):
        server.write(f"auth/leased/users/{name}", password="geheim", token_ttl="2h")
        memory[name] = _leased(server, name)
    return memory


def _leased(server: Server, name: str) -> str:
    login = server.login(f"auth/leased/login/{name}", password="geheim")
    return str(login["client_token"])


def _leases_shown(server: Server, memory: Memory) -> Any:
    folders = server.list("sys/leases/lookup/auth/leased/login")
    ids = [(name, server.list(f"sys/leases/lookup/auth/leased/login/{name}")) for name in folders]
    leases = [
        server.data("sys/leases/lookup", lease_id=f"auth/leased/login/{folder}{name}")
        for folder, names in ids
        for name in names
    ]
    for lease in leases:
        lease.pop("ttl")
        lease.pop("path", None)
    return ids, leases


def _leases_go_on(server: Server, memory: Memory) -> None:
    folder = "auth/leased/login/ann"
    (name,) = server.list(f"sys/leases/lookup/{folder}")
    server.write("sys/leases/revoke", lease_id=f"{folder}/{name}", sync=True)
    assert not server.lives(memory["ann"])
    memory["ann"] = _leased(server, "ann")
    server.write("auth/token/renew-self", memory["bob"])


def _leases_finish(server: Server, memory: Memory) -> None:
    for token in memory.values():
        assert server.lives(token)
    server.write("sys/leases/revoke-prefix/auth/leased/login/bob")
    assert [server.lives(memory[name]) for name in ("ann", "bob", "cid")] == [True, False, True]
    server.delete("sys/auth/leased")
    assert not any(server.lives(token) for token in memory.values())


ACCESS = {
    "policies": Part(_policies_begin, _policies_go_on, _policies_finish, _policies_shown),
    "policies that end": Part(_ending_begin, _ending_go_on, _ending_finish, _ending_shown),
    "tokens": Part(_tokens_begin, _tokens_go_on, _tokens_finish, _tokens_shown),
    "batch tokens": Part(_batch_begin, _batch_go_on, _batch_finish, _batch_shown),
    "token roles": Part(_roles_begin, _roles_go_on, _roles_finish, _roles_shown),
    "leases": Part(_leases_begin, _leases_go_on, _leases_finish, _leases_shown),
}
