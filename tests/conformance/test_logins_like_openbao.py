"""Auth methods and identity: the same requests to our engine and to a real OpenBao.

Answers are compared. Each list of calls runs in order on a fresh mount of both. What differs on
purpose is named in ``ON_PURPOSE``; anything else that differs fails.
"""

import base64
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.backend_stage import is_same, normal
from tests.support.openbao import OpenBao, running
from tests.support.running import Running, fresh
from zvault.crypto import jwk, jws
from zvault.engine.api import Operation
from zvault.engine.errors import EngineError
from zvault.records import gojson
from zvault.server.envelope import answer_for
from zvault.server.errors import status_of

Call = tuple[str, str, Any]
USERS = "auth/m/users"
ONLY_ONE_HAS = {
    # Vault has mfa_secrets, the others are OpenBao's.
    "callback_mode",
    "oauth2_metadata",
    "oidc_disable_confirmation",
    "override_allowed_server_names",
    "mfa_secrets",
    "status",
    "token_policies_template_claims",
    "token_strictly_bind_ip",
}
_IDS = [
    (r"auth_(\w+)_[0-9a-f]{8}", r"auth_\1_<id>"),
    (r"(hv)?[bs]\.[\w-]{20,}", "<token>"),
    (r'"client_id": "\w{26}"', '"client_id": "<client>"'),
    (r'"accessor": "\w{24}"', '"accessor": "<accessor>"'),
]

USERPASS: list[Call] = [
    ("LIST", USERS, None),
    ("GET", USERS, None),
    ("POST", f"{USERS}/bob", {"password": "pw", "token_policies": "app"}),
    ("GET", f"{USERS}/bob", None),
    ("LIST", USERS, None),
    (
        "POST",
        f"{USERS}/Bob2",
        {
            "password": "pw",
            "policies": "a,B, a",
            "ttl": "10s",
            "max_ttl": "1h",
            "bound_cidrs": "127.0.0.1/32,10.0.0.0/8",
        },
    ),
    ("GET", f"{USERS}/BOB2", None),
    ("POST", "auth/m/login/bob2", {"password": "pw"}),
    ("POST", f"{USERS}/bob2", {"token_ttl": 20}),
    ("GET", f"{USERS}/bob2", None),
    ("POST", f"{USERS}/bob2", {"token_policies": "z", "ttl": 5, "max_ttl": 4}),
    ("POST", f"{USERS}/bob2", {"ttl": 5}),
    ("GET", f"{USERS}/bob2", None),
    ("POST", f"{USERS}/bob2", {"token_bound_cidrs": "zzz"}),
    ("POST", f"{USERS}/bob", {"token_policies": "a,B, a", "token_max_ttl": "100000h"}),
    ("POST", f"{USERS}/bob", {"token_period": "100000h"}),
    ("POST", f"{USERS}/bob", {"token_type": "default-service"}),
    ("POST", f"{USERS}/bob", {"token_type": "batch"}),
    ("POST", f"{USERS}/bob", {"token_type": "batch", "token_period": 0}),
    ("POST", f"{USERS}/bob", {"token_num_uses": 4}),
    ("POST", f"{USERS}/bob", {"token_num_uses": -1}),
    ("GET", f"{USERS}/bob", None),
    ("POST", "auth/m/login/bob", {"password": "pw"}),
    ("POST", f"{USERS}/bob", {"token_type": "service", "bound_cidrs": "zzz"}),
    ("POST", f"{USERS}/bob", {"token_bound_cidrs": ["127.0.0.1", "10.0.0.1/8", "::1"]}),
    ("GET", f"{USERS}/bob", None),
    ("POST", f"{USERS}/bob", {"token_ttl": "x"}),
    ("POST", f"{USERS}/bob", {"ttl": -4}),
    ("POST", f"{USERS}/bob", {"password": {"a": 1}}),
    ("POST", f"{USERS}/bob", {"unknown": 1, "username": "zz"}),
    ("GET", f"{USERS}/bob/", None),
    ("LIST", f"{USERS}/bob", None),
    ("GET", "auth/m/nope", None),
    ("POST", "auth/m/login/BOB", {"password": "pw"}),
    ("PUT", "auth/m/login/bob", {"password": "no"}),
    ("PUT", "auth/m/login/eve", {"password": "no"}),
    ("PUT", "auth/m/login/bob", {}),
    ("PUT", "auth/m/login/bob", {"password": 5}),
    ("PUT", "auth/m/login/", {"password": "x"}),
    ("PUT", "auth/m/login/a@b", {"password": "x"}),
    ("GET", "auth/m/login/bob", None),
    ("DELETE", "auth/m/login/bob", None),
    ("LIST", "auth/m/login/bob", None),
    ("POST", "auth/m/login/bob", {"password": "pw", "username": "bob2"}),
    ("POST", f"{USERS}/bob/password", {"password": "x" * 73}),
    ("POST", f"{USERS}/bob/password", {"password": "new"}),
    ("POST", "auth/m/login/bob", {"password": "pw"}),
    ("POST", "auth/m/login/bob", {"password": "new"}),
    ("POST", f"{USERS}/nope/password", {"password": "new"}),
    ("POST", f"{USERS}/nope/policies", {"policies": "m"}),
    ("POST", f"{USERS}/bob/policies", {}),
    ("POST", f"{USERS}/bob/policies", {"policies": "m,n"}),
    ("GET", f"{USERS}/bob", None),
    ("POST", f"{USERS}/bob/policies", {"token_policies": "o"}),
    ("GET", f"{USERS}/bob", None),
    ("GET", f"{USERS}/bob/policies", None),
    ("GET", f"{USERS}/bob/password", None),
    ("POST", f"{USERS}/x", {"password_hash": "$2b$10$zzz"}),
    ("POST", f"{USERS}/x", {"password_hash": "$2a$10$" + "N" * 53}),
    ("POST", f"{USERS}/y", {"password_hash": "$2a$10$" + "N" * 53, "password": "both"}),
    ("POST", f"{USERS}/y", {"password_hash": "$2a$04$" + "N" * 53}),
    ("POST", f"{USERS}/root", {"password": "p", "token_policies": "root"}),
    ("POST", "auth/m/login/root", {"password": "p"}),
    ("POST", f"{USERS}/far", {"password": "p", "token_bound_cidrs": "10.0.0.0/8"}),
    ("POST", "auth/m/login/far", {"password": "p"}),
    ("POST", "auth/m/login/far", {"password": "no"}),
    *[("POST", "auth/m/login/x", {"password": "no"})] * 6,
    ("GET", "sys/locked-users", None),
    (
        "POST",
        f"{USERS}/x4",
        {
            "password": "p",
            "token_period": "1h",
            "token_num_uses": 3,
            "token_no_default_policy": True,
            "token_explicit_max_ttl": "2h",
        },
    ),
    ("POST", "auth/m/login/x4", {"password": "p"}),
    ("POST", f"{USERS}/-x", {"password": "p"}),
    ("DELETE", f"{USERS}/x4", None),
    ("DELETE", f"{USERS}/x4", None),
    ("GET", f"{USERS}/x4", None),
    ("LIST", USERS, None),
]
OIDC = "identity/oidc"
TEMPLATE = (
    '{"n": {{identity.entity.id}}, "m": {{ identity.entity.metadata }}, "t": {{time.now.plus.1h}}}'
)
IDENTITY_TOKENS: list[Call] = [
    ("GET", f"{OIDC}/config", None),
    ("POST", f"{OIDC}/config", {"issuer": ""}),
    ("POST", f"{OIDC}/config", {}),
    ("POST", f"{OIDC}/config", {"issuer": "https://example.com:1234"}),
    ("GET", f"{OIDC}/config", None),
    *[
        ("POST", f"{OIDC}/config", {"issuer": issuer})
        for issuer in (
            "example.com",
            "https://example.com/path",
            "https://example.com/",
            "ftp://x",
            "https://example.com?q=1",
            "https://u:p@example.com",
            "x y",
            5,
        )
    ],
    ("LIST", f"{OIDC}/key", None),
    ("GET", f"{OIDC}/key/default", None),
    ("GET", f"{OIDC}/key/k", None),
    ("POST", f"{OIDC}/key/k", {}),
    ("GET", f"{OIDC}/key/k", None),
    (
        "POST",
        f"{OIDC}/key/k",
        {"rotation_period": "1h", "verification_ttl": "2h", "allowed_client_ids": "a,b"},
    ),
    ("GET", f"{OIDC}/key/k", None),
    *[
        ("POST", f"{OIDC}/key/k", body)
        for body in (
            {"algorithm": "HS256"},
            {"algorithm": "none"},
            {"rotation_period": "30s"},
            {"verification_ttl": "11h"},
            {"rotation_period": "x"},
            {"rotation_period": -5},
            {"algorithm": "ES256"},
            {"algorithm": "PS256"},
        )
    ],
    ("GET", f"{OIDC}/key/k", None),
    *[
        ("POST", f"{OIDC}/key/{name}", {"algorithm": name, "allowed_client_ids": "*"})
        for name in ("ES384", "ES512", "EdDSA")
    ],
    ("LIST", f"{OIDC}/key", None),
    ("POST", f"{OIDC}/key/k/rotate", {}),
    ("POST", f"{OIDC}/key/k/rotate", {"verification_ttl": "5m"}),
    ("POST", f"{OIDC}/key/nope/rotate", {}),
    ("POST", f"{OIDC}/key/-x", {}),
    ("LIST", f"{OIDC}/role", None),
    ("GET", f"{OIDC}/role/r", None),
    ("POST", f"{OIDC}/role/r", {}),
    ("POST", f"{OIDC}/role/r", {"key": "nope"}),
    ("POST", f"{OIDC}/role/r", {"key": "k"}),
    ("POST", f"{OIDC}/role/r", {"key": "k", "ttl": "1h"}),
    ("GET", f"{OIDC}/role/r", None),
    ("POST", f"{OIDC}/role/r", {"ttl": "30m"}),
    ("POST", f"{OIDC}/role/r", {"ttl": -1}),
    ("POST", f"{OIDC}/role/r", {"client_id": "mine"}),
    ("GET", f"{OIDC}/role/r", None),
    ("LIST", f"{OIDC}/role", None),
    ("POST", f"{OIDC}/key/k", {"verification_ttl": "10m"}),
    ("DELETE", f"{OIDC}/key/k", None),
    ("DELETE", f"{OIDC}/key/default", None),
    ("POST", f"{OIDC}/role/t", {"key": "default", "template": TEMPLATE}),
    ("GET", f"{OIDC}/role/t", None),
    ("POST", f"{OIDC}/role/t", {"template": base64.b64encode(TEMPLATE.encode()).decode()}),
    ("GET", f"{OIDC}/role/t", None),
    *[
        ("POST", f"{OIDC}/role/t", {"template": template})
        for template in (
            '{"aud": "x"}',
            '{"iss": 1}',
            '{"sub": "me"}',
            '{"nonce": 1}',
            '{"a": {{identity.nope}}}',
            '{"a": {{identity.entity.name}',
            '{"a": {{}}}',
            '{"a": {{identity.groups.names.g.id}}}',
            "{{identity.entity.metadata}}",
        )
    ],
    ("GET", f"{OIDC}/token/nope", None),
    ("GET", f"{OIDC}/token/r", None),
    ("GET", f"{OIDC}/token/t", None),
    ("POST", f"{OIDC}/token/t", {}),
    ("GET", f"{OIDC}/.well-known/openid-configuration", None),
    ("GET", f"{OIDC}/.well-known/nope", None),
    ("POST", f"{OIDC}/.well-known/keys", {}),
    ("POST", f"{OIDC}/introspect", {}),
    ("POST", f"{OIDC}/introspect", {"token": "x"}),
    ("GET", f"{OIDC}/introspect", None),
    ("DELETE", f"{OIDC}/role/r", None),
    ("DELETE", f"{OIDC}/role/r", None),
    ("DELETE", f"{OIDC}/key/k", None),
    ("DELETE", f"{OIDC}/key/nope", None),
    ("GET", f"{OIDC}/nope", None),
]
RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def pem(key: jwk.PrivateKey) -> str:
    text = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return text.decode()


NOW = int(time.time())


class Jwt(str):
    """A signed token whose times count from ``NOW``; ``today`` is the same, counted from now.

    The list of calls is made when the tests are collected, and sent a long time after.
    """

    claims: dict[str, Any]
    key: jwk.PrivateKey
    algorithm: str

    @classmethod
    def signed(cls, claims: dict[str, Any], key: jwk.PrivateKey, algorithm: str) -> "Jwt":
        made = cls(jws.sign(key, algorithm, "", json.dumps(claims).encode()))
        made.claims, made.key, made.algorithm = claims, key, algorithm
        return made

    def today(self) -> "Jwt":
        later = int(time.time()) - NOW
        times = {name: self.claims[name] + later for name in TIME_CLAIMS & self.claims.keys()}
        return Jwt.signed({**self.claims, **times}, self.key, self.algorithm)


TIME_CLAIMS = {"iat", "exp", "nbf"}


def token(
    claims: dict[str, Any], key: jwk.PrivateKey = RSA_KEY, algorithm: str = "RS256"
) -> dict[str, str]:
    return {"jwt": Jwt.signed(claims, key, algorithm)}


CONFIG, JROLE, LOGIN = "auth/m/config", "auth/m/role", "auth/m/login"
BASE = {"sub": "ann", "aud": "aud1", "iss": "me", "iat": NOW, "exp": NOW + 3000}
RICH = {**BASE, "dept": "x", "n": {"deep": "v"}, "num": 5, "flag": True, "groups": ["g1", "g2"]}
BOUND = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": "aud1,aud2"}
TIMES = {"sub": "a", "aud": "aud1", "iss": "me"}


def without(claims: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in claims.items() if name not in names}


def logins(role: str, *claims: dict[str, Any]) -> list[Call]:
    return [("POST", LOGIN, {"role": role, **token(each)}) for each in claims]


def roles(name: str, *bodies: dict[str, Any]) -> list[Call]:
    return [
        call
        for body in bodies
        for call in (
            ("POST", f"{JROLE}/{name}", {**BOUND, **body}),
            ("GET", f"{JROLE}/{name}", None),
        )
    ]


JWT: list[Call] = [
    ("GET", CONFIG, None),
    ("POST", LOGIN, {"role": "r", "jwt": "x"}),
    ("POST", CONFIG, {}),
    ("POST", CONFIG, {"jwt_validation_pubkeys": pem(RSA_KEY), "jwks_url": "http://x"}),
    ("POST", CONFIG, {"jwks_url": "http://127.0.0.1:1/x"}),
    ("POST", CONFIG, {"oidc_discovery_url": "http://127.0.0.1:1/x"}),
    ("POST", CONFIG, {"jwks_url": "http://127.0.0.1:1/x", "jwks_ca_pem": "xx"}),
    *[
        ("POST", CONFIG, {"jwt_validation_pubkeys": pem(RSA_KEY), **more})
        for more in (
            {"jwt_supported_algs": "HS256"},
            {"jwt_supported_algs": ["RS256", "none"]},
            {"oidc_client_id": "x"},
            {"oidc_client_secret": "x"},
        )
    ],
    ("POST", CONFIG, {"jwt_validation_pubkeys": [pem(RSA_KEY)], "jwt_supported_algs": "ES256"}),
    ("POST", f"{JROLE}/r", BOUND),
    *logins("r", BASE),
    (
        "POST",
        CONFIG,
        {
            "jwt_validation_pubkeys": [pem(RSA_KEY), pem(EC_KEY)],
            "bound_issuer": "me",
            "default_role": "Std",
        },
    ),
    ("GET", CONFIG, None),
    ("DELETE", CONFIG, None),
    ("LIST", JROLE, None),
    ("GET", f"{JROLE}/none", None),
    ("POST", f"{JROLE}/r2", {}),
    ("POST", f"{JROLE}/r2", {"role_type": "zz", "user_claim": "sub"}),
    ("POST", f"{JROLE}/r2", {"role_type": "jwt"}),
    ("POST", f"{JROLE}/r2", {"role_type": "jwt", "user_claim": "sub"}),
    ("POST", f"{JROLE}/r2", {"user_claim": "sub"}),
    ("POST", f"{JROLE}/r2", {"user_claim": "sub", "allowed_redirect_uris": "http://x/cb"}),
    ("GET", f"{JROLE}/r2", None),
    ("POST", LOGIN, {"role": "r2", "jwt": "x"}),
    *roles(
        "r3",
        {"bound_claims": {"a": "b"}},
        {"bound_claims": {"a": ["b", 1, True]}},
        {"bound_claims_type": "zz"},
        {"bound_claims_type": "glob", "bound_claims": {"a": "b*"}},
        {"claim_mappings": {"a": "b", "c": "b"}},
        {"claim_mappings": {"a": "role"}},
        {"claim_mappings": {"a": "b"}},
        {"expiration_leeway": "1m", "not_before_leeway": "5", "clock_skew_leeway": 7},
        {"expiration_leeway": -1},
        {"groups_claim": "g", "max_age": "5m", "oidc_scopes": "a,b"},
        {"token_ttl": 60, "token_policies": "p", "policies": "q", "ttl": 5, "max_ttl": 9},
        {"bound_subject": "s", "token_type": "batch"},
        {"token_type": "service", "policies": "q,P", "ttl": 5, "max_ttl": 9},
        {"num_uses": 4, "bound_cidrs": "127.0.0.1", "period": 3},
        {"verbose_oidc_logging": True},
    ),
    ("LIST", JROLE, None),
    *logins(
        "r",
        BASE,
        {**BASE, "aud": ["zz", "aud2"]},
        {**BASE, "aud": "zz"},
        without(BASE, "aud"),
        {**BASE, "iss": "you"},
        without(BASE, "iss"),
        without(BASE, "sub"),
        TIMES,
        {**BASE, "exp": NOW - 100, "iat": NOW - 500},
        {**BASE, "nbf": NOW + 1000},
        {**BASE, "iat": NOW + 1000},
        {**TIMES, "iat": NOW},
        {**TIMES, "iat": NOW - 400},
        {**TIMES, "exp": NOW + 100},
        {**TIMES, "exp": NOW + 100_000},
        {**TIMES, "nbf": NOW},
        {**BASE, "exp": NOW + 1000.5},
    ),
    ("POST", LOGIN, {"role": "r", **token(BASE, EC_KEY, "ES256")}),
    ("POST", LOGIN, {"role": "r", **token(BASE, RSA_KEY, "RS512")}),
    ("POST", LOGIN, {"role": "r", **token(BASE, RSA_KEY, "PS256")}),
    ("POST", LOGIN, {"role": "r", **token(BASE, ec.generate_private_key(EC_KEY.curve), "ES256")}),
    ("POST", LOGIN, {"role": "nope", "jwt": "x"}),
    ("POST", LOGIN, {"jwt": "x"}),
    ("POST", LOGIN, {"role": "r"}),
    ("POST", LOGIN, {}),
    ("POST", f"{JROLE}/std", BOUND),
    ("POST", LOGIN, token(BASE)),
    ("POST", f"{JROLE}/s", {"role_type": "jwt", "user_claim": "sub", "bound_subject": "ann"}),
    *logins("s", BASE, without(BASE, "aud"), {**without(BASE, "aud"), "sub": "eve"}),
    (
        "POST",
        f"{JROLE}/c",
        {
            **BOUND,
            "bound_claims": {"dept": ["x", "y"], "/n/deep": "v", "num": 5, "flag": True},
            "claim_mappings": {"dept": "d", "/n/deep": "dd", "zip": "z"},
            "groups_claim": "groups",
        },
    ),
    *logins(
        "c",
        RICH,
        {**RICH, "dept": ["q", "y"]},
        {**RICH, "dept": "q"},
        without(RICH, "dept"),
        {**RICH, "n": {}},
        {**RICH, "num": "5"},
        {**RICH, "flag": False},
        {**RICH, "flag": "true"},
        {**RICH, "flag": 1},
        without(RICH, "groups"),
        {**RICH, "groups": "one"},
        {**RICH, "num": 5.0},
        {**RICH, "num": [5]},
        {**RICH, "num": [6, 5]},
        {**RICH, "flag": [False, True]},
        {**RICH, "dept": {"x": 1}},
    ),
    ("POST", f"{JROLE}/fl", {**BOUND, "bound_claims": {"num": [1.5, {"a": 1}]}}),
    *logins("fl", {**RICH, "num": 1.5}, {**RICH, "num": [1.5]}, {**RICH, "num": 1}),
    ("POST", f"{JROLE}/MiXed", BOUND),
    ("LIST", JROLE, None),
    ("GET", f"{JROLE}/MIXED", None),
    *logins("mixed", BASE),
    *logins("Mixed", BASE),
    ("DELETE", f"{JROLE}/mIxed", None),
    ("GET", f"{JROLE}/MiXed", None),
    ("POST", f"{JROLE}/g", {**BOUND, "bound_claims": {"dept": "x*"}, "bound_claims_type": "glob"}),
    *logins(
        "g",
        {**BASE, "dept": "xyz"},
        {**BASE, "dept": "axyz"},
        {**BASE, "dept": ["axyz", "xx"]},
        {**BASE, "dept": 4},
    ),
    ("POST", f"{JROLE}/p", {**BOUND, "user_claim": "/n/deep", "user_claim_json_pointer": True}),
    *logins("p", RICH, BASE),
    ("POST", f"{JROLE}/f", {**BOUND, "token_bound_cidrs": "10.0.0.0/8"}),
    *logins("f", BASE),
    ("POST", f"{JROLE}/n", {**BOUND, "clock_skew_leeway": -1}),
    *logins("n", {**BASE, "exp": NOW - 1, "iat": NOW - 500}, BASE),
    ("GET", LOGIN, None),
    ("GET", "auth/m/nope", None),
    ("DELETE", f"{JROLE}/r", None),
    ("DELETE", f"{JROLE}/r", None),
    ("GET", f"{JROLE}/r", None),
]
ENTITY, ALIAS, GROUP, GALIAS = (
    f"identity/{kind}" for kind in ("entity", "entity-alias", "group", "group-alias")
)


def made(path: str, body: dict[str, Any], name: str) -> tuple[str, str, Any, dict[str, str]]:
    """A write whose answer's id is called ``{name}`` from then on."""
    return ("POST", path, body, {name: "data.id"})


def at(name: str, accessor: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "mount_accessor": accessor, **more}


PEOPLE: list[Any] = [
    ("GET", "sys/auth/m", None, {"m": "data.accessor"}),
    ("POST", "sys/auth/m2", {"type": "userpass"}),
    ("GET", "sys/auth/m2", None, {"m2": "data.accessor"}),
    ("POST", ENTITY, {"name": "e1", "policies": "p,root"}),
    made(ENTITY, {"name": "e1", "metadata": {"a": "b"}, "policies": "p"}, "e1"),
    made(ENTITY, {"name": "e2"}, "e2"),
    ("POST", ENTITY, {"name": "e1", "metadata": {"z": "b"}}),
    ("POST", ENTITY, {"id": "nope", "name": "x"}),
    ("POST", ENTITY, {"id": "{e1}", "name": "e2"}),
    ("POST", f"{ENTITY}/id/{{e1}}", {"name": "e1b"}),
    ("POST", f"{ENTITY}/id/nope", {"name": "q"}),
    ("POST", f"{ENTITY}/name/e1b", {"policies": ["x"]}),
    ("GET", f"{ENTITY}/name/e1b", None),
    ("POST", f"{ENTITY}/name/e3", {}),
    ("GET", f"{ENTITY}/name/e3", None),
    ("DELETE", f"{ENTITY}/name/e3", None),
    ("DELETE", f"{ENTITY}/name/e3", None),
    ("POST", ALIAS, {}),
    ("POST", ALIAS, {"name": "al"}),
    ("POST", ALIAS, at("al", "nope")),
    ("POST", ALIAS, at("al", "{m}", canonical_id="nope")),
    made(ALIAS, at("al", "{m}", canonical_id="{e1}", custom_metadata={"k": "v"}), "a1"),
    ("GET", f"{ALIAS}/id/{{a1}}", None),
    ("GET", f"{ENTITY}/id/{{e1}}", None),
    ("POST", ALIAS, at("al2", "{m}", canonical_id="{e1}")),
    ("POST", ALIAS, at("al", "{m}", canonical_id="{e2}")),
    ("POST", ALIAS, at("al", "{m}")),
    ("GET", f"{ENTITY}/id/{{e1}}", None),
    made(ALIAS, at("newal", "{m2}"), "a2"),
    ("POST", ALIAS, at("x", "{m2}", id="nope")),
    ("POST", f"{ALIAS}/id/nope", at("x", "{m2}")),
    ("POST", f"{ALIAS}/id/{{a2}}", {"name": "newal2"}),
    ("POST", f"{ALIAS}/id/{{a2}}", at("newal3", "{m2}", custom_metadata={"q": "r"})),
    ("GET", f"{ALIAS}/id/{{a2}}", None),
    ("POST", f"{ALIAS}/id/{{a2}}", {"mount_accessor": "zzz"}),
    ("POST", f"{ALIAS}/id/{{a2}}", {"canonical_id": "{e2}"}),
    ("GET", f"{ALIAS}/id/{{a2}}", None),
    ("POST", "identity/lookup/entity", {}),
    *[
        ("POST", "identity/lookup/entity", body)
        for body in (
            {"name": "e1b"},
            {"name": "zz"},
            {"id": "{e1}"},
            {"alias_name": "al"},
            {"name": "e2", "id": "{e1}"},
            {"alias_id": "nope"},
        )
    ],
    ("GET", "identity/lookup/entity", None),
    ("POST", f"{ENTITY}/batch-delete", {"entity_ids": ["nope"]}),
    ("POST", f"{ENTITY}/batch-delete", {}),
    ("POST", f"{ENTITY}/merge", {}),
    ("POST", f"{ENTITY}/merge", {"from_entity_ids": ["nope"], "to_entity_id": "{e1}"}),
    ("POST", f"{ENTITY}/merge", {"from_entity_ids": ["{e1}"], "to_entity_id": "nope"}),
    ("POST", f"{ENTITY}/merge", {"from_entity_ids": ["{e1}"], "to_entity_id": "{e1}"}),
    made(ENTITY, {"name": "f", "policies": "fp", "metadata": {"m": "1"}}, "f"),
    made(ENTITY, {"name": "t", "policies": "tp", "metadata": {"m": "2"}}, "t"),
    made(ALIAS, at("fa", "{m}", canonical_id="{f}"), "fa"),
    made(GROUP, {"name": "mg", "member_entity_ids": ["{f}"], "policies": "gp"}, "mg"),
    ("POST", f"{ENTITY}/merge", {"from_entity_ids": ["{f}"], "to_entity_id": "{t}"}),
    ("GET", f"{ENTITY}/id/{{t}}", None),
    ("GET", f"{ENTITY}/id/{{f}}", None),
    made(ENTITY, {"name": "f3"}, "f3"),
    made(ENTITY, {"name": "f4"}, "f4"),
    ("POST", ALIAS, at("f3a", "{m2}", canonical_id="{f3}")),
    ("POST", ALIAS, at("f4a", "{m2}", canonical_id="{f4}")),
    ("POST", f"{ENTITY}/merge", {"from_entity_ids": ["{f3}", "{f4}"], "to_entity_id": "{t}"}),
    ("POST", f"{ENTITY}/merge", {"from_entity_ids": ["{f3}", "{f3}"], "to_entity_id": "{t}"}),
    ("GET", f"{ENTITY}/id/{{t}}", None),
    ("DELETE", f"{ALIAS}/id/{{a2}}", None),
    ("DELETE", f"{ALIAS}/id/{{a2}}", None),
    ("GET", f"{ALIAS}/id/{{a2}}", None),
    made(GROUP, {"name": "g1", "type": "external", "metadata": {"x": "y"}}, "g1"),
    made(GROUP, {"name": "g2"}, "g2"),
    ("POST", GROUP, {"name": "g3", "type": "zz"}),
    ("POST", GROUP, {"name": "g1", "policies": "p"}),
    ("POST", GROUP, {"name": "g3", "type": "external", "member_entity_ids": ["{e1}"]}),
    ("POST", GROUP, {"id": "nope"}),
    ("POST", GROUP, {"name": "g2", "type": "external"}),
    ("POST", GROUP, {"id": "{g2}", "name": "g1"}),
    ("POST", GROUP, {"name": "r", "policies": "root"}),
    ("POST", GALIAS, {}),
    ("POST", GALIAS, {"name": "ga"}),
    ("POST", GALIAS, at("ga", "zz", canonical_id="{g1}")),
    ("POST", GALIAS, at("ga", "{m}", canonical_id="zz")),
    ("POST", GALIAS, at("ga", "{m}", canonical_id="{g2}")),
    made(GALIAS, at("ga", "{m}", canonical_id="{g1}"), "ga"),
    ("GET", f"{GALIAS}/id/{{ga}}", None),
    ("GET", f"{GROUP}/id/{{g1}}", None),
    ("POST", GALIAS, at("ga", "{m}", canonical_id="{g1}")),
    ("POST", f"{GALIAS}/id/nope", at("gb", "{m}", canonical_id="{g1}")),
    *[
        ("POST", "identity/lookup/group", body)
        for body in (
            {},
            {"name": "g1"},
            {"id": "{g1}"},
            {"alias_id": "{ga}"},
            {"alias_name": "ga"},
            {"alias_name": "ga", "alias_mount_accessor": "{m}"},
            {"name": "zz"},
            {"name": "g1", "id": "{g1}"},
        )
    ],
    ("GET", f"{GROUP}/name/mg", None),
    ("POST", f"{GROUP}/name/gx", {"policies": "a"}),
    ("POST", f"{GROUP}/name/gx", {"policies": "b,default"}),
    ("GET", f"{GROUP}/name/gx", None),
    ("DELETE", f"{GALIAS}/id/{{ga}}", None),
    ("DELETE", f"{GALIAS}/id/{{ga}}", None),
    ("GET", f"{GROUP}/id/{{g1}}", None),
    ("DELETE", f"{GROUP}/id/{{g1}}", None),
    ("DELETE", f"{GROUP}/name/zz", None),
    ("GET", "identity/nope", None),
    ("DELETE", "sys/auth/m2", None),
]
SUITES: dict[str, list[Any]] = {
    "userpass": USERPASS,
    "approle": IDENTITY_TOKENS,
    "jwt": JWT,
    "oidc": PEOPLE,
}
"""By the type of the mount ``m`` that is made for them."""
ON_PURPOSE: dict[tuple[str, str, str], str] = {
    ("approle", "POST", "identity/oidc/introspect"): "the text names the library that parses",
    ("oidc", "GET", "sys/auth/m"): "each server names its own version",
    ("oidc", "GET", "sys/auth/m2"): "each server names its own version",
    ("oidc", "GET", "identity/group/name/mg"): "a merge writes a group once, OpenBao twice",
}
"""(suite, method, path) of calls whose answers differ, and why; the status is compared anyway."""


class Ours:
    """The engine, without HTTP."""

    def __init__(self, server: Running) -> None:
        self.server = server

    async def call(self, method: str, path: str, body: Any, token: str | None = None) -> Any:
        self.server.clock.advance(time.time() - self.server.clock.now_ns() / 1e9)
        path, _, query = path.partition("?")
        asked: dict[str, Any] = {key: values[0] for key, values in parse_qs(query).items()}
        operation = {"GET": Operation.READ, "LIST": Operation.LIST, "DELETE": Operation.DELETE}.get(
            method, Operation.UPDATE
        )
        if operation is Operation.LIST and not path.endswith("/"):
            path += "/"
        data = {**asked, **gojson.loads_object(json.dumps(body or {}))}
        try:
            response = await self.server.call(operation, path, data, token)
        except EngineError as error:
            return status_of(error), {"errors": error.messages}
        answer = answer_for("id", operation, path, response)
        return answer.status, json.loads(answer.body) if answer.body else None


class Theirs:
    """OpenBao."""

    def __init__(self, server: OpenBao) -> None:
        self.server = server
        _, made = server.request("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self.root = made["root_token"]
        server.request("PUT", "sys/unseal", {"key": made["keys"][0]})

    def call(self, method: str, path: str, body: Any, token: str | None = None) -> Any:
        status, answer = self.server.request(
            method, path, body, self.root if token is None else token
        )
        return status, answer if answer or status != 204 else None


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theirs]:
    place = tmp_path_factory.mktemp("bao")
    with running(place, place / "data") as server:
        yield Theirs(server)


@pytest.fixture
async def ours() -> AsyncIterator[Ours]:
    async with fresh() as server:
        yield Ours(server)


def filled(value: Any, names: dict[str, str]) -> Any:
    """``{name}`` replaced by what was captured under it; tokens signed as of now."""
    if isinstance(value, Jwt):
        return value.today()
    if isinstance(value, str):
        return re.sub(r"\{(\w+)\}", lambda match: names.get(match[1], match[0]), value)
    if isinstance(value, dict):
        return {key: filled(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, names) for item in value]
    return value


def found_in(answer: tuple[int, Any], where: str) -> str:
    value = answer[1]
    for part in where.split("."):
        assert isinstance(value, dict), answer
        value = value[part]
    return str(value)


def comparable(answer: tuple[int, Any]) -> tuple[int, Any]:
    """Without ids, times and what only one of Vault and OpenBao has."""
    status, body = answer
    text = json.dumps(_without_extras(normal(body)))
    for pattern, shown in _IDS:
        text = re.sub(pattern, shown, text)
    return status, json.loads(text)


def _without_extras(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_extras(v) for k, v in value.items() if k not in ONLY_ONE_HAS}
    if isinstance(value, list):
        return [_without_extras(item) for item in value]
    return value


@pytest.mark.parametrize("kind", list(SUITES))
async def test_answers_are_those_of_openbao(kind: str, ours: Ours, theirs: Theirs) -> None:
    both: list[Any] = []
    names: tuple[dict[str, str], dict[str, str]] = ({}, {})
    for method, path, body, *kept in [("POST", "sys/auth/m", {"type": kind}), *SUITES[kind]]:
        answer = await ours.call(method, filled(path, names[0]), filled(body, names[0]))
        real = theirs.call(method, filled(path, names[1]), filled(body, names[1]))
        for name, where in (kept[0] if kept else {}).items():
            names[0][name], names[1][name] = found_in(answer, where), found_in(real, where)
        mine, other = comparable(answer), comparable(real)
        if (kind, method, path) in ON_PURPOSE:
            assert mine[0] == other[0]
        elif not is_same(mine, other):
            both.append((method, path, body, mine, other))
    theirs.call("DELETE", "sys/auth/m", None)
    assert not both, "\n".join(str(difference) for difference in both)
