"""The engine's response as Vault's JSON.

What lives here: the envelope, the rule of 200, 204 and 404, the paths whose data is repeated at the
top level. Pure. What never does: a handler's meaning.
Source: ``vault-api.md`` 1.3, 1.10.
"""

from typing import Any

import msgspec
import orjson

from zvault.engine.api import Auth, Operation, Response
from zvault.engine.userdata import EncodedData
from zvault.records import gojson
from zvault.server.answers import Answer

NOT_FOUND = b'{"errors":[]}\n'
_REPEATED = {
    "sys/audit",
    "sys/auth",
    "sys/capabilities",
    "sys/capabilities-accessor",
    "sys/capabilities-self",
    "sys/config/cors",
    "sys/ha-status",
    "sys/key-status",
    "sys/mounts",
    "sys/policy",
    "sys/rekey/backup",
    "sys/rekey/recovery-key-backup",
    "sys/remount",
    "sys/rotate",
    "sys/wrapping/wrap",
    "sys/config/auditing/request-headers",
}
_REPEATED_BELOW = (
    "sys/audit/",
    "sys/audit-hash/",
    "sys/auth/",
    "sys/config/auditing/request-headers/",
    "sys/mounts/",
    "sys/policy/",
)


def answer_for(
    request_id: str, operation: Operation, path: str, response: Response | None
) -> Answer:
    """The answer to a logical request that the engine has served."""
    if response is None:
        if operation in (Operation.READ, Operation.LIST, Operation.HELP):
            return Answer(404, NOT_FOUND)
        return Answer(204)
    if response.raw_body is not None:
        return Answer(
            response.status or 200, response.raw_body, response.raw_content_type.encode("latin-1")
        )
    if operation is Operation.LIST and not response.status and _is_empty_list(response):
        return Answer(404, NOT_FOUND)
    repeated = path.startswith("sys/") and is_repeated(path)
    return Answer(response.status or 200, envelope(request_id, response, repeated=repeated))


def is_repeated(path: str) -> bool:
    """Whether the keys of ``data`` also stand at the top level for this path."""
    return path.rstrip("/") in _REPEATED or path.startswith(_REPEATED_BELOW)


def _is_empty_list(response: Response) -> bool:
    data = response.data or {}
    others = any(name != "keys" for name in data)
    return not data.get("keys") and not others and not response.warnings


def envelope(request_id: str, response: Response, *, repeated: bool = False) -> bytes:
    """The JSON text, keys in Vault's order."""
    fields = b'{"request_id":"%b","lease_id":%b,"renewable":%b,"lease_duration":%d,"data":' % (
        request_id.encode(),
        orjson.dumps(response.lease_id) if response.lease_id else b'""',
        b"true" if response.renewable else b"false",
        response.lease_seconds,
    )
    text = b'%b%b,"wrap_info":null,"warnings":%b,"auth":%b' % (
        fields,
        dumps(response.data),
        orjson.dumps(response.warnings) if response.warnings else b"null",
        orjson.dumps(auth_view(response.auth)) if response.auth else b"null",
    )
    if repeated and response.data:
        return text + b"," + dumps(response.data)[1:] + b"\n"
    return text + b"}\n"


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
    identity = {"identity_policies": sorted(auth.identity_policies)}
    return {
        "client_token": auth.client_token,
        "accessor": auth.accessor,
        "policies": sorted({*auth.token_policies, *auth.identity_policies}),
        "token_policies": list(auth.token_policies),
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
