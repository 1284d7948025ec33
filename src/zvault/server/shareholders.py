"""Rekey and generate-root over HTTP: the engine's data without the envelope.

What lives here: which methods these paths take, how their bodies are read. What never does: what
they mean (``engine/backends/system/shareholders.py``); they go through the engine's pipeline like
any request, so they are audited. Source: ``vault-api.md`` 1.9, 2.14, 2.15.
"""

from zvault.engine.api import Operation, Response
from zvault.engine.backends.system.shareholders import UNENVELOPED
from zvault.engine.errors import CodedError
from zvault.server.answers import Answer
from zvault.server.raw import json_answer

PATHS = tuple(f"sys/{path}" for path in UNENVELOPED)
_OPERATIONS = {
    "GET": Operation.READ,
    "PUT": Operation.UPDATE,
    "POST": Operation.UPDATE,
    "DELETE": Operation.DELETE,
}


def operation_of(path: str, method: str) -> Operation:
    """What a method asks of one of PATHS. Raises CodedError (405)."""
    if path.endswith("/update"):
        # Vault does not look at the method here: without a share it is a bad request.
        return Operation.UPDATE
    found = _OPERATIONS.get(method)
    if found is None:
        raise CodedError(405)
    return found


def bare_answer(response: Response | None) -> Answer:
    """The data alone; 204 when there is none."""
    return Answer(204) if response is None else json_answer(response.data)
