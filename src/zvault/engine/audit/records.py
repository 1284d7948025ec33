"""What one audit line says.

What lives here: request and response records in Vault's key order, built from values that the
pipeline already has. What never does: IO, a clock (times come in as nanoseconds).
Invariants: tokens and accessors appear only hashed (unless the device was told otherwise); keys
without a value are left out; both records of a request carry the same ``request.id``.
Source: ``docs/formats/audit.md``.
"""

import base64
import hashlib
from typing import Any

import orjson

from zvault.base.gotime import SECOND_NS, format_time
from zvault.engine.api import Auth, Operation, Request, Response
from zvault.engine.audit.auth_view import AuthView
from zvault.engine.audit.hashing import Hasher
from zvault.engine.audit.headers import AuditedHeaders
from zvault.engine.audit.options import FileOptions
from zvault.engine.userdata import EncodedData, UserData
from zvault.records.mounts import MountEntry
from zvault.records.tokens import BATCH, TokenEntry

CACHED_SECTIONS = 4096
_WRITES = (Operation.CREATE, Operation.UPDATE, Operation.PATCH)
_NAMESPACE = {"id": "root"}


class RecordWriter:
    """Builds the lines of one device."""

    def __init__(
        self,
        hasher: Hasher,
        options: FileOptions,
        builtin_version: str,
        headers: AuditedHeaders,
    ) -> None:
        self._headers = headers
        self._hasher = hasher
        self._options = options
        self._version = builtin_version
        self._prefix = options.prefix.encode()
        self._callers: dict[tuple[Any, ...], _Caller] = {}
        self._second = -1
        self._second_text = ""

    def probe(self, now_ns: int, request_id: str) -> bytes:
        """The line that enabling a device writes first."""
        request = {
            "id": request_id,
            "operation": "update",
            "namespace": _NAMESPACE,
            "path": "sys/audit/test",
        }
        auth = orjson.dumps({"token_type": "default"})
        return self._line(now_ns, b"request", auth, orjson.dumps(request), b"", "")

    def request(self, now_ns: int, request: Request, view: AuthView, error: str) -> bytes:
        """The request record, newline included."""
        caller = self._caller(request, view)
        section = self._request_section(request, caller, executed=request.operation in _WRITES)
        return self._line(now_ns, b"request", caller.auth, section, b"", error)

    def response(
        self, now_ns: int, request: Request, response: Response | None, view: AuthView, error: str
    ) -> bytes:
        """The response record, newline included."""
        caller = self._caller(request, view)
        auth = caller.auth
        if request.token is None and response is not None and response.auth is not None:
            auth = orjson.dumps(self._issued(response.auth, in_auth_section=True))
        section = self._request_section(request, caller, executed=True)
        answer = self._response_section(request, response, error)
        return self._line(now_ns, b"response", auth, section, answer, error)

    def _line(
        self, now_ns: int, kind: bytes, auth: bytes, request: bytes, response: bytes, error: str
    ) -> bytes:
        parts = [
            self._prefix,
            b'{"time":"',
            self._time(now_ns).encode(),
            b'","type":"',
            kind,
            b'","auth":',
            auth,
            b',"request":',
            request,
        ]
        if response:
            parts += (b',"response":', response)
        if error:
            parts += (b',"error":', orjson.dumps(error))
        parts.append(b"}\n")
        return b"".join(parts)

    def _time(self, now_ns: int) -> str:
        second, fraction = divmod(now_ns, SECOND_NS)
        if second != self._second:
            self._second_text = format_time(second * SECOND_NS)[:-1]
            self._second = second
        if not fraction:
            return self._second_text + "Z"
        return f"{self._second_text}.{fraction:09d}".rstrip("0") + "Z"

    def _caller(self, request: Request, view: AuthView) -> "_Caller":
        token = request.token
        if token is None:
            return self._stranger(request, view)
        key = (
            request.client_token,
            token.accessor,
            token.num_uses,
            request.policies,
            request.identity_policies,
            view,
        )
        found = self._callers.get(key)
        if found is None:
            if len(self._callers) >= CACHED_SECTIONS:
                self._callers.pop(next(iter(self._callers)))
            found = self._callers[key] = self._known(request, token, view)
        return found

    def _stranger(self, request: Request, view: AuthView) -> "_Caller":
        ids: dict[str, Any] = {}
        if request.client_token:
            ids["client_token"] = self._hasher.text(request.client_token)
        auth = {**ids, "policy_results": {"allowed": view.allowed}, "token_type": "default"}
        return _Caller(orjson.dumps(auth), {}, ids)

    def _known(self, request: Request, token: TokenEntry, view: AuthView) -> "_Caller":
        hashed = self._hasher.remembered(request.client_token)
        accessor = self._accessor(token.accessor)
        granting = [
            {"name": name, "namespace_id": "root", "type": "acl"} for name in view.granting_policies
        ]
        results: dict[str, Any] = {"allowed": view.allowed}
        if granting:
            results["granting_policies"] = granting
        auth = _without_empty(
            {
                "client_token": hashed,
                "accessor": accessor,
                "display_name": token.display_name,
                "policies": list(request.policies),
                "token_policies": list(token.policies),
                "identity_policies": list(request.identity_policies),
                "policy_results": results,
                "metadata": dict(token.meta or {}),
                "remaining_uses": token.num_uses,
                "entity_id": token.entity_id,
                "token_type": "batch" if token.type == BATCH else "service",
                "token_ttl": token.ttl_ns // SECOND_NS,
                "token_issue_time": format_time(token.creation_time * SECOND_NS),
            }
        )
        ids = _without_empty({"client_token": hashed, "client_token_accessor": accessor})
        return _Caller(orjson.dumps(auth), {"client_id": client_id(token)}, ids)

    def _accessor(self, accessor: str) -> str:
        if not accessor or not self._options.hmac_accessor:
            return accessor
        return self._hasher.remembered(accessor)

    def _request_section(self, request: Request, caller: "_Caller", *, executed: bool) -> bytes:
        section: dict[str, Any] = {"id": request.id, **caller.client}
        section["operation"] = request.operation.value
        mount = request.mount
        if mount is not None:
            section["mount_point"] = mount_point(mount)
            section["mount_type"] = mount.type
            if executed:
                section["mount_accessor"] = mount.accessor
            section["mount_running_version"] = self._running_version(mount)
            section["mount_class"] = mount_class(mount)
        section.update(caller.ids)
        section["namespace"] = _NAMESPACE
        section["path"] = request.path
        if request.data:
            plain = mount.config.audit_non_hmac_request_keys if mount is not None else None
            section["data"] = self._hasher.tree(request.data, numbers=True, plain_keys=plain or ())
        if request.remote_address:
            section["remote_address"] = request.remote_address
        if request.remote_port:
            section["remote_port"] = request.remote_port
        if request.wrap_ttl_seconds:
            section["wrap_ttl"] = request.wrap_ttl_seconds
        if self._headers:
            shown = self._headers.shown(request.headers, self._hasher)
            if shown:
                section["headers"] = shown
        return orjson.dumps(section)

    def _response_section(self, request: Request, response: Response | None, error: str) -> bytes:
        section: dict[str, Any] = {}
        mount = request.mount
        if response is not None and response.auth is not None:
            section["auth"] = self._issued(response.auth, in_auth_section=False)
        if mount is not None:
            section["mount_point"] = mount_point(mount)
            section["mount_type"] = mount.type
            section["mount_accessor"] = mount.accessor
            section["mount_running_plugin_version"] = self._running_version(mount)
            section["mount_class"] = mount_class(mount)
        if response is not None and response.lease_id:
            section["secret"] = {"lease_id": response.lease_id}
        data = self._response_data(request, response, error)
        if data is not None:
            section["data"] = data
        if response is not None and response.warnings:
            section["warnings"] = response.warnings
        return orjson.dumps(section)

    def _response_data(self, request: Request, response: Response | None, error: str) -> Any:
        if response is None:
            return {"error": self._hasher.text(error)} if error else None
        mount = request.mount
        plain = (mount.config.audit_non_hmac_response_keys if mount is not None else None) or ()
        data: Any = response.data
        if response.raw_body is not None:
            data = {
                "http_content_type": response.raw_content_type,
                "http_raw_body": response.raw_body.decode("utf-8", "replace"),
                "http_status_code": response.status or 200,
            }
        if not data:
            return None
        if isinstance(data, EncodedData) and not plain:
            return orjson.Fragment(self._remember(data))
        if request.operation is Operation.LIST and self._options.elide_list_responses:
            data = _elided(data)
        return self._hasher.tree(data, numbers=False, plain_keys=plain)

    def _remember(self, data: EncodedData) -> bytes:
        number = self._hasher.number
        found = data.audited.get(number)
        if found is None:
            found = orjson.dumps(self._hasher.tree(data, numbers=False))
            data.audited[number] = found
        return found

    def _issued(self, auth: Auth, *, in_auth_section: bool) -> dict[str, Any]:
        return _without_empty(
            {
                "client_token": self._hasher.text(auth.client_token) if auth.client_token else "",
                "accessor": self._accessor(auth.accessor),
                "display_name": auth.display_name,
                "policies": sorted({*auth.token_policies, *auth.identity_policies}),
                "token_policies": list(auth.token_policies),
                "identity_policies": list(auth.identity_policies),
                "no_default_policy": auth.no_default_policy,
                "num_uses": auth.num_uses,
                "metadata": dict(auth.metadata),
                "entity_id": auth.entity_id,
                "entity_created": in_auth_section and auth.entity_created,
                "token_type": auth.token_type,
                "token_ttl": auth.lease_seconds,
            }
        )

    def _running_version(self, mount: MountEntry) -> str:
        version = mount.extra.get("running_plugin_version")
        return version if isinstance(version, str) and version else self._version


class _Caller:
    """The parts of a record that depend on who asks only."""

    __slots__ = ("auth", "client", "ids")

    def __init__(self, auth: bytes, client: dict[str, Any], ids: dict[str, Any]) -> None:
        self.auth = auth
        self.client = client
        self.ids = ids


def mount_point(mount: MountEntry) -> str:
    """The mount's full path: ``secret/``, ``auth/approle/``."""
    return f"auth/{mount.path}" if mount.table == "auth" else mount.path


def mount_class(mount: MountEntry) -> str:
    """``auth`` or ``secret``."""
    return "auth" if mount.table == "auth" else "secret"


def client_id(token: TokenEntry) -> str:
    """Who counts as one client: the entity, or everyone with the same policies."""
    if token.entity_id:
        return token.entity_id
    text = "\x7f".join(sorted(token.policies)) + "\x00" + "root"
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _without_empty(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value}


def _elided(data: dict[str, Any]) -> dict[str, Any]:
    shorter = UserData(data) if isinstance(data, UserData) else dict(data)
    if isinstance(shorter.get("keys"), list):
        shorter["keys"] = len(shorter["keys"])
    if isinstance(shorter.get("key_info"), dict):
        shorter["key_info"] = len(shorter["key_info"])
    return shorter
