"""TLS contexts: a bad pair never takes the place of a good one."""

import ssl
from pathlib import Path

import pytest

from tests.support.certificates import TestPki, make_pki
from zvault.base.errors import PreconditionError
from zvault.server.settings import TlsSettings
from zvault.server.tls import CertificateError, ServerTls

GARBAGE = "-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----\n"


def settings(pki: TestPki) -> TlsSettings:
    return TlsSettings(pki.certificate, pki.key)


def handshake(server: ssl.SSLContext, ca: Path, *, maximum: ssl.TLSVersion) -> bytes:
    """The certificate (DER) that a client which trusts ``ca`` is shown. Raises ssl.SSLError."""
    client_context = ssl.create_default_context(cafile=ca)
    client_context.maximum_version = maximum
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
    serving = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(10):
        done = 0
        for side in (client, serving):
            try:
                side.do_handshake()
                done += 1
            except ssl.SSLWantReadError:
                continue
        if done == 2:
            certificate = client.getpeercert(binary_form=True)
            assert certificate is not None
            return certificate
    raise AssertionError("no handshake")


def shown(tls: ServerTls, pki: TestPki) -> bytes:
    return handshake(tls.context, pki.ca, maximum=ssl.TLSVersion.TLSv1_3)


def test_tls_1_2_and_1_3_are_served_and_1_1_is_not(tmp_path: Path) -> None:
    pki = make_pki(tmp_path)
    tls = ServerTls(settings(pki))
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        assert handshake(tls.context, pki.ca, maximum=version)
    assert tls.context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_new_pair_is_shown_after_a_reload(tmp_path: Path) -> None:
    old, new = make_pki(tmp_path / "old"), make_pki(tmp_path / "new")
    live = make_pki(tmp_path / "live")
    live.certificate.write_bytes(old.certificate.read_bytes())
    live.key.write_bytes(old.key.read_bytes())
    tls = ServerTls(settings(live))
    first = shown(tls, old)
    live.certificate.write_bytes(new.certificate.read_bytes())
    live.key.write_bytes(new.key.read_bytes())
    assert shown(tls, old) == first, "not before it is asked to"
    tls.reload()
    assert shown(tls, new) != first


@pytest.mark.parametrize("fault", ["foreign-key", "garbage", "absent", "empty", "open-key"])
def test_a_bad_pair_is_refused_and_the_good_one_goes_on(tmp_path: Path, fault: str) -> None:
    live, other = make_pki(tmp_path / "live"), make_pki(tmp_path / "other")
    tls = ServerTls(settings(live))
    before = shown(tls, live)
    if fault == "foreign-key":
        live.key.write_bytes(other.key.read_bytes())
    elif fault == "garbage":
        live.certificate.write_bytes(
            b"-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----\n"
        )
    elif fault == "absent":
        live.certificate.unlink()
    elif fault == "empty":
        live.key.write_bytes(b"")
    else:
        live.key.chmod(0o644)
    with pytest.raises(PreconditionError):
        tls.reload()
    assert shown(tls, live) == before


def test_an_encrypted_key_is_refused_without_asking_for_a_password(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    pki = make_pki(tmp_path)
    key = serialization.load_pem_private_key(pki.key.read_bytes(), None)
    pki.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    with pytest.raises(CertificateError):
        ServerTls(settings(pki))


def test_a_client_without_certificate_is_refused_when_one_is_required(tmp_path: Path) -> None:
    pki = make_pki(tmp_path)
    tls = ServerTls(
        TlsSettings(pki.certificate, pki.key, client_ca_file=pki.ca, require_client_cert=True)
    )
    with pytest.raises(ssl.SSLError):
        handshake(tls.context, pki.ca, maximum=ssl.TLSVersion.TLSv1_2)


def test_a_ca_file_without_a_certificate_is_refused(tmp_path: Path) -> None:
    pki = make_pki(tmp_path)
    pki.ca.write_text("nothing")
    with pytest.raises(CertificateError, match="no CA certificate"):
        ServerTls(TlsSettings(pki.certificate, pki.key, client_ca_file=pki.ca))
