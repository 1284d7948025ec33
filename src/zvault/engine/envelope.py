"""What a client gets to read of a response: Vault's envelope as JSON text.

What lives here: the envelope, the shape of ``auth`` and ``wrap_info``. Pure. Response wrapping
stores the same text that the HTTP server sends, so it lives here and not there. What never does: a
status, a handler's meaning.
Source: ``docs/api/sys.md``.
"""

from typing import Any

import msgspec
import orjson

from zvault.base.gotime import format_time
from zvault.engine.api import Auth, Response, WrapInfo
from zvault.engine.userdata import EncodedData
from zvault.records import gojson


def envelope(request_id: str, response: Response, *, repeated: bool = False) -> bytes:
    """The JSON text, keys in Vault's order; with ``wrap_info`` the request has no id."""
    if not repeated and _is_plain(response):
        data = response.data
        text = data.encoded if type(data) is EncodedData else dumps(data)
        return b"".join((_START, request_id.encode(), _BEFORE_DATA, text, _AFTER_DATA))
    info = response.wrap_info
    fields = b'{"request_id":"%b","lease_id":%b,"renewable":%b,"lease_duration":%d,"data":' % (
        b"" if info is not None else request_id.encode(),
        orjson.dumps(response.lease_id) if response.lease_id else b'""',
        b"true" if response.renewable else b"false",
        response.lease_seconds,
    )
    text = b'%b%b,"wrap_info":%b,"warnings":%b,"auth":%b' % (
        fields,
        dumps(response.data),
        b"null" if info is None else orjson.dumps(wrap_view(info)),
        orjson.dumps(response.warnings) if response.warnings else b"null",
        orjson.dumps(auth_view(response.auth)) if response.auth else b"null",
    )
    if repeated and response.data:
        return text + b"," + dumps(response.data)[1:] + b"\n"
    return text + b"}\n"


_START = b'{"request_id":"'
_BEFORE_DATA = b'","lease_id":"","renewable":false,"lease_duration":0,"data":'
_AFTER_DATA = b',"wrap_info":null,"warnings":null,"auth":null}\n'


def _is_plain(response: Response) -> bool:
    """Nothing but data, as most answers are."""
    return not (
        response.warnings
        or response.auth
        or response.wrap_info
        or response.lease_id
        or response.lease_seconds
        or response.renewable
    )


def dumps(value: Any) -> bytes:
    """JSON text; what orjson refuses (integers beyond 64 bits) takes the slower way."""
    if value is None:
        return b"null"
    if type(value) is EncodedData:
        return value.encoded
    try:
        return orjson.dumps(value, default=_as_written)
    except orjson.JSONEncodeError:
        return gojson.dumps(value, sort_keys=False)


def _as_written(value: object) -> object:
    """Numbers keep the digits they were stored with; JSON that is ready is passed on."""
    if isinstance(value, gojson.NumberLiteral):
        return orjson.Fragment(value.text)
    if isinstance(value, msgspec.Raw):
        return orjson.Fragment(bytes(value))
    raise TypeError


def auth_view(auth: Auth) -> dict[str, Any]:
    """The ``auth`` object of an answer."""
    own = {"token_policies": list(auth.token_policies)}
    identity = {"identity_policies": sorted(auth.identity_policies)}
    return {
        "client_token": auth.client_token,
        "accessor": auth.accessor,
        "policies": sorted({*auth.token_policies, *auth.identity_policies}),
        **(own if auth.token_policies else {}),
        **(identity if auth.identity_policies else {}),
        "metadata": auth.metadata or None,
        "lease_duration": auth.lease_seconds,
        "renewable": auth.renewable,
        "entity_id": auth.entity_id,
        "token_type": auth.token_type,
        "orphan": auth.orphan,
        "mfa_requirement": None,
        "num_uses": auth.num_uses,
    }


def wrap_view(info: WrapInfo) -> dict[str, Any]:
    """The ``wrap_info`` object of an answer."""
    view = {
        "token": info.token,
        "accessor": info.accessor,
        "ttl": info.ttl_seconds,
        "creation_time": format_time(info.creation_time_ns),
        "creation_path": info.creation_path,
    }
    return {**view, "wrapped_accessor": info.wrapped_accessor} if info.wrapped_accessor else view
