"""The engine's response as an HTTP answer.

What lives here: the rule of 200, 204 and 404, the paths whose data is repeated at the top level.
Pure. What never does: the envelope's text (``engine/envelope.py``), a handler's meaning.
Source: ``vault-api.md`` 1.3, 1.10.
"""

from zvault.engine.api import Operation, Response
from zvault.engine.envelope import envelope
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
    if response.wrap_info is not None:
        return False
    data = response.data or {}
    others = any(name != "keys" for name in data)
    return not data.get("keys") and not others and not response.warnings
