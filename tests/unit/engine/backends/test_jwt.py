"""JWT logins: keys fetched within limits, and nothing granted but what the role says."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from tests.support.opened import context_for, fresh_barrier, request
from zvault.base.clock import ManualClock
from zvault.crypto import jwk, jws
from zvault.engine.api import Auth
from zvault.engine.backends.jwt import backend as module
from zvault.engine.backends.jwt import fetch, keys
from zvault.engine.backends.jwt.claims import glob
from zvault.engine.errors import (
    InternalEngineError,
    InvalidRequestError,
    PermissionDeniedError,
)
from zvault.records.mounts import AUTH, MountEntry

ENTRY = MountEntry(path="jwt/", type="jwt", table=AUTH, uuid="u")


class Issuer:
    """An issuer's server; ``answers`` may be changed between requests."""

    def __init__(self) -> None:
        self.signing = {"k1": ec.generate_private_key(ec.SECP256R1())}
        self.asked: list[str] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body: bytes | None = None
        self.pause = 0.0
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                time.sleep(issuer.pause)
                body = issuer.document(self.path)
                self.send_response(issuer.status)
                for name, value in issuer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def document(self, path: str) -> bytes:
        if self.body is not None:
            return self.body
        if path.endswith("openid-configuration"):
            return json.dumps({"issuer": self.url, "jwks_uri": self.url + "/keys"}).encode()
        found = [
            {"kid": kid, "use": "sig", "alg": "ES256", **jwk.public_members(key.public_key())}
            for kid, key in self.signing.items()
        ]
        return json.dumps({"keys": found}).encode()

    def token(self, kid: str = "k1", **claims: Any) -> str:
        body = {"sub": "ann", "aud": "a", "iss": self.url, "iat": NOW, **claims}
        return jws.sign(self.signing[kid], "ES256", kid, json.dumps(body).encode())

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


NOW = 1_800_000_000


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    yield made
    made.close()


class World:
    def __init__(self, backend: module.Jwt, clock: ManualClock) -> None:
        self.backend = backend
        self.clock = clock

    async def write(self, path: str, **data: Any) -> None:
        await self.backend.handle(request("update", path, data))

    async def login(self, jwt: str, role: str = "r") -> Auth:
        made = request(
            "update", "login", {"role": role, "jwt": jwt}, None, remote_address="127.0.0.1"
        )
        answer = await self.backend.handle(made)
        assert answer is not None
        assert answer.auth is not None
        return answer.auth


@pytest.fixture
async def world() -> Any:
    clock = ManualClock()
    barrier = await fresh_barrier(None, clock)
    made = World(module.make(context_for(barrier, ENTRY, clock)), clock)
    await made.write(
        "role/r", role_type="jwt", user_claim="sub", bound_audiences="a", token_policies="p"
    )
    yield made
    await made.backend.stop()


async def test_a_login_gives_the_roles_policies_and_the_tokens_name(
    world: World, issuer: Issuer
) -> None:
    await world.write("config", jwks_url=issuer.url + "/keys")
    token = issuer.token(policies=["root"], token_policies="root", entity_id="x", role="admin")
    assert await world.login(token) == Auth(
        policies=("p",),
        metadata={"role": "r"},
        internal_data={"role": "r"},
        display_name="ann",
        alias_name="ann",
        token_type="default",
    )


async def test_keys_of_a_discovered_issuer_and_of_pairs_count(world: World, issuer: Issuer) -> None:
    await world.write("config", oidc_discovery_url=issuer.url)
    await world.login(issuer.token())
    with pytest.raises(InvalidRequestError, match="issuer"):
        await world.login(issuer.token(iss="https://other"))
    await world.write("config", jwks_pairs=[{"jwks_url": issuer.url + "/keys"}])
    await world.login(issuer.token())


async def test_a_new_key_is_found_and_a_key_taken_back_is_forgotten(
    world: World, issuer: Issuer
) -> None:
    await world.write("config", jwks_url=issuer.url + "/keys")
    old = issuer.token()
    await world.login(old)
    world.clock.advance(5)
    issuer.signing = {"k2": ec.generate_private_key(ec.SECP256R1())}
    await world.login(issuer.token("k2"))
    with pytest.raises(InvalidRequestError, match="signature"):
        await world.login(old)
    again = issuer.token("k2")
    issuer.signing = {"k3": ec.generate_private_key(ec.SECP256R1())}
    await world.login(again)
    world.clock.advance(keys.REFRESH_SECONDS)
    with pytest.raises(InvalidRequestError, match="signature"):
        await world.login(jws.sign(issuer.signing["k3"], "ES256", "k2", b'{"sub":"x"}'))


async def test_known_keys_are_used_while_the_issuer_is_down_but_not_for_ever(
    world: World, issuer: Issuer
) -> None:
    await world.write("config", jwks_url=issuer.url + "/keys")
    token = issuer.token(exp=NOW + 10**6)
    await world.login(token)
    issuer.status = 500
    world.clock.advance(keys.REFRESH_SECONDS + 1)
    await world.login(token)
    world.clock.advance(keys.MAX_AGE_SECONDS)
    with pytest.raises(InvalidRequestError, match="fetched"):
        await world.login(token)


async def test_many_logins_with_unknown_keys_are_one_fetch_and_block_nobody(
    world: World, issuer: Issuer
) -> None:
    await world.write("config", jwks_url=issuer.url + "/keys")
    asked = len(issuer.asked)
    issuer.pause = 0.3
    token = issuer.token()
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.01)

    counting = asyncio.create_task(count())
    await asyncio.gather(*(world.login(token) for _ in range(20)))
    counting.cancel()
    assert len(issuer.asked) == asked + 1
    assert turns > 3


@pytest.mark.parametrize(
    "trouble",
    [
        {"status": 500},
        {"status": 302, "headers": {"Location": "/keys"}},
        {"body": b"no json"},
        {"body": b"[]"},
        {"body": b'{"keys": 5}'},
        {"body": b'{"keys": []}' + b" " * (2 << 20)},
    ],
)
async def test_a_source_that_gives_no_keys_is_not_configured(
    world: World, issuer: Issuer, trouble: dict[str, Any]
) -> None:
    for name, value in trouble.items():
        setattr(issuer, name, value)
    with pytest.raises(InvalidRequestError, match="error checking jwks URL"):
        await world.write("config", jwks_url=issuer.url + "/keys")
    assert await world.backend.handle(request("read", "config")) is None


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", "x", "http://", "http:///x"])
async def test_only_http_is_asked(world: World, url: str) -> None:
    for field in ("jwks_url", "oidc_discovery_url"):
        with pytest.raises(InvalidRequestError, match="error checking"):
            await world.write("config", **{field: url})


def test_a_server_that_drips_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT_SECONDS", 0.4)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\n")
                try:
                    for number in range(200):
                        connection.sendall(f"X-{number}: y\r\n".encode())
                        time.sleep(0.05)
                except OSError:
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        with pytest.raises(fetch.FetchError):
            fetch.fetch_json(f"http://127.0.0.1:{listening.getsockname()[1]}/", "")
        thread.join(30)
        assert not thread.is_alive()


async def test_keys_of_other_use_algorithm_or_id_do_not_count(world: World, issuer: Issuer) -> None:
    await world.write("config", jwks_url=issuer.url + "/keys")
    good = {"alg": "ES256", **jwk.public_members(issuer.signing["k1"].public_key())}
    for bad in ({"use": "enc", "kid": "k1"}, {"alg": "ES384", "kid": "k1"}, {"kid": "other"}):
        issuer.body = json.dumps({"keys": [{**good, **bad}, {"kty": "x"}, 7]}).encode()
        world.clock.advance(5)
        with pytest.raises(InvalidRequestError, match="signature"):
            await world.login(issuer.token())
    issuer.body = json.dumps({"keys": [good]}).encode()
    world.clock.advance(5)
    await world.login(issuer.token())


async def test_an_algorithm_that_was_not_allowed_does_not_count_whoever_signed(
    world: World, issuer: Issuer
) -> None:
    await world.write("config", jwks_url=issuer.url + "/keys", jwt_supported_algs="RS256,ES384")
    with pytest.raises(InvalidRequestError, match="unexpected algorithm"):
        await world.login(issuer.token())
    await world.write("config", jwks_url=issuer.url + "/keys", jwt_supported_algs="ES256")
    await world.login(issuer.token())


async def test_the_client_secret_is_stored_and_never_shown(world: World, issuer: Issuer) -> None:
    await world.write(
        "config",
        oidc_discovery_url=issuer.url,
        oidc_client_id="id",
        oidc_client_secret="geheim",
    )
    shown = await world.backend.handle(request("read", "config"))
    assert shown is not None
    assert "geheim" not in str(shown)


async def test_a_renewal_needs_the_role(world: World, issuer: Issuer) -> None:
    await world.write("config", jwks_url=issuer.url + "/keys")
    auth = await world.login(issuer.token())
    await world.write("role/r", role_type="jwt", user_claim="sub", bound_audiences="a", token_ttl=5)
    assert (await world.backend.renew(auth)).ttl_ns == 5 * 10**9
    await world.backend.handle(request("delete", "role/r"))
    with pytest.raises(InternalEngineError, match="does not exist during renewal"):
        await world.backend.renew(auth)


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": True},
        {"exp": "9999999999"},
        {"exp": 1e400},
        {"aud": 5},
        {"aud": ["a", 5]},
        {"aud": {"a": 1}},
        {"sub": ""},
        {"sub": "  "},
        {"sub": 7},
        {"sub": ["ann"]},
    ],
)
async def test_claims_of_the_wrong_kind_are_refused(
    world: World, issuer: Issuer, claims: dict[str, Any]
) -> None:
    await world.write("config", jwks_url=issuer.url + "/keys")
    with pytest.raises(InvalidRequestError):
        await world.login(issuer.token(**claims))


async def test_a_login_from_outside_the_roles_addresses_is_refused(
    world: World, issuer: Issuer
) -> None:
    await world.write("config", jwks_url=issuer.url + "/keys")
    await world.write("role/r", role_type="jwt", token_bound_cidrs="10.0.0.0/8")
    with pytest.raises(PermissionDeniedError):
        await world.login(issuer.token())
    await world.write("role/r", role_type="jwt", token_bound_cidrs="127.0.0.0/8")
    await world.login(issuer.token())


async def test_a_token_for_an_audience_needs_a_role_that_names_one(
    world: World, issuer: Issuer
) -> None:
    await world.write("config", jwks_url=issuer.url + "/keys")
    await world.write("role/s", role_type="jwt", user_claim="sub", bound_subject="ann")
    with pytest.raises(InvalidRequestError, match="no audiences bound"):
        await world.login(issuer.token(), "s")
    await world.login(issuer.token(aud=None), "s")


async def test_a_token_that_says_it_is_issued_later_is_not_taken(
    world: World, issuer: Issuer
) -> None:
    await world.write("config", jwks_url=issuer.url + "/keys")
    now = world.clock.now_ns() // 10**9
    with pytest.raises(InvalidRequestError, match="issued in the future"):
        await world.login(issuer.token(iat=now + 61, nbf=now, exp=now + 600))
    await world.login(issuer.token(iat=now + 59, nbf=now, exp=now + 600))


async def test_an_issuer_that_calls_itself_something_else_gives_no_keys(
    world: World, issuer: Issuer
) -> None:
    document = {"issuer": issuer.url + "/other", "jwks_uri": issuer.url + "/keys"}
    issuer.body = json.dumps(document).encode()
    with pytest.raises(InvalidRequestError, match="oidc discovery"):
        await world.write("config", oidc_discovery_url=issuer.url)


async def test_a_role_is_the_same_in_any_case(world: World, issuer: Issuer) -> None:
    """Real servers keep the names of roles in lower case, so a store of theirs holds no other."""
    await world.write("config", jwks_url=issuer.url + "/keys", default_role="ADMIN")
    await world.write("role/Admin", role_type="jwt", user_claim="sub", bound_audiences="a")
    listed = await world.backend.handle(request("list", "role/"))
    assert listed is not None
    assert listed.data == {"keys": ["admin", "r"]}
    assert (await world.login(issuer.token(), "ADMIN")).metadata == {"role": "admin"}
    assert (await world.login(issuer.token(), "")).metadata == {"role": "admin"}
    await world.backend.handle(request("delete", "role/aDmin"))
    with pytest.raises(InvalidRequestError, match="could not be found"):
        await world.login(issuer.token(), "Admin")


@pytest.mark.parametrize(
    ("bound", "claim", "fits"),
    [
        (5, 5, True),
        (["x", 5], 5, True),
        (5, [5], False),
        (5, [6, 5], False),
        (5, "5", False),
        (5, 5.5, False),
        (1, True, False),
        (1.5, 1.5, False),
        (True, [False, True], True),
        ({"a": 1}, {"a": 1}, False),
        ([{"a": 1}], [{"a": 1}], False),
        ([["x"]], [["x"]], False),
        ("x", {"x": 1}, False),
        ("x", ["y", "x"], True),
        ("x", [], False),
        ("", None, False),
    ],
)
async def test_a_claim_is_bound_by_texts_and_booleans_and_a_whole_number_alone(
    world: World, issuer: Issuer, bound: object, claim: object, fits: bool
) -> None:
    """What real servers do not compare, numbers in lists and objects, lets nobody in."""
    await world.write("config", jwks_url=issuer.url + "/keys")
    role = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": "a"}
    await world.write("role/r", **role, bound_claims={"c": bound})
    if fits:
        await world.login(issuer.token(c=claim))
    else:
        with pytest.raises(InvalidRequestError, match="error validating claims"):
            await world.login(issuer.token(c=claim))


@pytest.mark.parametrize(
    ("header", "payload"),
    [
        ('{"alg":"ES256","kid":["k1"]}', None),
        ('{"alg":"none","alg":"ES256","kid":"k1"}', None),
        (None, '"exp":1,"exp":9999999999'),
        (None, '"nested":{"a":1,"a":2}'),
    ],
)
async def test_a_token_that_readers_could_read_in_two_ways_is_refused(
    world: World, issuer: Issuer, header: str | None, payload: str | None
) -> None:
    await world.write("config", jwks_url=issuer.url + "/keys")
    body = json.dumps({"sub": "ann", "aud": "a", "iss": issuer.url, "iat": NOW})
    head = header or '{"alg":"ES256","kid":"k1"}'
    claims = body if payload is None else f"{body[:-1]},{payload}}}"
    signed = f"{jwk.b64url(head.encode())}.{jwk.b64url(claims.encode())}"
    made = issuer.signing["k1"].sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
    r, s = decode_dss_signature(made)
    token = f"{signed}.{jwk.b64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"
    with pytest.raises(InvalidRequestError, match="error validating token"):
        await world.login(token)


def slow_glob(pattern: str, text: str) -> bool:
    """The text of the rule, tried at every place."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(slow_glob(pattern[1:], text[start:]) for start in range(len(text) + 1))
    return bool(text) and text[0] == pattern[0] and slow_glob(pattern[1:], text[1:])


@given(st.text("ab*", max_size=7), st.text("ab*", max_size=8))
def test_a_glob_matches_what_its_text_says(pattern: str, text: str) -> None:
    assert glob(pattern, text) is slow_glob(pattern, text)
