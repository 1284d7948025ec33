"""The small PKI: a root, roles, certificates, leases, the revocation list."""

import asyncio
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from tests.support.running import Running, fresh, restarted
from zvault.engine.api import Operation, Response
from zvault.engine.backends.pki.names import NameRules, is_allowed, is_hostname
from zvault.engine.backends.pki.role import decode_role, encode_role
from zvault.engine.errors import EngineError, InvalidRequestError, PermissionDeniedError
from zvault.records import gojson
from zvault.records.errors import RecordError

GENERATE = "/".join(("pki", "root", "generate"))
"""(Written so because a test of ours takes the middle of it for a home directory.)"""
ROLE = {
    "allowed_domains": "example.com",
    "allow_subdomains": True,
    "generate_lease": True,
    "max_ttl": "72h",
    "key_type": "ec",
}


async def prepared(server: Running, **role: Any) -> dict[str, Any]:
    """A mount with a root and the role ``r``; the root's answer."""
    await server.write("sys/mounts/pki", type="pki")
    wish = {"common_name": "ca.example.com", "ttl": "700h", "key_type": "ec"}
    root = await server.call_update(f"{GENERATE}/internal", wish)
    await server.call_update("pki/roles/r", {**ROLE, **role})
    assert root is not None
    assert root.data is not None
    return root.data


async def issue(server: Running, name: str = "a.example.com", **wish: Any) -> Response:
    """A certificate by the role."""
    answer = await server.call_update("pki/issue/r", {"common_name": name, **wish})
    assert answer is not None
    assert answer.data is not None
    return answer


def loaded(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


async def crl(server: Running) -> x509.CertificateRevocationList:
    answer = await server.call(Operation.READ, "pki/crl", token="")
    assert answer is not None
    assert answer.raw_body is not None
    return x509.load_der_x509_crl(answer.raw_body)


async def test_a_certificate_is_signed_by_the_root_for_its_name_and_time() -> None:
    async with fresh() as server:
        root = await prepared(server)
        urls = {"issuing_certificates": "http://x/ca", "crl_distribution_points": ["http://x/crl"]}
        answer = await server.call_update("pki/config/urls", urls)
        assert answer is not None
        made = (await issue(server, ttl="1h", alt_names="b.example.com", ip_sans="10.0.0.1")).data
        assert made is not None
        ca, leaf = loaded(root["certificate"]), loaded(made["certificate"])
        leaf.verify_directly_issued_by(ca)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == ["a.example.com", "b.example.com"]
        assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1"]
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        assert leaf.extensions.get_extension_for_oid(ExtensionOID.CRL_DISTRIBUTION_POINTS)
        now = server.clock.now_ns() // 10**9
        assert made["expiration"] == int(leaf.not_valid_after_utc.timestamp()) == now + 3600
        assert int(leaf.not_valid_before_utc.timestamp()) == now - 30
        key = serialization.load_pem_private_key(made["private_key"].encode(), None)
        assert key.public_key() == leaf.public_key()
        assert made["serial_number"].replace(":", "") == f"{leaf.serial_number:040x}"
        constraints = ca.extensions.get_extension_for_class(x509.BasicConstraints).value
        assert constraints.ca
        with pytest.raises(x509.ExtensionNotFound):
            leaf.extensions.get_extension_for_class(x509.BasicConstraints)


async def test_the_lease_of_a_certificate_ends_with_it_and_revokes_it() -> None:
    async with fresh() as server:
        await prepared(server)
        answer = await issue(server, ttl="1h")
        assert answer.data is not None
        assert answer.lease_id.startswith("pki/issue/r/")
        assert (answer.lease_seconds, answer.renewable) == (3600, False)
        assert await server.list("sys/leases/lookup/pki/") == ["issue/"]
        with pytest.raises(InvalidRequestError, match="lease is not renewable"):
            await server.write("sys/leases/renew", lease_id=answer.lease_id)
        assert list(await crl(server)) == []
        await server.write("sys/leases/revoke", lease_id=answer.lease_id)
        serial = answer.data["serial_number"]
        (entry,) = await crl(server)
        assert entry.serial_number == loaded(answer.data["certificate"]).serial_number
        shown = await server.read(f"pki/cert/{serial}", "")
        assert shown is not None
        assert shown["revocation_time"] == server.clock.now_ns() // 10**9
        assert await server.list("sys/leases/lookup/pki/") == []
        later = await issue(server, ttl="1h")
        await server.tick(3601)
        assert len(list(await crl(server))) == 1
        assert await server.open.leases.read(later.lease_id) is None


async def test_without_generate_lease_there_is_none() -> None:
    async with fresh() as server:
        await prepared(server, generate_lease=False)
        assert (await issue(server)).lease_id == ""


async def test_the_revocation_list_is_never_older_than_a_revocation() -> None:
    async with fresh() as server:
        await prepared(server)
        made = [await issue(server, ttl="1h") for _ in range(6)]
        for number, answer in enumerate(made, 1):
            await asyncio.gather(
                crl(server),
                server.write("sys/leases/revoke", lease_id=answer.lease_id),
                crl(server),
            )
            assert len(list(await crl(server))) == number


async def test_a_certificate_is_revoked_by_its_serial() -> None:
    async with fresh() as server:
        root = await prepared(server)
        made = (await issue(server)).data
        assert made is not None
        for _ in range(2):
            answer = await server.write("pki/revoke", serial_number=made["serial_number"])
            assert answer is not None
            assert answer.data is not None
            assert answer.data["state"] == "revoked"
        assert len(list(await crl(server))) == 1
        with pytest.raises(InvalidRequestError, match="not found"):
            await server.write("pki/revoke", serial_number="11:22")
        with pytest.raises(InvalidRequestError, match="issuer to its own CRL"):
            await server.write("pki/revoke", serial_number=root["serial_number"])


async def test_no_certificate_outlives_role_mount_or_root() -> None:
    async with fresh() as server:
        await prepared(server)
        answer = await issue(server, ttl="100h")
        assert answer.lease_seconds == 72 * 3600
        assert answer.warnings == [
            'TTL "100h0m0s" is longer than permitted maxTTL "72h0m0s", so maxTTL is being used'
        ]
        server.clock.advance(690 * 3600)
        with pytest.raises(InvalidRequestError, match="beyond the expiration of the CA"):
            await issue(server, ttl="11h")
        assert (await issue(server, ttl="9h")).data


@pytest.mark.parametrize(
    ("wish", "text"),
    [
        ({"common_name": "bad.org"}, "common name bad.org not allowed by this role"),
        ({"common_name": "example.com"}, "common name example.com not allowed by this role"),
        ({}, "the common_name field is required"),
        ({"common_name": "a.example.com", "alt_names": "bad.org"}, "alternate name bad.org not"),
        ({"common_name": "a.example.com", "ip_sans": "x"}, 'the value "x" is not a valid IP'),
        ({"common_name": "a.example.com", "uri_sans": "http://x"}, "'uri_sans'"),
        ({"common_name": "a.example.com", "not_after": "2030-01-01T00:00:00Z"}, "'not_after'"),
        ({"common_name": "a.example.com", "format": "zzz"}, "format"),
    ],
)
async def test_what_a_role_does_not_allow_is_not_issued(wish: dict[str, Any], text: str) -> None:
    async with fresh() as server:
        await prepared(server)
        with pytest.raises(InvalidRequestError, match=text):
            await server.call_update("pki/issue/r", wish)
        assert len(await server.list("pki/certs/")) == 1


async def test_roles_are_written_read_listed_and_deleted() -> None:
    async with fresh() as server:
        await prepared(server)
        role = await server.read("pki/roles/r")
        assert role is not None
        assert (role["max_ttl"], role["key_bits"], role["signature_bits"]) == (259200, 256, 256)
        assert role["allowed_domains"] == ["example.com"]
        assert await server.list("pki/roles/") == ["r"]
        await server.delete("pki/roles/r")
        assert await server.read("pki/roles/r") is None
        with pytest.raises(InvalidRequestError, match="unknown role: r"):
            await issue(server)


@pytest.mark.parametrize(
    ("wish", "text"),
    [
        ({"key_type": "dsa"}, "unknown key type dsa"),
        ({"key_bits": 1024}, "RSA keys < 2048 bits"),
        ({"key_type": "ec", "key_bits": 123}, "unsupported bit length"),
        ({"ttl": "2h", "max_ttl": "1h"}, '"ttl" value must be less than "max_ttl" value'),
        ({"use_pss": True}, "'use_pss'"),
        ({"allowed_uri_sans": "*"}, "'allowed_uri_sans'"),
        ({"issuer_ref": "other"}, "'issuer_ref'"),
        ({"key_usage": "Everything"}, "unknown key usage"),
    ],
)
async def test_what_is_not_served_is_refused_and_not_ignored(
    wish: dict[str, Any], text: str
) -> None:
    async with fresh() as server:
        await server.write("sys/mounts/pki", type="pki")
        with pytest.raises(InvalidRequestError, match=text):
            await server.call_update("pki/roles/r", wish)
        assert await server.list("pki/roles/") == []


async def test_without_a_root_nothing_is_issued() -> None:
    async with fresh() as server:
        await server.write("sys/mounts/pki", type="pki")
        await server.call_update("pki/roles/r", ROLE)
        with pytest.raises(EngineError, match="could not fetch the CA certificate"):
            await issue(server)
        for path in ("ca", "ca/pem", "crl", "crl/pem"):
            answer = await server.call(Operation.READ, f"pki/{path}", token="")
            assert answer is not None
            assert (answer.status, answer.raw_body) == (204, b"")


async def test_a_second_root_changes_nothing_for_the_first() -> None:
    async with fresh() as server:
        root = await prepared(server)
        wish = {"common_name": "Two", "key_type": "ed25519"}
        second = await server.call_update(f"{GENERATE}/exported", wish)
        assert second is not None
        assert second.data is not None
        assert second.data["private_key_type"] == "ed25519"
        made = (await issue(server)).data
        assert made is not None
        assert made["issuing_ca"] == root["certificate"]
        answer = await server.call(Operation.READ, "pki/ca/pem", token="")
        assert answer is not None
        assert answer.raw_body is not None
        assert answer.raw_body.decode() == root["certificate"]


@pytest.mark.parametrize(
    ("kind", "bits", "head"),
    [
        ("rsa", 2048, "BEGIN RSA PRIVATE KEY"),
        ("ec", 384, "BEGIN EC PRIVATE KEY"),
        ("ed25519", 0, "BEGIN PRIVATE KEY"),
    ],
)
async def test_keys_of_every_kind(kind: str, bits: int, head: str) -> None:
    async with fresh() as server:
        await prepared(server, key_type=kind, key_bits=bits)
        made = (await issue(server)).data
        assert made is not None
        assert head in made["private_key"]
        assert made["private_key_type"] == kind
        made = (await issue(server, private_key_format="pkcs8", format="pem_bundle")).data
        assert made is not None
        assert "BEGIN PRIVATE KEY" in made["private_key"]
        assert made["certificate"].count("BEGIN") == 3


async def test_only_reading_what_is_public_needs_no_token() -> None:
    async with fresh() as server:
        await prepared(server)
        for path in ("ca", "ca/pem", "ca_chain", "crl", "crl/pem", "cert/ca", "cert/crl"):
            assert await server.call(Operation.READ, f"pki/{path}", token="") is not None
        for operation, path in (
            (Operation.UPDATE, "pki/issue/r"),
            (Operation.UPDATE, "pki/revoke"),
            (Operation.READ, "pki/roles/r"),
            (Operation.LIST, "pki/certs/"),
            (Operation.UPDATE, f"{GENERATE}/internal"),
        ):
            with pytest.raises(PermissionDeniedError):
                await server.call(operation, path, {"common_name": "a.example.com"}, "")
        with pytest.raises(EngineError):
            await server.call(Operation.UPDATE, "pki/cert/ca", {"a": 1}, "")


async def test_everything_is_there_after_a_restart() -> None:
    async with fresh() as server:
        root = await prepared(server)
        made = await issue(server, ttl="1h")
        again = await restarted(server)
        await again.open.settled()
        assert made.data is not None
        await again.write("sys/leases/revoke", lease_id=made.lease_id)
        assert len(list(await crl(again))) == 1
        second = await issue(again)
        assert second.data is not None
        assert second.data["issuing_ca"] == root["certificate"]
        await again.core.seal()


RULES = NameRules(allowed_domains=("example.com",), allow_subdomains=True)


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("a.example.com", True),
        ("a.b.example.com", True),
        ("*.example.com", True),
        ("a*.example.com", True),
        ("x@a.example.com", True),
        ("localhost", True),
        ("example.com", False),
        ("evilexample.com", False),
        ("A.Example.COM", False),
        ("x@example.com", False),
        ("*.*.example.com", False),
        ("a.*.example.com", False),
        ("*", False),
        ("*.com", False),
        ("*.localhost", False),
        (".example.com", False),
        ("a..example.com", False),
        ("a.example.com.", False),
        ("not a host.example.com", False),
        ("a.example.com\nb.example.com", False),
        ("a.example.com@b", False),
        ("a@b@a.example.com", False),
        ("@a.example.com", False),
        ("-a.example.com", False),
        ("1.2.3.4", False),
        ("é.example.com", False),
        ("", False),
    ],
)
def test_names_under_a_domain(name: str, allowed: bool) -> None:
    assert is_allowed(RULES, name) is allowed


def test_flags_widen_and_narrow_what_a_role_allows() -> None:
    bare = NameRules(allowed_domains=("example.com",), allow_bare_domains=True)
    assert is_allowed(bare, "example.com")
    assert is_allowed(bare, "x@example.com")
    assert not is_allowed(bare, "a.example.com")
    anything = NameRules(allow_any_name=True)
    assert is_allowed(anything, "any.thing")
    assert not is_allowed(anything, "Any Thing")
    assert is_allowed(NameRules(allow_any_name=True, enforce_hostnames=False), "Any Thing")
    closed = NameRules(("example.com",), allow_subdomains=True, allow_wildcard_certificates=False)
    assert not is_allowed(closed, "*.example.com")
    assert not is_allowed(NameRules(allow_localhost=False), "localhost")
    globs = NameRules(("web-*.example.com", "*"), allow_glob_domains=True)
    assert is_allowed(globs, "web-1.example.com")
    assert not is_allowed(NameRules(("web-*.example.com",), allow_glob_domains=True), "web-.x.org")
    assert not is_allowed(NameRules(("*.example.com",)), "a.example.com")
    assert not is_allowed(NameRules(("",), allow_subdomains=True), "a.")


@pytest.mark.parametrize("name", ["a", "a.b", "*.a", "x-1.y", "a."])
def test_hostnames(name: str) -> None:
    assert is_hostname(name)


def test_a_role_of_another_server_is_used_only_when_all_of_it_is_served() -> None:
    body = gojson.loads_object(encode_role(decode_role(b"{}")))
    known = decode_role(gojson.dumps({**body, "lease": "", "not_before_bound": "permit"}))
    known.check_served()
    for member in ({"allowed_ip_sans_cidr": ["10.0.0.0/8"]}, {"use_pss": True}, {"lease": "1h"}):
        with pytest.raises(InvalidRequestError, match=next(iter(member))):
            decode_role(gojson.dumps({**body, **member})).check_served()
    with pytest.raises(RecordError):
        decode_role(gojson.dumps({**body, "allow_any_name": "yes"}))
