"""Generated policies judged by the compiled ACL and by a real OpenBao: the same rights.

HashiCorp Vault's present ACL and OpenBao's decide alike in everything asked here.
"""

import json
import random
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import slow_policy
from tests.support.openbao import OpenBao, running
from zvault.engine.api import Operation
from zvault.engine.policy.acl import Acl
from zvault.engine.policy.parse import PolicySyntaxError, parse_policy
from zvault.engine.policy.template import TemplateAlias, TemplateIdentity, resolve

WORDS = ["a", "b", "ab", "a+", "+", "x", ""]
SEGMENTS = ["a", "b", "ab", "+", "+", "a+", "", "*"]
RIGHTS = ["create", "read", "update", "delete", "list", "patch", "sudo"]
VALUES: list[Any] = ["", "*", "**", "x", "xy", "x*", "*y", "*x*", "1", 1, 1.5, True, ["x"], [1]]
VALUES += [{"k": "x"}, {"k": 1}, ["x*"]]
POLICIES = 90
SECOND_NS = 10**9

ODD_TEXTS = [
    'path "kv/x" { capabilities = ["deny"] capabilities = ["read"] }',
    'path "kv/x" { capabilities = ["read"] capabilities = ["list"] }',
    'path "kv/x" { policy = "deny" policy = "read" }',
    'path "kv/x" { policy = "read" capabilities = ["create"] }',
    'path "kv/x" { capabilities = "read" }',
    'path "kv/x" { capabilities = ["READ"] }',
    'path "kv/x" { capabilities = [1] }',
    'path "kv/x" { policy = 1 }',
    'path "kv/x" { policy = "Read" }',
    'path "//kv/x" { policy = "read" }',
    'path "kv/x" "y" { policy = "write" }',
    'path { policy = "write" }',
    'path = { "kv/x" = { policy = "read" } }',
    '{"path":[{"kv/x":{"policy":"read"}},{"kv/y":{"policy":"read"}}]}',
    '{"path":{"kv/x":{"capabilities":["deny"]},"kv/x":{"capabilities":["read"]}}}',
    '{"path":{"kv/x":{"capabilities":["deny"],"capabilities":["read"]}}}',
    '{"path":{"kv/x":{"capabilities":null}}}',
    'path "kv/x" { policy = "read" min_wrapping_ttl = "bogus" }',
    'path "kv/x" { policy = "read" min_wrapping_ttl = -1 }',
    'path "kv/x" { policy = "read" min_wrapping_ttl = 1.5 }',
    'path "kv/x" { policy = "read" min_wrapping_ttl = "" }',
    'path "kv/x" { policy = "read" min_wrapping_ttl = true }',
    'path "kv/x" { policy = "read" min_wrapping_ttl = 10 max_wrapping_ttl = 5 }',
    'path "kv/x" { capabilities = ["deny"] min_wrapping_ttl = "bogus" }',
    'path "kv/x" { capabilities = ["deny"] allowed_parameters = "x" }',
    'path "kv/x" { policy = "write" allowed_parameters = { "a" = "x" } }',
    '{"path":{"kv/x":{"policy":"write","allowed_parameters":{"a":null}}}}',
    'path "kv/{{foo}}" { policy = "read" }',
    'path "kv/{{}}" { policy = "read" }',
    'path "kv/{{identity.entity.bogus}}" { policy = "read" }',
    'path "kv/}}a{{" { policy = "read" }',
    'path "kv/{{a{{b}}c}}" { policy = "read" }',
    'path "kv/a}}" { policy = "read" }',
    'path "kv/a+*" { policy = "read" }',
    'path "kv/x" { policy = "read" nope = 1 }',
    'name = "n" path "kv/x" { policy = "read" comment = "c" }',
    "# nothing",
]


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[OpenBao, str]]:
    root = tmp_path_factory.mktemp("bao")
    with running(root, root / "data") as server:
        made = server.request("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})[1]
        token = made["root_token"]
        server.request("PUT", "sys/unseal", {"key": made["keys"][0]})
        assert server.request("POST", "sys/mounts/kv", {"type": "kv"}, token)[0] == 204
        for path in ("kv/a", "kv/x"):
            assert server.request("POST", path, {"seed": "1"}, token)[0] == 204
        yield server, token


def token_with(bao: tuple[OpenBao, str], texts: list[str]) -> str | None:
    """A token of these policies; None when one of them was refused."""
    server, root = bao
    for number, text in enumerate(texts):
        status, _ = server.request("PUT", f"sys/policies/acl/p{number}", {"policy": text}, root)
        if status == 400:
            return None
        assert status == 204
    wanted = {
        "policies": ["p-self", *(f"p{n}" for n in range(len(texts)))],
        "no_default_policy": True,
        "no_parent": True,
    }
    may_ask = 'path "sys/capabilities-self" { capabilities = ["update"] }'
    server.request("PUT", "sys/policies/acl/p-self", {"policy": may_ask}, root)
    made = server.request("POST", "auth/token/create", wanted, root)[1]
    return str(made["auth"]["client_token"])


def send(server: OpenBao, path: str, token: str, data: Any, wrap: int) -> int:
    """The status of a write, or of a read when there is no data."""
    headers = {"X-Vault-Token": token, **({"X-Vault-Wrap-TTL": str(wrap)} if wrap else {})}
    body = None if data is None else json.dumps(data).encode()
    method = "GET" if data is None else "POST"
    call = urllib.request.Request(
        f"{server.address}/v1/{path}", method=method, data=body, headers=headers
    )
    try:
        with urllib.request.urlopen(call, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def stanza(random_: random.Random) -> dict[str, Any]:
    """One stanza, any of whose parts may be missing."""
    body = "/".join(random_.choices(SEGMENTS, k=random_.randint(1, 3)))
    star = random_.choice(["", "", "*"])
    path = "kv/" + (body if not (body.endswith("+") and star) else body + "/") + star
    made: dict[str, Any] = {"path": path.replace("+*", "+")}
    made["capabilities"] = random_.sample(RIGHTS, random_.randint(0, 5))
    if random_.random() < 0.15:
        made["capabilities"].append("deny")
    return made


def conditions(random_: random.Random) -> dict[str, Any]:
    """One stanza about ``kv/a`` with conditions."""

    def lists() -> dict[str, Any]:
        keys = random_.sample(["p", "Q", "*"], random_.randint(0, 2))
        return {key: random_.choices(VALUES, k=random_.randint(0, 2)) for key in keys}

    made: dict[str, Any] = {"path": "kv/a", "policy": "sudo"}
    some = {
        "allowed": lists,
        "denied": lists,
        "required": lambda: random_.choices(["p", "Q"], k=1),
        "min": lambda: random_.choice([0, 5]),
        "max": lambda: random_.choice([5, 60]),
    }
    for key, make in some.items():
        if random_.random() < 0.35:
            made[key] = make()
    return made


def test_generated_policies_give_the_same_capabilities(bao: tuple[OpenBao, str]) -> None:
    random_ = random.Random(20261122)
    for number in range(POLICIES):
        written = [[stanza(random_) for _ in range(random_.randint(1, 4))] for _ in range(2)]
        texts = [slow_policy.hcl(policy) for policy in written]
        token = token_with(bao, texts)
        assert token is not None, texts
        paths = {
            "kv/" + "/".join(random_.choices(WORDS, k=random_.randint(1, 4))) for _ in range(12)
        }
        asked = {"paths": sorted(paths)}
        status, body = bao[0].request("POST", "sys/capabilities-self", asked, token)
        assert status == 200
        ours = Acl([parse_policy(f"p{n}", text) for n, text in enumerate(texts)])
        for path in paths:
            theirs = sorted(body["data"][path])
            assert ours.capabilities(path) == theirs, (number, path, texts)


def test_generated_conditions_are_judged_the_same(bao: tuple[OpenBao, str]) -> None:
    random_ = random.Random(7)
    for number in range(POLICIES):
        texts = [slow_policy.hcl([conditions(random_) for _ in range(random_.randint(1, 2))])]
        texts.append(slow_policy.hcl([conditions(random_)]))
        token = token_with(bao, texts)
        try:
            ours = Acl([parse_policy(f"p{n}", text) for n, text in enumerate(texts)])
        except PolicySyntaxError:
            assert token is None, texts
            continue
        assert token is not None, texts
        for _ in range(6):
            keys = random_.sample(["p", "P", "q", "r"], random_.randint(0, 2))
            data = {key: random_.choice([*VALUES, None]) for key in keys} or None
            wrap = random_.choice([0, 0, 5, 60, 61])
            operation = Operation.READ if data is None else Operation.UPDATE
            allowed = ours.decide(operation, "kv/a", data or {}, wrap * SECOND_NS).allowed
            status = send(bao[0], "kv/a", token, data, wrap)
            assert allowed is (status != 403), (number, texts, data, wrap, status)


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_odd_texts_are_taken_or_refused_alike(bao: tuple[OpenBao, str], text: str) -> None:
    token = token_with(bao, [text])
    try:
        ours: Acl | None = Acl([parse_policy("p", text)])
    except PolicySyntaxError:
        ours = None
    assert (ours is None) is (token is None)
    if ours is not None and token is not None:
        for path in ("kv/x", "kv/y", "path"):
            body = bao[0].request("POST", "sys/capabilities-self", {"path": path}, token)[1]
            assert ours.capabilities(path) == sorted(body["data"]["capabilities"]), path
        allowed = ours.decide(Operation.READ, "kv/x", {}).allowed
        assert allowed is (send(bao[0], "kv/x", token, None, 0) != 403)


METADATA = {"star": "a*", "plus": "+", "empty": "", "braces": "{{identity.entity.id}}", "ok": "q"}
TEMPLATES = [
    "identity.entity.id",
    "  identity.entity.name\t",
    *(f"identity.entity.metadata.{key}" for key in (*METADATA, "none")),
    "identity.entity.metadata",
    "identity.entity.aliases.ACCESSOR.name",
    "identity.entity.aliases.ACCESSOR.id",
    "identity.entity.aliases.ACCESSOR.metadata.none",
    "identity.entity.aliases.other.name",
    "identity.entity.aliases.ACCESSOR",
    "identity.groups.names.g.id",
    "identity.groups.ids",
    "nobody.knows",
    "",
]


def test_templates_have_the_same_values(bao: tuple[OpenBao, str]) -> None:
    server, root = bao
    server.request("POST", "sys/auth/up", {"type": "userpass"}, root)
    accessor = server.request("GET", "sys/auth", None, root)[1]["data"]["up/"]["accessor"]
    wanted = {"name": "somebody", "metadata": METADATA}
    entity = server.request("POST", "identity/entity", wanted, root)[1]["data"]["id"]
    alias = {"name": "u", "canonical_id": entity, "mount_accessor": accessor}
    alias_id = server.request("POST", "identity/entity-alias", alias, root)[1]["data"]["id"]
    identity = TemplateIdentity(
        entity, "somebody", METADATA, {accessor: TemplateAlias(alias_id, "u")}
    )
    user = {"password": "pw", "token_policies": "t"}
    server.request("POST", "auth/up/users/u", user, root)
    logged_in = server.request("POST", "auth/up/login/u", {"password": "pw"})[1]
    token = logged_in["auth"]["client_token"]
    for template in (text.replace("ACCESSOR", accessor) for text in TEMPLATES):
        path = "kv/{{" + template + "}}/z*"
        text = f'path {json.dumps(path)} {{ policy = "read" }}'
        assert server.request("PUT", "sys/policies/acl/t", {"policy": text}, root)[0] == 204
        found = resolve(path, identity)
        asked = {"paths": [found or "kv/a/z", "kv//z", "kv/q/z", f"kv/{entity}/z"]}
        body = server.request("POST", "sys/capabilities-self", asked, token)[1]
        rule = parse_policy(
            "t", slow_policy.hcl([{"path": found, "policy": "read"}] if found else [])
        )
        ours = Acl([rule])
        for asked_path in asked["paths"]:
            theirs = sorted(body["data"][asked_path])
            assert ours.capabilities(asked_path) == theirs, (template, asked_path)
