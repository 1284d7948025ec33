"""The operator's client to any Vault: HashiCorp Vault, OpenBao, the embedded engine.

What lives here: the calls that unsealing, migrating and checking need, through hvac; every failure
becomes one of ``vaultapi.errors``. What never does: a retry, a decision.
Invariants: nothing is taken from the environment (no VAULT_TOKEN, no VAULT_ADDR, no proxy); no
redirect is followed; a share appears in no message.
"""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hvac

from zvault.base.errors import PreconditionError
from zvault.base.secret import Secret
from zvault.vaultapi import answers
from zvault.vaultapi.answers import Health, Initialization, KvVersion, Login, SealStatus
from zvault.vaultapi.errors import (
    UnsealKeyRefusedError,
    VaultAnswerError,
    VaultRefusedError,
)
from zvault.vaultapi.failures import check_address, plain_reason, speaking_plainly
from zvault.vaultapi.transport import ConnectionGuard, open_session, trust_nothing

_WRONG_KEY = ("message authentication failed", "invalid key", "failed to compute combined key")


class VaultApi:
    """Calls to one Vault.

    Arguments: ``address`` like ``https://127.0.0.1:8200``; ``token`` for calls that need one;
    ``ca_file`` the only certificates that are trusted (the system's when None); ``timeout``
    seconds for connecting and for each read; ``guard`` looks at every new connection before a
    request is sent; ``pinned`` leaves the judgement on the certificate to the guard.
    Every call raises errors of ``vaultapi.errors`` and nothing else, except what the guard raises.
    """

    def __init__(
        self,
        address: str,
        *,
        token: Secret | None = None,
        ca_file: Path | None = None,
        timeout: float = 10.0,
        guard: ConnectionGuard = trust_nothing,
        pinned: bool = False,
    ) -> None:
        self.address = check_address(address)
        self._token, self._timeout, self._pinned = token, timeout, pinned
        try:
            self._session = open_session(ca_file=ca_file, guard=guard, pinned=pinned)
        except (OSError, ssl.SSLError) as cause:
            raise PreconditionError(
                f"the CA file {ca_file} cannot be read: {plain_reason(cause)}",
                hint="name a PEM file with the CA's certificate",
            ) from None
        self._client = self._hvac(token)

    def _hvac(self, token: Secret | None) -> Any:
        return hvac.Client(
            url=self.address,
            token=token.reveal_text() if token else "",
            verify=not self._pinned,
            timeout=self._timeout,
            allow_redirects=False,
            session=self._session,
        )

    def __repr__(self) -> str:
        return f"VaultApi({self.address!r})"

    def with_token(self, token: Secret) -> "VaultApi":
        """The same Vault over the same connections with another token."""
        other = object.__new__(VaultApi)
        other.__dict__.update(self.__dict__)
        other._token, other._client = token, other._hvac(token)
        return other

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    # -- state ------------------------------------------------------------------------------

    def seal_status(self) -> SealStatus:
        """Answered in every state of the server."""
        return answers.read_seal_status(self._call(lambda: self._client.sys.read_seal_status()))

    def health(self) -> Health:
        """State and version; never raises for a sealed or uninitialised Vault."""
        answer = self._call(lambda: self._client.sys.read_health_status(method="GET"))
        if isinstance(answer, dict):
            return answers.read_health(200, answer)
        try:
            status, body = answer.status_code, answer.json()
        except (AttributeError, ValueError):
            status, body = 0, None
        return answers.read_health(status, body)

    def initialize(self, shares: int, threshold: int) -> Initialization:
        """Make the keys of a new Vault. The answer exists only once: keep it before all else.

        Raises VaultRefusedError when there are keys already, or for numbers that make no sense.
        """
        return answers.read_initialization(
            self._call(
                lambda: self._client.sys.initialize(
                    secret_shares=shares, secret_threshold=threshold
                )
            )
        )

    def submit_share(self, share: Secret) -> SealStatus:
        """Give one share; the answer says how far it got.

        Raises UnsealKeyRefusedError when this share completed a key that does not open the Vault.
        """
        text = share.reveal().hex()
        try:
            answer = self._call(lambda: self._client.sys.submit_unseal_key(key=text), hide=text)
        except (VaultRefusedError, VaultAnswerError) as refusal:
            if any(sign in refusal.message for sign in _WRONG_KEY):
                raise UnsealKeyRefusedError(
                    f"{self.address} refused the unseal key: {refusal.message}",
                    hint="these shares belong to another Vault, or to this one before a rekey",
                ) from None
            raise
        return answers.read_seal_status(answer)

    def reset_unseal(self) -> SealStatus:
        """Drop the shares that were given so far. Raises VaultRefusedError when unsealed."""
        return answers.read_seal_status(
            self._call(lambda: self._client.sys.submit_unseal_key(reset=True))
        )

    def seal(self) -> None:
        """Seal it; needs a token with sudo on ``sys/seal``."""
        self._call(lambda: self._client.sys.seal())

    # -- what is configured -----------------------------------------------------------------

    def list_audit(self) -> dict[str, Any]:
        """Audit devices by path (``file/``)."""
        return answers.data_of(
            self._call(lambda: self._client.sys.list_enabled_audit_devices()), "sys/audit"
        )

    def enable_audit(self, path: str, device_type: str, options: dict[str, str]) -> None:
        """Enable an audit device."""
        self._call(
            lambda: self._client.sys.enable_audit_device(
                device_type=device_type, path=path.rstrip("/"), options=options
            )
        )

    def disable_audit(self, path: str) -> None:
        """Disable an audit device; none there is fine."""
        self._call(lambda: self._client.sys.disable_audit_device(path=path.rstrip("/")))

    def list_mounts(self) -> dict[str, Any]:
        """Secret engines by path (``zakupai/``)."""
        return answers.data_of(
            self._call(lambda: self._client.sys.list_mounted_secrets_engines()), "sys/mounts"
        )

    def enable_mount(self, path: str, engine_type: str, options: dict[str, str]) -> None:
        """Mount a secret engine. Raises VaultRefusedError when the path is in use."""
        self._call(
            lambda: self._client.sys.enable_secrets_engine(
                backend_type=engine_type, path=path.rstrip("/"), options=options
            )
        )

    def enable_auth(self, path: str, method_type: str) -> None:
        """Enable an auth method. Raises VaultRefusedError when the path is in use."""
        self._call(
            lambda: self._client.sys.enable_auth_method(
                method_type=method_type, path=path.rstrip("/")
            )
        )

    def list_auth(self) -> dict[str, Any]:
        """Auth methods by path (``approle/``)."""
        return answers.data_of(self._call(lambda: self._client.sys.list_auth_methods()), "sys/auth")

    def list_policies(self) -> list[str]:
        """Names of ACL policies, sorted."""
        answer = self._call(lambda: self._client.sys.list_policies())
        names = answers.data_of(answer, "sys/policy").get("policies")
        if not isinstance(names, list):
            raise VaultAnswerError("sys/policy answered without a list of policies")
        return sorted(str(name) for name in names)

    def read_policy(self, name: str) -> str:
        """The text of a policy. Raises VaultNotFoundError."""
        answer = self._call(lambda: self._client.sys.read_policy(name=name))
        return str(answers.data_of(answer, "sys/policy").get("rules", ""))

    def put_policy(self, name: str, text: str) -> None:
        """Write an ACL policy; it counts at once. Raises VaultRefusedError when it is none."""
        self._call(lambda: self._client.sys.create_or_update_policy(name=name, policy=text))

    def read_role(self, name: str, mount: str = "approle") -> dict[str, Any]:
        """The settings of an AppRole role, durations in seconds. Raises VaultNotFoundError."""
        answer = self._call(
            lambda: self._client.auth.approle.read_role(role_name=name, mount_point=mount)
        )
        return answers.data_of(answer, "an AppRole role")

    def put_role(self, name: str, settings: dict[str, Any], mount: str = "approle") -> None:
        """Make an AppRole role, or change the settings that are named."""
        self._call(
            lambda: self._client.auth.approle.create_or_update_approle(
                role_name=name, mount_point=mount, **settings
            )
        )

    def kv2_max_versions(self, mount: str) -> int:
        """How many versions a mount keeps of each secret; 0 is Vault's own default, 10."""
        answer = self._call(
            lambda: self._client.secrets.kv.v2.read_configuration(mount_point=mount)
        )
        return answers.count_of(answers.data_of(answer, "a KV mount's config"), "max_versions")

    def kv2_set_max_versions(self, mount: str, max_versions: int) -> None:
        """Set it; other settings of the mount stay, which hvac's own call would reset."""
        body = {"max_versions": max_versions}
        self._call(lambda: self._client.write_data(f"{mount}/config", data=body))

    # -- tokens and secrets -----------------------------------------------------------------

    def approle_login(
        self, role_id: Secret, secret_id: Secret | None, mount: str = "approle"
    ) -> Login:
        """A token for a role. Raises VaultRefusedError for a wrong role_id or secret_id."""
        return answers.read_login(
            self._call(
                lambda: self._client.auth.approle.login(
                    role_id=role_id.reveal_text(),
                    secret_id=secret_id.reveal_text() if secret_id else None,
                    use_token=False,
                    mount_point=mount,
                )
            )
        )

    def kv2_read(self, mount: str, path: str, version: int | None = None) -> KvVersion:
        """One version (the newest when None). Raises VaultNotFoundError: deleted or absent."""
        return answers.read_kv_version(
            self._call(
                lambda: self._client.secrets.kv.v2.read_secret_version(
                    path=path, version=version, mount_point=mount, raise_on_deleted_version=True
                )
            )
        )

    def kv2_write(self, mount: str, path: str, data: dict[str, Any], cas: int | None = None) -> int:
        """Write a new version and return its number."""
        answer = self._call(
            lambda: self._client.secrets.kv.v2.create_or_update_secret(
                path=path, secret=data, cas=cas, mount_point=mount
            )
        )
        version = answers.data_of(answer, "a KV write").get("version")
        if not isinstance(version, int):
            raise VaultAnswerError("the KV write answered without a version")
        return version

    def lookup_self(self) -> dict[str, Any]:
        """What this client's token is and may. Raises VaultPermissionError when it is dead."""
        return answers.data_of(
            self._call(lambda: self._client.auth.token.lookup_self()), "lookup-self"
        )

    def revoke_self(self) -> None:
        """End this client's token."""
        self._call(lambda: self._client.auth.token.revoke_self())

    def call(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, hide: str = ""
    ) -> Any:
        """A call that hvac has no words for; ``hide`` is cut out of every error's text."""
        return self._call(
            lambda: self._client.adapter.request(method, f"/v1/{path}", json=body), hide=hide
        )

    # -- failures ---------------------------------------------------------------------------

    def _call(self, call: Callable[[], Any], *, hide: str = "") -> Any:
        with speaking_plainly(self.address, hide):
            answer = call()
        status = getattr(answer, "status_code", 200)
        if isinstance(status, int) and 300 <= status < 400:
            raise VaultAnswerError(
                f"{self.address} sends us elsewhere (HTTP {status})",
                hint="name the active node's own address",
            )
        return answer
