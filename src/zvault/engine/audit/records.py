"""What one audit line says.

What lives here: request and response records in Vault's key order, built from values that the
pipeline already has. What never does: IO, a clock (times come in as nanoseconds).
Invariants: tokens and accessors appear only hashed (unless the device was told otherwise); keys
without a value are left out; both records of a request carry the same ``request`` object, but that
a read before execution does not know its mount's accessor yet.
Records are put together from JSON fragments, because they are on the way of every request; what
depends only on the caller or the mount is kept.
Source: ``docs/formats/audit.md``.
"""

from typing import Any

import orjson

from zvault.base.gotime import SECOND_NS, format_time
from zvault.engine.api import Operation, Request, Response
from zvault.engine.audit.auth_view import AuthView
from zvault.engine.audit.hashing import Hasher
from zvault.engine.audit.headers import AuditedHeaders
from zvault.engine.audit.options import FileOptions
from zvault.engine.audit.sections import (
    Caller,
    MountPart,
    elided,
    issued_auth,
    known_caller,
    mount_part,
    stranger,
)
from zvault.engine.userdata import EncodedData
from zvault.records import gojson
from zvault.records.mounts import MountEntry

CACHED_SECTIONS = 4096
_WRITES = (Operation.CREATE, Operation.UPDATE, Operation.PATCH)
_NO_MOUNT = MountPart(b"", b"", b"", b"")
_OPERATIONS = {op: b'"operation":"%b",' % op.value.encode() for op in Operation}
_NAMESPACE = b'"namespace":{"id":"root"},"path":'


class Draft:
    """A request record and what its response record shares with it."""

    __slots__ = ("after", "before", "caller", "line", "mount")

    def __init__(self, caller: Caller, mount: MountPart, before: bytes, after: bytes) -> None:
        self.caller = caller
        self.mount = mount
        self.before = before
        """The ``request`` object up to where the mount's accessor belongs."""
        self.after = after
        self.line = b""
        """The request record, newline included."""


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
        self._prefix = options.prefix.encode() + b'{"time":"'
        self._callers: dict[tuple[Any, ...], Caller] = {}
        self._mounts: dict[int, tuple[MountEntry, MountPart]] = {}
        self._second = -1
        self._second_text = b""

    def probe(self, now_ns: int, request_id: str) -> bytes:
        """The line that enabling a device writes first."""
        request = b'{"id":%b,"operation":"update",%b"sys/audit/test"}' % (
            orjson.dumps(request_id),
            _NAMESPACE,
        )
        return self._line(now_ns, b"request", b'{"token_type":"default"}', request, b"", "")

    def request(self, now_ns: int, request: Request, view: AuthView, error: str) -> Draft:
        """The request record and what the response record needs of it."""
        draft = self._draft(request, view)
        accessor = draft.mount.accessor if request.operation in _WRITES else b""
        section = draft.before + accessor + draft.after
        draft.line = self._line(now_ns, b"request", draft.caller.auth, section, b"", error)
        return draft

    def response(
        self,
        now_ns: int,
        request: Request,
        response: Response | None,
        view: AuthView,
        error: str,
        draft: Draft | None = None,
    ) -> bytes:
        """The response record, newline included."""
        draft = draft or self._draft(request, view)
        auth = draft.caller.auth
        if request.token is None and response is not None and response.auth is not None:
            issued = issued_auth(response.auth, self._hasher, self._options, is_caller=True)
            auth = orjson.dumps(issued)
        section = draft.before + draft.mount.accessor + draft.after
        answer = self._response_section(request, response, draft.mount, error)
        return self._line(now_ns, b"response", auth, section, answer, error)

    def _line(
        self, now_ns: int, kind: bytes, auth: bytes, request: bytes, response: bytes, error: str
    ) -> bytes:
        parts = [
            self._prefix,
            self._time(now_ns),
            b'Z","type":"',
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

    def _time(self, now_ns: int) -> bytes:
        """Go's RFC3339Nano in UTC without the Z; the seconds are formatted once a second."""
        second = now_ns // SECOND_NS
        if second != self._second:
            self._second_text = format_time(second * SECOND_NS)[:-1].encode()
            self._second = second
        fraction = now_ns - second * SECOND_NS
        if not fraction:
            return self._second_text
        return (b"%b.%09d" % (self._second_text, fraction)).rstrip(b"0")

    def _draft(self, request: Request, view: AuthView) -> Draft:
        caller = self._caller(request, view)
        mount = self._mount(request.mount) if request.mount is not None else _NO_MOUNT
        start = b'{"id":"' + request.id.encode() + b'",'
        before = start + caller.client + _OPERATIONS[request.operation] + mount.before
        parts = [mount.after, caller.ids, _NAMESPACE, orjson.dumps(request.path)]
        if request.data:
            entry = request.mount
            plain = entry.config.audit_non_hmac_request_keys if entry is not None else ()
            shown = self._hasher.tree(request.data, numbers=True, plain_keys=plain)
            parts += (b',"data":', encode(shown))
        if request.remote_address:
            parts += (b',"remote_address":', orjson.dumps(request.remote_address))
        if request.remote_port:
            parts.append(b',"remote_port":%d' % request.remote_port)
        if request.wrap_ttl_seconds:
            parts.append(b',"wrap_ttl":%d' % request.wrap_ttl_seconds)
        if self._headers:
            named = self._headers.shown(request.headers, self._hasher)
            if named:
                parts += (b',"headers":', orjson.dumps(named))
        parts.append(b"}")
        return Draft(caller, mount, before, b"".join(parts))

    def _caller(self, request: Request, view: AuthView) -> Caller:
        token = request.token
        if token is None:
            return stranger(request, view, self._hasher)
        key = (
            request.client_token,
            token.accessor,
            token.num_uses,
            request.policies,
            request.identity_policies,
            view.allowed,
            view.granting_policies,
        )
        found = self._callers.get(key)
        if found is None:
            if len(self._callers) >= CACHED_SECTIONS:
                self._callers.pop(next(iter(self._callers)))
            found = known_caller(request, token, view, self._hasher, self._options)
            self._callers[key] = found
        return found

    def _mount(self, mount: MountEntry) -> MountPart:
        kept = self._mounts.get(id(mount))
        # The entry is kept beside its part, so its id cannot come to mean another one.
        if kept is not None and kept[0] is mount:
            return kept[1]
        if len(self._mounts) >= CACHED_SECTIONS:
            self._mounts.clear()
        part = mount_part(mount, self._version)
        self._mounts[id(mount)] = (mount, part)
        return part

    def _response_section(
        self, request: Request, response: Response | None, mount: MountPart, error: str
    ) -> bytes:
        parts = []
        if response is not None and response.auth is not None:
            issued = issued_auth(response.auth, self._hasher, self._options, is_caller=False)
            parts.append(b'"auth":' + orjson.dumps(issued))
        if mount.response:
            parts.append(mount.response)
        if response is not None and response.lease_id:
            parts.append(b'"secret":' + orjson.dumps({"lease_id": response.lease_id}))
        data = self._response_data(request, response, error)
        if data:
            parts.append(b'"data":' + data)
        if response is not None and response.warnings:
            parts.append(b'"warnings":' + orjson.dumps(response.warnings))
        return b"{" + b",".join(parts) + b"}"

    def _response_data(self, request: Request, response: Response | None, error: str) -> bytes:
        if response is None:
            return encode({"error": self._hasher.text(error)}) if error else b""
        mount = request.mount
        plain = mount.config.audit_non_hmac_response_keys if mount is not None else ()
        data: Any = response.data
        if type(data) is EncodedData and not plain and response.raw_body is None:
            return self._remembered(data)
        if response.raw_body is not None:
            data = {
                "http_content_type": response.raw_content_type,
                "http_raw_body": response.raw_body.decode("utf-8", "replace"),
                "http_status_code": response.status or 200,
            }
        if not data:
            return b""
        if request.operation is Operation.LIST and self._options.elide_list_responses:
            data = elided(data)
        return encode(self._hasher.tree(data, numbers=False, plain_keys=plain))

    def _remembered(self, data: EncodedData) -> bytes:
        number = self._hasher.number
        found = data.audited.get(number)
        if found is None:
            found = encode(self._hasher.tree(data, numbers=False))
            data.audited[number] = found
        return found


def encode(value: Any) -> bytes:
    """JSON; integers beyond 64 bits and number literals in readable data included."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return gojson.dumps(value, sort_keys=False)
