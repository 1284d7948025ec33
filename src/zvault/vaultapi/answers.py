"""What a Vault answers, as values.

What lives here: frozen dataclasses and the strict reading of JSON into them. What never does: IO.
"""

import base64
from dataclasses import dataclass
from typing import Any

from zvault.base.secret import Secret
from zvault.vaultapi.errors import VaultAnswerError

_NOT_A_VAULT = "check the address: is it the Vault's own listener?"


@dataclass(frozen=True, slots=True)
class SealStatus:
    """``sys/seal-status``: answered in every state, also while sealed or not initialised."""

    initialized: bool
    sealed: bool
    threshold: int
    shares: int
    progress: int
    nonce: str = ""
    version: str = ""
    storage_type: str = ""
    cluster_name: str = ""
    cluster_id: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """``sys/health`` with its HTTP status, which carries the state."""

    status: int
    initialized: bool
    sealed: bool
    standby: bool
    version: str = ""
    cluster_name: str = ""
    cluster_id: str = ""


@dataclass(frozen=True, slots=True)
class Login:
    """A token from a login. Durations in seconds."""

    token: Secret
    accessor: str
    policies: tuple[str, ...]
    lease_seconds: int
    renewable: bool


@dataclass(frozen=True, slots=True)
class Initialization:
    """What ``sys/init`` answers, once and never again."""

    shares: tuple[Secret, ...]
    root_token: Secret


@dataclass(frozen=True, slots=True)
class KvVersion:
    """One version of a KV v2 secret."""

    data: dict[str, Any]
    version: int
    created_time: str

    def __repr__(self) -> str:
        return f"KvVersion(version={self.version}, data=<redacted>)"


def as_object(answer: Any, what: str) -> dict[str, Any]:
    """The answer as a JSON object. Raises VaultAnswerError."""
    if not isinstance(answer, dict):
        raise VaultAnswerError(f"the answer to {what} is no JSON object", hint=_NOT_A_VAULT)
    return answer


def data_of(answer: Any, what: str) -> dict[str, Any]:
    """The ``data`` of an enveloped answer. Raises VaultAnswerError."""
    return as_object(as_object(answer, what).get("data"), what)


def read_seal_status(answer: Any) -> SealStatus:
    """Raises VaultAnswerError when a field that decides is missing or of another type."""
    body = as_object(answer, "sys/seal-status")
    initialized, sealed = body.get("initialized"), body.get("sealed")
    if not isinstance(initialized, bool) or not isinstance(sealed, bool):
        raise VaultAnswerError("seal-status does not say sealed or not", hint=_NOT_A_VAULT)
    return SealStatus(
        initialized,
        sealed,
        threshold=count_of(body, "t"),
        shares=count_of(body, "n"),
        progress=count_of(body, "progress"),
        nonce=_text(body, "nonce"),
        version=_text(body, "version"),
        storage_type=_text(body, "storage_type"),
        cluster_name=_text(body, "cluster_name"),
        cluster_id=_text(body, "cluster_id"),
    )


def read_health(status: int, answer: Any) -> Health:
    """Raises VaultAnswerError when it is not the health of a Vault."""
    body = as_object(answer, "sys/health")
    flags = [body.get(name) for name in ("initialized", "sealed", "standby")]
    if not all(isinstance(flag, bool) for flag in flags):
        raise VaultAnswerError("health does not say sealed or not", hint=_NOT_A_VAULT)
    return Health(
        status,
        initialized=flags[0] is True,
        sealed=flags[1] is True,
        standby=flags[2] is True,
        version=_text(body, "version"),
        cluster_name=_text(body, "cluster_name"),
        cluster_id=_text(body, "cluster_id"),
    )


def read_login(answer: Any) -> Login:
    """Raises VaultAnswerError when there is no token in it."""
    auth = as_object(as_object(answer, "a login").get("auth"), "a login")
    token = auth.get("client_token")
    if not isinstance(token, str) or not token:
        raise VaultAnswerError("the login answered without a token", hint=_NOT_A_VAULT)
    return Login(
        Secret(token),
        accessor=_text(auth, "accessor"),
        policies=tuple(str(name) for name in auth.get("policies") or ()),
        lease_seconds=count_of(auth, "lease_duration"),
        renewable=auth.get("renewable") is True,
    )


def read_initialization(answer: Any) -> Initialization:
    """Raises VaultAnswerError when shares or root token are missing or no base64."""
    body = as_object(answer, "sys/init")
    texts, token = body.get("keys_base64"), body.get("root_token")
    if not isinstance(texts, list) or not texts or not isinstance(token, str) or not token:
        raise VaultAnswerError("sys/init answered without keys", hint=_NOT_A_VAULT)
    try:
        shares = tuple(Secret(base64.b64decode(text, validate=True)) for text in texts)
    except (TypeError, ValueError):
        raise VaultAnswerError("sys/init answered keys that are no base64") from None
    return Initialization(shares, Secret(token))


def read_kv_version(answer: Any) -> KvVersion:
    """Raises VaultAnswerError when it is not a KV v2 read."""
    data = data_of(answer, "a KV read")
    metadata = as_object(data.get("metadata"), "a KV read")
    return KvVersion(
        as_object(data.get("data"), "a KV read"),
        count_of(metadata, "version"),
        _text(metadata, "created_time"),
    )


def count_of(body: dict[str, Any], name: str) -> int:
    """A whole number; 0 when absent. Raises VaultAnswerError for anything else."""
    value = body.get(name, 0)
    if not isinstance(value, int) or isinstance(value, bool):
        raise VaultAnswerError(f"field {name} is no number", hint=_NOT_A_VAULT)
    return value


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    return value if isinstance(value, str) else ""
