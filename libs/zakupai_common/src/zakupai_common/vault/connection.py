"""The calls to Vault that keeping secrets needs, through hvac.

What lives here: each call with the shape of its answer checked, and the table from what hvac and
requests raise to our errors. What never does: a retry, a decision, state besides the connection.
Invariants: no redirect is followed; nothing is taken from the environment; an error carries no
credential, neither in its text nor in the frames behind it.
"""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hvac
import requests

from zakupai_common.secret import REDACTED, Secret
from zakupai_common.vault.address import Whereabouts
from zakupai_common.vault.errors import (
    AnswerError,
    CertificateError,
    PermissionDeniedError,
    RequestRefusedError,
    SecretAbsentError,
    VaultClientError,
    VaultSealedError,
    VaultUnavailableError,
)
from zakupai_common.vault.settings import VaultSettings
from zakupai_common.vault.transport import BoundedSession

_LONGEST_REASON = 300
_OVER = "past the max TTL"
"""A renewal at the very end of a token's life is a 500 that no waiting mends."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A token and how long it lives; ``seconds`` 0 means for ever."""

    token: Secret[str]
    seconds: float
    renewable: bool
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class KvMount:
    """A KV mount: its path without slashes and its version, 1 or 2."""

    path: str
    version: int


class VaultConnection:
    """One connection; for one thread at a time. With ``address_file`` it goes where that says.

    Every call raises subclasses of VaultClientError and nothing else. ``hvac`` is hvac's own client
    on this connection.
    """

    def __init__(
        self,
        address: str,
        *,
        ca_file: Path | None = None,
        namespace: str = "",
        timeout_seconds: float = 5.0,
        address_file: Path | None = None,
    ) -> None:
        self._where = Whereabouts(address, address_file)
        self._address_file = address_file
        self._others = (ca_file, namespace, timeout_seconds)
        self._open("")

    @property
    def address(self) -> str:
        """Where the next request goes, unless the address file says otherwise by then."""
        return self._where.now

    def _open(self, token: str) -> None:
        ca_file, namespace, timeout_seconds = self._others
        self._session = BoundedSession(timeout_seconds, ca_file)
        self.hvac = hvac.Client(
            url=self.address,
            token=token,
            verify=True,
            timeout=timeout_seconds,
            allow_redirects=False,
            session=self._session,
            namespace=namespace or None,
        )

    @classmethod
    def of(cls, settings: VaultSettings) -> "VaultConnection":
        """A connection to where the settings say. Raises SettingsError."""
        return cls(
            settings.address,
            ca_file=settings.ca_file,
            namespace=settings.namespace,
            timeout_seconds=settings.timeout_seconds,
            address_file=settings.address_file,
        )

    def sibling(self) -> "VaultConnection":
        """Another connection to the same place, without the token."""
        ca_file, namespace, seconds = self._others
        return VaultConnection(
            self.address,
            ca_file=ca_file,
            namespace=namespace,
            timeout_seconds=seconds,
            address_file=self._address_file,
        )

    def reopen(self) -> None:
        """Read the CA file again, which may hold the new CA by now. Raises SettingsError."""
        old = self._session
        self._open(self.hvac.token or "")
        old.close()

    def use(self, token: Secret[str]) -> None:
        """Make the next calls with this token."""
        self.hvac.token = token.reveal()

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    # -- tokens -----------------------------------------------------------------------------

    def approle_login(
        self, role_id: Secret[str], secret_id: Secret[str], mount: str = "approle"
    ) -> Grant:
        """A token for the role. Raises RequestRefusedError for wrong credentials."""
        answer = self.call(
            lambda: self.hvac.auth.approle.login(
                role_id=role_id.reveal(),
                secret_id=secret_id.reveal(),
                use_token=False,
                mount_point=mount,
            ),
            hide=(role_id, secret_id),
        )
        return _grant(answer)

    def renew_self(self) -> Grant:
        """A longer life for the token in use."""
        return _grant(self.call(lambda: self.hvac.auth.token.renew_self()))

    def lookup_self(self) -> Mapping[str, Any]:
        """What Vault knows of the token in use. Raises PermissionDeniedError when it is dead."""
        return data_of(self.call(lambda: self.hvac.auth.token.lookup_self()))

    def revoke_self(self) -> None:
        """End the token in use."""
        self.call(lambda: self.hvac.auth.token.revoke_self())

    def unwrap(self, wrapping_token: Secret[str]) -> Mapping[str, Any]:
        """What was wrapped; works once. Raises RequestRefusedError when it was opened before."""
        answer = self.call(
            lambda: self.hvac.adapter.post(
                "/v1/sys/wrapping/unwrap", headers={"X-Vault-Token": wrapping_token.reveal()}
            ),
            hide=(wrapping_token,),
        )
        return data_of(answer)

    def wrapping_origin(self, wrapping_token: Secret[str]) -> str:
        """The path whose answer was wrapped. Raises RequestRefusedError when it was opened."""
        answer = self.call(
            lambda: self.hvac.adapter.post(
                "/v1/sys/wrapping/lookup", json={"token": wrapping_token.reveal()}
            ),
            hide=(wrapping_token,),
        )
        return str(data_of(answer).get("creation_path", ""))

    # -- secrets ----------------------------------------------------------------------------

    def mount_of(self, path: str) -> KvMount:
        """The KV mount that ``path`` lies in.

        Raises PermissionDeniedError: no such mount, or nothing in it may be read.
        """
        data = data_of(
            self.call(lambda: self.hvac.adapter.get(f"/v1/sys/internal/ui/mounts/{path}"))
        )
        mount, kind, options = data.get("path"), data.get("type"), data.get("options") or {}
        if kind not in ("kv", "generic") or not isinstance(mount, str):
            raise RequestRefusedError(f"{path} does not lie in a KV mount, but in {kind!r}")
        version = options.get("version") if isinstance(options, dict) else None
        return KvMount(mount.strip("/"), 2 if version == "2" else 1)

    def read_kv(self, mount: KvMount, path: str) -> Mapping[str, Any]:
        """All keys of a secret, the newest version. Raises SecretAbsentError: none, deleted."""
        if mount.version == 1:
            v1 = self.hvac.secrets.kv.v1
            return data_of(self.call(lambda: v1.read_secret(path=path, mount_point=mount.path)))
        v2 = self.hvac.secrets.kv.v2
        envelope = data_of(
            self.call(
                lambda: v2.read_secret_version(
                    path=path, mount_point=mount.path, raise_on_deleted_version=True
                )
            )
        )
        return _mapping(envelope.get("data"))

    # -- failures ---------------------------------------------------------------------------

    def call(self, call: Callable[[], Any], *, hide: tuple[Secret[str], ...] = ()) -> Any:
        """Make one call of hvac; ``hide`` is cut out of every error's text.

        Whatever failed at an address that no longer holds is an outage: the place that Vault has
        left may refuse what is good elsewhere.
        """
        failure: VaultClientError
        if self._where.look():
            self.hvac.url = self.address
        asked = self.address
        try:
            answer = call()
        except hvac.exceptions.VaultError as cause:
            failure = self._refusal(cause, hide)
        except requests.exceptions.SSLError as cause:
            failure = CertificateError(
                f"the certificate of {self.address} is not trusted: {_tls_reason(cause)}",
                hint="name the right CA file, and an address that the certificate holds",
            )
        except requests.exceptions.Timeout:
            failure = VaultUnavailableError(f"{self.address} did not answer in time")
        except (requests.exceptions.RequestException, OSError):
            failure = VaultUnavailableError(f"{self.address} cannot be reached")
        except (AttributeError, TypeError, KeyError, ValueError):
            # hvac takes an error body's shape for granted
            failure = AnswerError(f"{self.address} answers in a form that no Vault uses")
        else:
            status = getattr(answer, "status_code", 200)
            if not 300 <= status < 400:
                return answer
            failure = AnswerError(
                f"{self.address} sends us elsewhere (HTTP {status}), and we do not follow",
                hint="name the active node's own address, or the front door",
            )
        if self._where.look():
            self.hvac.url = self.address
            failure = VaultUnavailableError(f"Vault moved from {asked} to {self.address} meanwhile")
        elif isinstance(failure, VaultUnavailableError):
            failure.retry_after = self._session.retry_after_seconds
        # raised here, where no exception is being handled: hvac's frames hold credentials
        raise failure

    def _refusal(
        self, cause: hvac.exceptions.VaultError, hide: tuple[Secret[str], ...]
    ) -> VaultClientError:
        reason = _reason(cause)
        for secret in hide:
            reason = reason.replace(secret.reveal(), REDACTED)
        match cause:
            case hvac.exceptions.VaultDown() | hvac.exceptions.VaultNotInitialized():
                if "sealed" in reason or isinstance(cause, hvac.exceptions.VaultNotInitialized):
                    return VaultSealedError(f"{self.address} is sealed")
            case hvac.exceptions.Forbidden() | hvac.exceptions.Unauthorized():
                return PermissionDeniedError(f"{self.address} denies this: {reason}")
            case hvac.exceptions.InvalidPath():
                return SecretAbsentError(f"{self.address} has nothing there: {reason}")
            case hvac.exceptions.InvalidRequest():
                return RequestRefusedError(f"{self.address} refuses this: {reason}")
            case hvac.exceptions.InternalServerError() if _OVER in reason:
                return RequestRefusedError(f"{self.address} refuses this: {reason}")
        return VaultUnavailableError(f"{self.address} failed: {reason}")


def data_of(answer: Any) -> Mapping[str, Any]:
    """The ``data`` of an answer. Raises AnswerError when it has none."""
    return _mapping(answer.get("data") if isinstance(answer, dict) else None)


def _mapping(found: Any) -> Mapping[str, Any]:
    if not isinstance(found, dict):
        raise AnswerError("the answer carries no data, as no Vault's would")
    return found


def _grant(answer: Any) -> Grant:
    auth = answer.get("auth") if isinstance(answer, dict) else None
    token = auth.get("client_token") if isinstance(auth, dict) else None
    seconds = auth.get("lease_duration") if isinstance(auth, dict) else None
    if not isinstance(auth, dict) or not isinstance(token, str) or not token:
        raise AnswerError("the answer to a login or renewal carries no token")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise AnswerError("the answer to a login or renewal carries no lease")
    metadata = auth.get("metadata") or {}
    return Grant(Secret(token), float(seconds), auth.get("renewable") is True, metadata)


def _reason(cause: hvac.exceptions.VaultError) -> str:
    errors = cause.errors if isinstance(cause.errors, list) else []
    text = "; ".join(" ".join(str(error).split()) for error in errors) or "no reason given"
    return text[:_LONGEST_REASON]


def _tls_reason(cause: BaseException) -> str:
    seen: set[int] = set()
    waiting = [cause]
    while waiting:
        error = waiting.pop()
        if id(error) in seen:
            continue
        seen.add(id(error))
        if isinstance(error, ssl.SSLCertVerificationError):
            return str(error.verify_message)
        inner = [getattr(error, "reason", None), *error.args, error.__context__]
        waiting.extend(one for one in inner if isinstance(one, BaseException))
    return "the handshake failed"
