"""Parts about who logs in: AppRole, userpass, entities, aliases, groups, templated policies."""

import json
import time
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.integration.interop.journey import Memory, Part, Server
from zvault.crypto import jws

_KEY = ec.generate_private_key(ec.SECP256R1())
_PEM = _KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
_POLICY = "sys/policies/acl"
_SECRET = "geheim"
_ROLE = "auth/robots/role/web"
_STRICT = "token_strictly_bind_ip"

# -- AppRole -------------------------------------------------------------------------------------


def _approle_begin(server: Server) -> Memory:
    server.write("sys/auth/robots", type="approle")
    server.write(
        _ROLE,
        token_policies=["default", "b"],
        token_ttl="1h",
        token_max_ttl="4h",
        secret_id_ttl="90h",
        secret_id_num_uses=10,
        secret_id_bound_cidrs=["127.0.0.0/8"],
        token_bound_cidrs=["127.0.0.1"],
    )
    server.write(f"{_ROLE}/role-id", role_id="chosen")
    memory = {}
    for name, wish in {
        "counted": {"num_uses": 3, "metadata": '{"from":"one"}'},
        "bound": {"cidr_list": ["127.0.0.1/32"]},
        "gone": {},
    }.items():
        memory[name] = server.data(f"{_ROLE}/secret-id", **wish)
    server.data(f"{_ROLE}/custom-secret-id", secret_id="of-my-own")
    memory["custom"] = {"secret_id": "of-my-own"}
    memory["token"] = _approle_in(server, memory["counted"])
    return memory


def _approle_in(server: Server, secret: dict[str, Any]) -> dict[str, Any]:
    return server.login("auth/robots/login", role_id="chosen", secret_id=secret["secret_id"])


def _approle_shown(server: Server, memory: Memory) -> Any:
    role = server.read(_ROLE)
    role.pop(_STRICT, None)
    ids = [
        server.data(f"{_ROLE}/secret-id/lookup", secret_id=memory[name]["secret_id"])
        for name in ("counted", "bound", "custom")
    ]
    return role, ids, sorted(server.list(f"{_ROLE}/secret-id")), server.list("auth/robots/role")


def _approle_go_on(server: Server, memory: Memory) -> None:
    for name in ("counted", "bound", "custom"):
        login = _approle_in(server, memory[name])
        assert login["entity_id"] == memory["token"]["entity_id"]
        assert login["policies"] == ["b", "default"]
    server.write("auth/token/renew", token=memory["token"]["client_token"])
    accessor = memory["gone"]["secret_id_accessor"]
    found = server.data(f"{_ROLE}/secret-id-accessor/lookup", secret_id_accessor=accessor)
    assert found["secret_id_accessor"] == accessor
    server.write(f"{_ROLE}/secret-id-accessor/destroy", secret_id_accessor=accessor)
    server.write(_ROLE, token_policies=["c"])
    server.write("auth/robots/role/second", bind_secret_id=False, token_bound_cidrs="127.0.0.1")
    memory["theirs"] = server.data(f"{_ROLE}/secret-id", num_uses=1)


def _approle_finish(server: Server, memory: Memory) -> None:
    body = {"role_id": "chosen", "secret_id": memory["gone"]["secret_id"]}
    assert server.status("POST", "auth/robots/login", body, "") == 400
    assert _approle_in(server, memory["counted"])["token_policies"] == ["c", "default"]
    body["secret_id"] = memory["counted"]["secret_id"]
    assert server.status("POST", "auth/robots/login", body, "") == 400, "used up over both"
    _approle_in(server, memory["theirs"])
    body["secret_id"] = memory["theirs"]["secret_id"]
    assert server.status("POST", "auth/robots/login", body, "") == 400
    server.delete(_ROLE)
    body["secret_id"] = "of-my-own"
    assert server.status("POST", "auth/robots/login", body, "") == 400


# -- userpass ------------------------------------------------------------------------------------


def _users_begin(server: Server) -> Memory:
    server.write("sys/auth/people", type="userpass")
    server.write(
        "auth/people/users/Ann",
        password=_SECRET,
        token_policies=["p"],
        token_ttl="1h",
        token_max_ttl="3h",
        token_bound_cidrs="127.0.0.0/8",
        token_num_uses=7,
    )
    server.write("auth/people/users/old", password=_SECRET, policies="q", ttl="2h")
    return {"login": server.login("auth/people/login/ann", password=_SECRET)}


def _users_shown(server: Server, memory: Memory) -> Any:
    users = [server.read(f"auth/people/users/{name}") for name in ("ann", "old")]
    for user in users:
        user.pop(_STRICT, None)
    return users, server.list("auth/people/users")


def _users_go_on(server: Server, memory: Memory) -> None:
    again = server.login("auth/people/login/ANN", password=_SECRET)
    assert again["entity_id"] == memory["login"]["entity_id"]
    assert server.login("auth/people/login/old", password=_SECRET)["policies"] == ["default", "q"]
    server.write("auth/people/users/ann/password", password="anew")
    server.write("auth/people/users/ann/policies", token_policies=["r"])
    renewing = {"token": memory["login"]["client_token"]}
    assert server.status("POST", "auth/token/renew", renewing) in (400, 500)


def _users_finish(server: Server, memory: Memory) -> None:
    old = server.status("POST", "auth/people/login/ann", {"password": _SECRET}, "")
    assert old == 400
    login = server.login("auth/people/login/ann", password="anew")
    assert login["token_policies"] == ["default", "r"]
    assert login["entity_id"] == memory["login"]["entity_id"]


# -- identity ------------------------------------------------------------------------------------

_OWN = """\
path "mine/{{identity.entity.name}}/*" { capabilities = ["read"] }
path "mine/of/{{identity.entity.metadata.team}}" { capabilities = ["read"] }
path "mine/in/{{identity.groups.names.inner.metadata.floor}}" { capabilities = ["read"] }
"""


def _identity_begin(server: Server) -> Memory:
    server.write("sys/mounts/mine", type="kv")
    for path in ("anna/x", "bert/x", "of/blue", "in/3", "grouped", "external"):
        server.write(f"mine/{path}", v=1)
    server.write(f"{_POLICY}/own", policy=_OWN)
    for name in ("grouped", "external"):
        rule = f'path "mine/{name}" {{ capabilities = ["read"] }}'
        server.write(f"{_POLICY}/{name}", policy=rule)
    server.write("sys/auth/names", type="userpass")
    accessor = server.read("sys/auth")["names/"]["accessor"]
    memory: Memory = {"accessor": accessor}
    for name in ("anna", "bert", "carl", "dora"):
        server.write(f"auth/names/users/{name}", password=_SECRET)
        made = server.data(
            "identity/entity", name=name, metadata={"team": "blue"}, policies=["own"]
        )
        memory[name] = made["id"]
    for name in ("anna", "bert", "carl"):
        alias = {"name": name, "mount_accessor": accessor, "canonical_id": memory[name]}
        server.write("identity/entity-alias", custom_metadata={"k": "v"}, **alias)
    server.write("identity/entity/name/carl", disabled=True)
    inner = {"name": "inner", "member_entity_ids": [memory["anna"]], "metadata": {"floor": "3"}}
    memory["inner"] = server.data("identity/group", **inner)["id"]
    outer = {"name": "outer", "member_group_ids": [memory["inner"]], "policies": ["grouped"]}
    memory["outer"] = server.data("identity/group", **outer)["id"]
    _external_begin(server, memory)
    return memory


def _external_begin(server: Server, memory: Memory) -> None:
    server.write("sys/auth/issuer", type="jwt")
    server.write("auth/issuer/config", jwt_validation_pubkeys=_PEM)
    role: dict[str, Any] = {"role_type": "jwt", "user_claim": "sub", "groups_claim": "groups"}
    role |= {"claim_mappings": {"team": "team"}, "token_policies": ["team"]}
    server.write("auth/issuer/role/r", bound_audiences="a", **role)
    group = server.data("identity/group", name="ext", type="external", policies=["external"])
    memory["ext"] = group["id"]
    accessor = server.read("sys/auth")["issuer/"]["accessor"]
    place = f"mine/of/{{{{identity.entity.aliases.{accessor}.metadata.team}}}}"
    server.write(f"{_POLICY}/team", policy=f'path "{place}" {{ capabilities = ["read"] }}')
    alias = {"name": "staff", "mount_accessor": accessor, "canonical_id": memory["ext"]}
    memory["group_alias"] = server.data("identity/group-alias", **alias)["id"]
    _assert_external(server, ["staff", "other"], 200)


def _assert_external(server: Server, groups: list[str], expected: int) -> None:
    token = _signed_in(server, groups, "blue")
    assert server.status("GET", "mine/external", None, token) == expected


def _signed_in(server: Server, groups: list[str], team: str) -> str:
    claims = {"sub": "eve", "aud": "a", "groups": groups, "team": team, "iat": int(time.time())}
    text = jws.sign(_KEY, "ES256", "", json.dumps(claims).encode())
    return str(server.login("auth/issuer/login", role="r", jwt=text)["client_token"])


def _assert_teams_follow_logins(server: Server) -> None:
    """Also for tokens of an earlier login: they are the same entity's."""
    before = _signed_in(server, [], "blue")
    assert server.status("GET", "mine/of/blue", None, before) == 200
    after = _signed_in(server, [], "red")
    assert [server.status("GET", "mine/of/blue", None, t) for t in (before, after)] == [403, 403]


def _identity_shown(server: Server, memory: Memory) -> Any:
    entities = [server.read(f"identity/entity/id/{memory[n]}") for n in ("anna", "bert", "carl")]
    groups = [server.read(f"identity/group/id/{memory[n]}") for n in ("inner", "outer", "ext")]
    found = server.data("identity/lookup/entity", name="anna")
    for shown in (*entities, found):
        shown["group_ids"] = sorted(shown["group_ids"])
    for group in groups:
        group.pop("modify_index")  # OpenBao counts its own start
    alias = server.read(f"identity/group-alias/id/{memory['group_alias']}")
    names = server.list("identity/entity/name")
    return entities, groups, found["id"], alias, sorted({*names} & {"anna", "bert", "carl", "dora"})


def _assert_anna(server: Server, *, grouped: int) -> None:
    login = server.login("auth/names/login/anna", password=_SECRET)
    token = login["client_token"]
    expected = {"anna/x": 200, "bert/x": 403, "of/blue": 200, "of/red": 403, "grouped": grouped}
    expected["in/3"] = grouped
    for path, status in expected.items():
        assert server.status("GET", f"mine/{path}", None, token) == status, path


def _identity_go_on(server: Server, memory: Memory) -> None:
    _assert_anna(server, grouped=200)
    body = {"password": _SECRET}
    assert server.status("POST", "auth/names/login/carl", body, "") in (400, 403)
    _assert_external(server, [], 403)
    _assert_teams_follow_logins(server)
    _assert_external(server, ["staff"], 200)
    server.write("identity/group/name/inner", member_entity_ids=[])
    server.write("identity/entity/name/carl", disabled=False, metadata={"team": "red"})
    merge = {"from_entity_ids": [memory["dora"]], "to_entity_id": memory["bert"]}
    server.write("identity/entity/merge", **merge)
    server.write("identity/group/name/outer", policies=["own"])


def _identity_finish(server: Server, memory: Memory) -> None:
    _assert_anna(server, grouped=403)
    carl = server.login("auth/names/login/carl", password=_SECRET)["client_token"]
    assert server.status("GET", "mine/of/blue", None, carl) == 403
    merged = server.read(f"identity/entity/id/{memory['bert']}")["merged_entity_ids"]
    assert merged == [memory["dora"]]
    assert server.status("GET", f"identity/entity/id/{memory['dora']}") == 404
    server.delete(f"identity/entity/id/{memory['anna']}")
    anew = server.login("auth/names/login/anna", password=_SECRET)["entity_id"]
    assert anew not in (memory["anna"], "")
    _assert_external(server, [], 403)
    _assert_teams_follow_logins(server)


PEOPLE = {
    "AppRole": Part(_approle_begin, _approle_go_on, _approle_finish, _approle_shown),
    "userpass": Part(_users_begin, _users_go_on, _users_finish, _users_shown),
    "identity": Part(_identity_begin, _identity_go_on, _identity_finish, _identity_shown),
}
