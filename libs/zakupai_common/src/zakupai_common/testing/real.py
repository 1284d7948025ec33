"""The controls of a Vault that runs: HashiCorp Vault, OpenBao, the embedded engine.

What lives here: the controls as calls with the root token. What never does: starting a server.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import hvac

from zakupai_common.secret import Secret
from zakupai_common.testing.controls import Role


class RealVault:
    """A Vault that a test may do anything to. ``prepare`` mounts KV and AppRole."""

    def __init__(
        self,
        address: str,
        root_token: Secret[str],
        unseal_keys: Sequence[Secret[str]],
        *,
        kv_mount: str = "zakupai",
        ca_file: Path | None = None,
    ) -> None:
        self.address, self.kv_mount, self.ca_file = address, kv_mount, ca_file
        self.root_token, self._keys = root_token, tuple(unseal_keys)
        self._version = 2

    @property
    def hvac(self) -> hvac.Client:
        """A client with the root token, on a connection of its own."""
        verify = str(self.ca_file) if self.ca_file else True
        return hvac.Client(url=self.address, token=self.root_token.reveal(), verify=verify)

    def prepare(self, kv_version: int = 2) -> None:
        """Mount KV and AppRole."""
        self._version = kv_version
        self._call(
            "post",
            f"sys/mounts/{self.kv_mount}",
            {"type": "kv", "options": {"version": str(kv_version)}},
        )
        self._call("post", "sys/auth/approle", {"type": "approle"})

    def put(self, path: str, data: Mapping[str, Any]) -> None:
        body = {"data": dict(data)} if self._version == 2 else dict(data)
        self._call("post", self._data_path(path), body)

    def delete(self, path: str) -> None:
        self._call("delete", self._data_path(path))

    def make_role(
        self,
        name: str,
        reads: Sequence[str],
        *,
        token_seconds: int = 3600,
        token_max_seconds: int = 0,
        secret_id_seconds: int = 0,
        secret_id_uses: int = 0,
    ) -> Role:
        self._write_policy(name, reads)
        settings = {
            "token_policies": [name],
            "token_ttl": token_seconds,
            "token_max_ttl": token_max_seconds,
            "secret_id_ttl": secret_id_seconds,
            "secret_id_num_uses": secret_id_uses,
        }
        self._call("post", f"auth/approle/role/{name}", settings)
        answer = self._call("get", f"auth/approle/role/{name}/role-id")
        return Role(name, Secret(answer["data"]["role_id"]))

    def allow(self, role: Role, reads: Sequence[str]) -> None:
        self._write_policy(role.name, reads)

    def make_secret_id(self, role: Role) -> Secret[str]:
        answer = self._call("post", f"auth/approle/role/{role.name}/secret-id", {})
        return Secret(answer["data"]["secret_id"])

    def wrap_secret_id(self, role: Role) -> Secret[str]:
        path = f"/v1/auth/approle/role/{role.name}/secret-id"
        answer: Any = self._do(lambda client: client.adapter.post(path, json={}, wrap_ttl="5m"))
        return Secret(answer["wrap_info"]["token"])

    def unwrap(self, wrapping_token: Secret[str]) -> None:
        self._call("post", "sys/wrapping/unwrap", {"token": wrapping_token.reveal()})

    def destroy_secret_ids(self, role: Role) -> None:
        path = f"auth/approle/role/{role.name}"
        for accessor in self._call("list", f"{path}/secret-id")["data"]["keys"]:
            body = {"secret_id_accessor": accessor}
            self._call("post", f"{path}/secret-id-accessor/destroy", body)

    def revoke_tokens(self, role: Role) -> None:
        for accessor in self._accessors(role):
            self._call("post", "auth/token/revoke-accessor", {"accessor": accessor})

    def live_tokens(self, role: Role) -> int:
        return len(self._accessors(role))

    def seal(self) -> None:
        self._call("put", "sys/seal")

    def unseal(self) -> None:
        for key in self._keys:
            state = self._call("put", "sys/unseal", {"key": key.reveal()})
            if not state["sealed"]:
                return
        raise AssertionError("the unseal keys did not unseal it")

    def _accessors(self, role: Role) -> list[str]:
        found = []
        for accessor in self._call("list", "auth/token/accessors")["data"]["keys"]:
            try:
                known = self._call("post", "auth/token/lookup-accessor", {"accessor": accessor})
            except hvac.exceptions.VaultError:
                continue  # it died meanwhile
            if (known["data"].get("meta") or {}).get("role_name") == role.name:
                found.append(accessor)
        return found

    def _write_policy(self, name: str, reads: Sequence[str]) -> None:
        rules = {self._data_path(path): {"capabilities": ["read"]} for path in reads}
        text = json.dumps({"path": rules})
        self._call("put", f"sys/policies/acl/{name}", {"policy": text})

    def _data_path(self, path: str) -> str:
        return f"{self.kv_mount}/data/{path}" if self._version == 2 else f"{self.kv_mount}/{path}"

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return self._do(lambda client: client.adapter.request(method, f"/v1/{path}", json=body))

    def _do(self, call: Any) -> Any:
        client = self.hvac
        try:
            return call(client)
        finally:
            client.adapter.close()
