"""The one table from kind of error to HTTP status.

What lives here: that table and the error body. What never does: new kinds.
Source: ``vault-api.md`` 1.4. A test proves that every kind of EngineError has a line.
"""

import orjson

from zvault.base.errors import SealedError, ZvaultError
from zvault.engine import errors
from zvault.server.answers import Answer

STATUS: dict[type[errors.EngineError], int] = {
    errors.EngineError: 500,
    errors.InvalidRequestError: 400,
    errors.PermissionDeniedError: 403,
    errors.NotFoundInEngineError: 404,
    errors.UnsupportedOperationError: 405,
    errors.EngineSealedError: 503,
    errors.InternalEngineError: 500,
}


def status_of(error: errors.EngineError) -> int:
    """A coded error's own status, else that of the nearest kind up the class's line."""
    if isinstance(error, errors.CodedError):
        return error.status
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return 500


def error_answer(status: int, *messages: str) -> Answer:
    """``{"errors": [...]}``; no message is an empty list, never a missing one."""
    return Answer(status, orjson.dumps({"errors": messages}) + b"\n")


def answer_of(error: ZvaultError) -> Answer:
    """What a client gets to see of an error."""
    if isinstance(error, errors.EngineError):
        if error.data is None:
            return error_answer(status_of(error), *error.messages)
        body = {"errors": error.messages, "data": error.data}
        return Answer(status_of(error), orjson.dumps(body) + b"\n")
    if isinstance(error, SealedError):
        return error_answer(503, "Vault is sealed")
    return error_answer(500, f"1 error occurred:\n\t* {error.message}\n\n")
