"""What one audit line says.

What lives here: request and response records in Vault's key order, built from values that the
pipeline already has. What never does: IO, a clock (times come in as nanoseconds).
Invariants: tokens and accessors appear only hashed (unless the device was told otherwise); keys
without a value are left out; both records of a request carry the same ``request`` object, but that
a read before execution does not know its mount's accessor yet.
Records are put together from JSON fragments, because they are on the way of every request; what
depends only on the caller, the mount and the operation is kept (a ``Frame``).
Source: ``docs/formats/audit.md``.
"""

from typing import Any

import orjson

from zvault.base.gotime import SECOND_NS, format_time
from zvault.engine.api import Auth, Operation, Request, Response
from zvault.engine.audit.auth_view import AuthView
from zvault.engine.audit.hashing import Hasher
from zvault.engine.audit.headers import AuditedHeaders
from zvault.engine.audit.options import RecordOptions
from zvault.engine.audit.sections import (
    Caller,
    MountPart,
    elided,
    issued_auth,
    known_caller,
    mount_part,
    stranger,
    wrapped,
)
from zvault.engine.userdata import EncodedData
from zvault.records import gojson
from zvault.records.mounts import MountEntry

KEPT_FRAMES = 2048
MAX_KEPT_BYTES = 8192
"""A caller whose metadata is longer is put into words each time."""
KEPT_REMOTES = 4096
_WRITES = (Operation.CREATE, Operation.UPDATE, Operation.PATCH)
_NO_MOUNT = MountPart(b"", b"", b"", b"")
_OPERATIONS = {op: b'"operation":"%b",' % op.value.encode() for op in Operation}
_NAMESPACE = b'"namespace":{"id":"root"},"path":'


class Frame:
    """What all records of one caller on one mount with one operation have in common."""

    __slots__ = ("answer", "asked", "done", "ids", "ids_done")

    def __init__(self, caller: Caller, mount: MountPart, operation: Operation) -> None:
        start = b',"request":{"id":"'
        self.asked = b'Z","type":"request","auth":' + caller.auth + start
        self.done = b'Z","type":"response","auth":' + caller.auth + start
        before = b'",' + caller.client + _OPERATIONS[operation] + mount.before
        after = mount.after + caller.ids + _NAMESPACE
        self.ids_done = before + mount.accessor + after
        self.ids = self.ids_done if operation in _WRITES else before + after
        self.answer = mount.response


class Draft:
    """A request record and what its response record shares with it."""

    __slots__ = ("about", "frame", "id", "line")

    def __init__(self, frame: Frame, request_id: bytes, about: bytes) -> None:
        self.frame = frame
        self.id = request_id
        self.about = about
        """Path, data and what else belongs to this request alone; closes the object."""
        self.line = b""
        """The request record, newline included."""


class RecordWriter:
    """Builds the lines of one device."""

    def __init__(
        self,
        hasher: Hasher,
        options: RecordOptions,
        builtin_version: str,
        headers: AuditedHeaders,
    ) -> None:
        self._headers = headers
        self._hasher = hasher
        self._options = options
        self._version = builtin_version
        self._prefix = options.prefix.encode() + b'{"time":"'
        self._frames: dict[tuple[object, ...], tuple[str, tuple[object, ...], Frame]] = {}
        self._strangers: dict[tuple[object, ...], tuple[tuple[object, ...], Frame]] = {}
        self._remotes: dict[tuple[str, int], bytes] = {}
        self._second = -1
        self._second_text = b""

    def probe(self, now_ns: int, request_id: str) -> bytes:
        """The line that enabling a device writes first."""
        parts = (
            self._prefix,
            self._time(now_ns),
            b'Z","type":"request","auth":{"token_type":"default"},"request":{"id":',
            orjson.dumps(request_id),
            b',"operation":"update",',
            _NAMESPACE,
            b'"sys/audit/test"}}\n',
        )
        return b"".join(parts)

    def request(self, now_ns: int, request: Request, view: AuthView, error: str) -> Draft:
        """The request record and what the response record needs of it."""
        draft = self._draft(request, view)
        frame = draft.frame
        end = b',"error":' + orjson.dumps(error) + b"}\n" if error else b"}\n"
        parts = (self._prefix, self._time(now_ns), frame.asked, draft.id, frame.ids, draft.about)
        draft.line = b"".join((*parts, end))
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
        frame, start = draft.frame, draft.frame.done
        issued = b""
        if response is not None and response.auth is not None:
            issued = self._issued(response.auth, is_caller=False)
        login = None if response is None else response.auth or response.login
        if request.token is None and login is not None:
            is_same = bool(issued) and not login.entity_created
            caller = issued if is_same else self._issued(login, is_caller=True)
            start = b'Z","type":"response","auth":' + caller + b',"request":{"id":"'
        parts = [self._prefix, self._time(now_ns), start, draft.id, frame.ids_done, draft.about]
        parts += (
            b',"response":{',
            self._outcome(request, response, frame.answer, error, issued),
            b"}",
        )
        if error:
            parts += (b',"error":', orjson.dumps(error))
        parts.append(b"}\n")
        return b"".join(parts)

    def pair(
        self,
        begun_ns: int,
        now_ns: int,
        request: Request,
        response: Response | None,
        view: AuthView,
        error: str,
    ) -> bytes:
        """Both records of a request at once; ``begun_ns`` is when it came."""
        draft = self._draft(request, view)
        frame, prefix, own, about = draft.frame, self._prefix, draft.id, draft.about
        asked = (prefix, self._time(begun_ns), frame.asked, own, frame.ids, about, b"}\n")
        if response is None or error or response.auth is not None:
            return b"".join((*asked, self.response(now_ns, request, response, view, error, draft)))
        outcome = self._outcome(request, response, frame.answer, "")
        moment = self._time(now_ns)
        done = (prefix, moment, frame.done, own, frame.ids_done, about)
        return b"".join((*asked, *done, b',"response":{', outcome, b"}}\n"))

    def _time(self, now_ns: int) -> bytes:
        """Go's RFC3339Nano in UTC without the Z; the seconds are formatted once a second."""
        second, fraction = divmod(now_ns, SECOND_NS)
        if second != self._second:
            self._second_text = format_time(second * SECOND_NS)[:-1].encode()
            self._second = second
        if not fraction:
            return self._second_text
        text = b"%b.%09d" % (self._second_text, fraction)
        return text if fraction % 10 else text.rstrip(b"0")

    def _draft(self, request: Request, view: AuthView) -> Draft:
        parts = [orjson.dumps(request.path)]
        if request.data:
            entry = request.mount
            plain = entry.config.audit_non_hmac_request_keys if entry is not None else ()
            shown = self._hasher.tree(request.data, numbers=True, plain_keys=plain)
            parts += (b',"data":', encode(shown))
        parts.append(self._remote(request.remote_address, request.remote_port))
        if request.wrap_ttl_seconds:
            parts.append(b',"wrap_ttl":%d' % request.wrap_ttl_seconds)
        if self._headers:
            named = self._headers.shown(request.headers, self._hasher)
            if named:
                parts += (b',"headers":', orjson.dumps(named))
        parts.append(b"}")
        return Draft(self._frame(request, view), request.id.encode(), b"".join(parts))

    def _remote(self, address: str, port: int) -> bytes:
        key = (address, port)
        found = self._remotes.get(key)
        if found is None:
            text = b',"remote_address":' + orjson.dumps(address) if address else b""
            found = text + b',"remote_port":%d' % port if port else text
            if len(self._remotes) >= KEPT_REMOTES:
                self._remotes.clear()
            self._remotes[key] = found
        return found

    def _frame(self, request: Request, view: AuthView) -> Frame:
        """Kept under the identities of what it is made of: none of them is changed in place, and
        they are kept beside it, so that an id cannot come to mean another thing."""
        token, mount = request.token, request.mount
        if token is None:
            return self._stranger(request, view)
        made_of = (token, mount, request.policies, request.identity_policies, view)
        key = (*map(id, made_of), request.operation)
        kept = self._frames.get(key)
        if kept is not None and kept[0] == request.client_token:
            return kept[2]
        caller = known_caller(request, token, view, self._hasher, self._options)
        frame = Frame(caller, self._mount(mount), request.operation)
        if not token.num_uses and len(caller.auth) <= MAX_KEPT_BYTES:
            if len(self._frames) >= KEPT_FRAMES:
                self._frames.pop(next(iter(self._frames)))
            self._frames[key] = (request.client_token, made_of, frame)
        return frame

    def _stranger(self, request: Request, view: AuthView) -> Frame:
        """Of who brings no token; kept in the same way while there is nothing to hash."""
        mount = request.mount
        key = (id(mount), id(view), request.operation)
        kept = self._strangers.get(key)
        if kept is not None and not request.client_token:
            return kept[1]
        caller = stranger(request, view, self._hasher)
        frame = Frame(caller, self._mount(mount), request.operation)
        if not request.client_token:
            if len(self._strangers) >= KEPT_FRAMES:
                self._strangers.clear()
            self._strangers[key] = ((mount, view), frame)
        return frame

    def _issued(self, auth: Auth, *, is_caller: bool) -> bytes:
        return orjson.dumps(issued_auth(auth, self._hasher, self._options, is_caller=is_caller))

    def _mount(self, mount: MountEntry | None) -> MountPart:
        return _NO_MOUNT if mount is None else mount_part(mount, self._version)

    def _outcome(
        self,
        request: Request,
        response: Response | None,
        mount: bytes,
        error: str,
        issued: bytes = b"",
    ) -> bytes:
        """The members of the ``response`` object; ``issued``: its ``auth``."""
        data = self._response_data(request, response, error)
        if response is None or not _says_more(response):
            if not data:
                return mount
            return mount + b',"data":' + data if mount else b'"data":' + data
        parts = []
        if issued:
            parts.append(b'"auth":' + issued)
        if mount:
            parts.append(mount)
        if response.lease_id:
            parts.append(b'"secret":' + orjson.dumps({"lease_id": response.lease_id}))
        if data:
            parts.append(b'"data":' + data)
        if response.warnings:
            parts.append(b'"warnings":' + orjson.dumps(response.warnings))
        if response.wrap_info is not None:
            info = wrapped(response.wrap_info, self._hasher, self._options)
            parts.append(b'"wrap_info":' + orjson.dumps(info))
        return b",".join(parts)

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


def _says_more(response: Response) -> bool:
    """Than its data."""
    return bool(response.auth or response.lease_id or response.warnings or response.wrap_info)


def encode(value: Any) -> bytes:
    """JSON; integers beyond 64 bits and number literals in readable data included."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return gojson.dumps(value, sort_keys=False)
