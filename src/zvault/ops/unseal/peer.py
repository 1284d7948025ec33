"""To whom shares may be given: pinned TLS, or a loopback socket of the configured user.

What lives here: the choice of how the other end must prove itself, and the guards that look at a
connected socket. What never does: shares.
Invariant: a guard judges the very connection the share will travel on, after it was accepted, so
nobody can slip in between the look and the sending.
"""

import hashlib
import ipaddress
import os
import pwd
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from zvault.base.errors import UsageError
from zvault.ops.unseal.errors import UntrustedPeerError
from zvault.ops.unseal.proc_net import SocketOwner, endpoint, owner_of
from zvault.vaultapi.client import VaultApi
from zvault.vaultapi.failures import check_address
from zvault.vaultapi.transport import ConnectionGuard, trust_nothing

_ACCEPT_SECONDS = 5.0
_LOOK_AGAIN_SECONDS = 0.005
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


@dataclass(frozen=True, slots=True)
class PeerRules:
    """How the Vault at ``address`` proves itself before it gets a share.

    ``owner_uid``: the user whose process must hold the other end of a loopback connection.
    ``owner_pid``: who that process is now, where it is recorded. ``ca_file``: the only CA of https.
    ``spki_pins``: SHA-256 of the certificate's public key, hex; any of them will do.
    """

    address: str
    owner_uid: int
    owner_pid: Callable[[], int | None] | None = None
    ca_file: Path | None = None
    spki_pins: tuple[str, ...] = ()

    def connect(self, timeout: float) -> VaultApi:
        """A client that sends nothing to anybody else. Raises UntrustedPeerError, UsageError."""
        guard = self._guard()
        return VaultApi(
            self.address,
            ca_file=self.ca_file,
            timeout=timeout,
            guard=guard,
            pinned=bool(self.spki_pins) and self.ca_file is None,
        )

    def _guard(self) -> ConnectionGuard:
        parts = urlsplit(check_address(self.address))
        if parts.scheme == "https":
            if self.spki_pins:
                return _PinnedKey(_pins(self.spki_pins))
            if self.ca_file is not None:
                return trust_nothing
            raise UntrustedPeerError(
                f"{self.address} is only proven by the system's certificates, which is no pin",
                hint="name the CA with --ca-file, or the server's key with --spki-pin",
            )
        if not _is_loopback(parts.hostname or ""):
            raise UntrustedPeerError(
                f"{self.address} is neither https nor on this machine, so shares would be readable",
                hint="use https with --ca-file, or run this on the Vault's own machine",
            )
        return LoopbackOwner(self.owner_uid, self.owner_pid)


@dataclass(frozen=True, slots=True)
class LoopbackOwner:
    """A guard: the other end is on this machine and belongs to this user (and process)."""

    uid: int
    find_pid: Callable[[], int | None] | None = None
    look: Callable[[socket.socket], SocketOwner | None] | None = None

    def __call__(self, connection: socket.socket) -> None:
        """Raises UntrustedPeerError; then nothing was sent."""
        owner = (self.look or accepted_owner)(connection)
        if owner is None:
            raise UntrustedPeerError(
                f"nobody accepted the connection within {_ACCEPT_SECONDS:g} s, or the other end is"
                " not on this machine; it got nothing",
                hint="is the Vault hanging, or in another network namespace?",
            )
        if owner.uid != self.uid:
            raise UntrustedPeerError(
                f"the port belongs to a process of {user_name(owner.uid)}, not of"
                f" {user_name(self.uid)}; it got nothing",
                hint="find who listens there (ss -ltnp); if it is the Vault, say --owner USER",
            )
        pid = self.find_pid() if self.find_pid else None
        if pid is not None and not _holds_socket(pid, owner.inode):
            raise UntrustedPeerError(
                f"the port is not held by the recorded server process {pid}; it got nothing",
                hint="find who listens there (ss -ltnp)",
            )


def accepted_owner(connection: socket.socket) -> SocketOwner | None:
    """The owner of the other end once it is accepted; None when that does not come in time."""
    near, far = connection.getsockname(), connection.getpeername()
    near_end, far_end = endpoint(near[0], near[1]), endpoint(far[0], far[1])
    if not far_end[0].is_loopback:
        return None
    deadline = time.monotonic() + _ACCEPT_SECONDS
    while True:
        for table in _TABLES:
            if table.exists():
                owner = owner_of(table.read_text().splitlines()[1:], near_end, far_end)
                if owner is not None:
                    return owner
        if time.monotonic() > deadline:
            return None
        time.sleep(_LOOK_AGAIN_SECONDS)


@dataclass(frozen=True, slots=True)
class _PinnedKey:
    """A guard: the certificate's public key is one of ours."""

    pins: frozenset[str]

    def __call__(self, connection: socket.socket) -> None:
        raw = connection.getpeercert(True) if isinstance(connection, ssl.SSLSocket) else None
        if not raw or spki_pin(x509.load_der_x509_certificate(raw)) not in self.pins:
            raise UntrustedPeerError(
                "the server's key is not the pinned one; it got nothing",
                hint="compare the certificate with `zvault tls check`",
            )


def spki_pin(certificate: x509.Certificate) -> str:
    """SHA-256 of the SubjectPublicKeyInfo, hex (RFC 7469's pin, in another spelling)."""
    info = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(info).hexdigest()


def resolve_owner(text: str | None) -> int:
    """The uid for a name or number; our own when None. Raises UsageError."""
    if text is None:
        return os.getuid()
    if text.isdecimal():
        return int(text)
    try:
        return pwd.getpwnam(text).pw_uid
    except KeyError:
        raise UsageError(f"there is no user {text!r} here", hint="name a user or a uid") from None


def user_name(uid: int) -> str:
    """``name (uid N)``, or the number alone when nobody has it."""
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"


def _pins(pins: tuple[str, ...]) -> frozenset[str]:
    plain = frozenset(pin.lower().removeprefix("sha256:") for pin in pins)
    if any(len(pin) != 64 or set(pin) - set("0123456789abcdef") for pin in plain):
        raise UsageError("a pin is not 64 hex digits", hint="`zvault tls check` prints the pin")
    return plain


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _holds_socket(pid: int, inode: int) -> bool:
    wanted = f"socket:[{inode}]"
    try:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                if str(descriptor.readlink()) == wanted:
                    return True
            except OSError:
                continue
    except OSError:
        return False
    return False
