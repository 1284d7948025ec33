"""Reads everything out of a running Vault with the root token, for the comparison.

What lives here: the calls. What never does: an opinion about what they should say, a retry.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import hvac
import hvac.exceptions

from demo.load.client import MOUNT
from demo.load.operator_acts import LEGACY

_MOUNT_FIELDS = ("type", "uuid", "accessor", "options", "description", "local", "seal_wrap")


@dataclass(frozen=True)
class FoundSecret:
    """A KV v2 secret as the server tells it: metadata and, by version, what a read gave."""

    metadata: dict[str, Any]
    data: dict[int, dict[str, Any] | None]


class Reader:
    """Questions to one server. ``client`` carries the root token."""

    def __init__(self, client: hvac.Client) -> None:
        self._client = client

    @property
    def address(self) -> str:
        """Where the questions go."""
        return str(self._client.url)

    def secret_paths(self, prefix: str = "") -> Iterator[str]:
        """Every KV v2 path below a prefix, found by listing."""
        yield from self._walk(f"{MOUNT}/metadata/", prefix)

    def secret(self, path: str) -> FoundSecret:
        """Metadata and every version that metadata names; None for a version without data."""
        kv = self._client.secrets.kv.v2
        metadata = kv.read_secret_metadata(path, mount_point=MOUNT)["data"]
        data: dict[int, dict[str, Any] | None] = {}
        for number in sorted(int(n) for n in metadata["versions"]):
            data[number] = self._version(path, number)
        return FoundSecret(metadata, data)

    def version(self, path: str, number: int) -> dict[str, Any] | None:
        """One version's data; None when it is deleted, destroyed or absent."""
        return self._version(path, number)

    def legacy(self) -> dict[str, dict[str, Any]]:
        """Every KV v1 secret."""
        kv = self._client.secrets.kv.v1
        return {
            path: kv.read_secret(path, mount_point=LEGACY)["data"]
            for path in self._walk(f"{LEGACY}/", "")
        }

    def policies(self) -> dict[str, str]:
        """Policy name → text; ``root`` has none."""
        names = self._client.sys.list_policies()["data"]["policies"]
        return {
            name: self._client.sys.read_policy(name)["data"]["rules"]
            for name in names
            if name != "root"
        }

    def accessors(self) -> set[str]:
        """Every live token."""
        return set(self._client.auth.token.list_accessors()["data"]["keys"])

    def token(self, accessor: str) -> dict[str, Any] | None:
        """What a lookup by accessor says; None when there is no such token."""
        try:
            found: dict[str, Any] = self._client.auth.token.lookup_accessor(accessor)["data"]
        except (hvac.exceptions.InvalidRequest, hvac.exceptions.Forbidden):
            return None
        except hvac.exceptions.InvalidPath:
            return None
        return found

    def roles(self) -> list[str]:
        """AppRole names."""
        names: list[str] = self._client.auth.approle.list_roles()["data"]["keys"]
        return names

    def secret_id_accessors(self, role: str) -> set[str]:
        """The live secret_ids of a role, by accessor."""
        try:
            return set(self._client.auth.approle.list_secret_id_accessors(role)["data"]["keys"])
        except hvac.exceptions.InvalidPath:
            return set()

    def settings(self) -> dict[str, Any]:
        """Mounts, auth methods, roles with their role_ids, entities: what load must not change."""
        mounts = self._client.sys.list_mounted_secrets_engines()["data"]
        methods = self._client.sys.list_auth_methods()["data"]
        found: dict[str, Any] = {}
        for kind, table in (("mount", mounts), ("auth", methods)):
            for path, about in table.items():
                found[f"{kind} {path}"] = {name: about.get(name) or None for name in _MOUNT_FIELDS}
        for role in self.roles():
            found[f"role {role}"] = self._client.auth.approle.read_role(role)["data"]
            found[f"role_id of {role}"] = self._client.auth.approle.read_role_id(role)["data"]
        return found

    def kv_max_versions(self) -> int:
        """max_versions of the KV v2 mount."""
        return int(
            self._client.secrets.kv.v2.read_configuration(mount_point=MOUNT)["data"]["max_versions"]
        )

    def _version(self, path: str, number: int) -> dict[str, Any] | None:
        try:
            answer = self._client.secrets.kv.v2.read_secret_version(
                path, version=number, mount_point=MOUNT, raise_on_deleted_version=True
            )
        except hvac.exceptions.InvalidPath:
            return None
        data: dict[str, Any] = answer["data"]["data"]
        return data

    def _walk(self, root: str, prefix: str) -> Iterator[str]:
        url = hvac.utils.format_url("/v1/{place}", place=root + prefix)
        try:
            keys = self._client.adapter.request("list", url)["data"]["keys"]
        except hvac.exceptions.InvalidPath:
            return
        for key in keys:
            if key.endswith("/"):
                yield from self._walk(root, prefix + key)
            else:
                yield prefix + key
