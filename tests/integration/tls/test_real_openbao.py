"""Renewal against a real TLS server: the new certificate is served without a seal."""

import base64
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.ports import free_port
from tests.support.golden import Golden, unpack
from tests.support.openbao import OpenBao, running
from zvault.base.clock import SystemClock
from zvault.base.secret import Secret
from zvault.ops.tls.check import fingerprint, read_served
from zvault.ops.tls.errors import TlsHandshakeError, TlsNotServedError
from zvault.ops.tls.files import TlsPaths
from zvault.ops.tls.renewal import Listener, await_served, init, renew
from zvault.ops.unseal.errors import UntrustedPeerError
from zvault.ops.unseal.peer import PeerRules
from zvault.ops.unseal.submit import submit_round
from zvault.vaultapi.errors import VaultTlsError

CLOCK = SystemClock()


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Golden:
    return unpack("openbao-file", tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> TlsPaths:
    made = TlsPaths.in_directory(tmp_path_factory.mktemp("tls"))
    init(made, [], CLOCK, name="test CA")
    return made


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, golden: Golden, paths: TlsPaths
) -> Iterator[OpenBao]:
    root = tmp_path_factory.mktemp("bao")
    with running(root, golden.data, tls_cert=paths.certificate, tls_key=paths.key) as started:
        yield started


def shares(golden: Golden) -> list[Secret]:
    return [Secret(base64.b64decode(share)) for share in golden.expected["shares"]]


@pytest.mark.parametrize("new_key", [False, True])
def test_a_renewed_certificate_is_served_after_a_reload_and_the_vault_stays_unsealed(
    server: OpenBao, golden: Golden, paths: TlsPaths, new_key: bool
) -> None:
    vault = PeerRules(server.address, 0, ca_file=paths.ca).connect(10)
    submit_round(vault, shares(golden))
    listener = Listener("127.0.0.1", server.port, paths.ca)
    before = fingerprint(read_served("127.0.0.1", server.port, paths.ca))
    report = renew(paths, None, CLOCK, new_key=new_key)
    assert fingerprint(read_served("127.0.0.1", server.port, paths.ca)) == before
    with pytest.raises(TlsNotServedError):
        await_served(listener, report.fingerprint, timeout_seconds=0.2, clock=CLOCK)
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)
    await_served(listener, report.fingerprint, timeout_seconds=10, clock=CLOCK)
    assert not vault.seal_status().sealed


def test_shares_go_to_the_pinned_ca_and_to_no_other(
    server: OpenBao, golden: Golden, paths: TlsPaths, tmp_path: Path
) -> None:
    other = TlsPaths.in_directory(tmp_path)
    init(other, [], CLOCK, name="test CA")
    vault = PeerRules(server.address, 0, ca_file=other.ca).connect(5)
    with pytest.raises(VaultTlsError, match="not trusted"):
        submit_round(vault, shares(golden))


def test_shares_go_to_the_pinned_key_and_to_no_other(
    server: OpenBao, golden: Golden, paths: TlsPaths
) -> None:
    pin = renew(paths, None, CLOCK).spki_pin
    assert PeerRules(server.address, 0, spki_pins=(pin,)).connect(5).seal_status().initialized
    wrong = PeerRules(server.address, 0, spki_pins=("0" * 64,)).connect(5)
    with pytest.raises(UntrustedPeerError, match="it got nothing"):
        submit_round(wrong, shares(golden))


def test_a_handshake_with_another_ca_is_refused(server: OpenBao, tmp_path: Path) -> None:
    other = TlsPaths.in_directory(tmp_path)
    init(other, [], CLOCK, name="test CA")
    with pytest.raises(TlsHandshakeError, match="does not vouch"):
        read_served("127.0.0.1", server.port, other.ca)


def test_nobody_there_is_named(paths: TlsPaths) -> None:
    with pytest.raises(TlsHandshakeError, match="Connection refused"):
        read_served("127.0.0.1", free_port(), paths.ca)
