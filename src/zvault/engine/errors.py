"""Errors of the engine by kind; ``server/errors.py`` maps each kind to an HTTP status.

What lives here: Vault's error classes, by meaning. Invariant: a message never carries a secret,
because errors go into the audit log in clear.
"""

from typing import Any

from zvault.base.errors import ZvaultError


class EngineError(ZvaultError):
    """A request that was refused or failed; several messages become several ``errors``."""

    code = "engine"

    def __init__(self, *messages: str, data: dict[str, Any] | None = None) -> None:
        super().__init__("; ".join(messages))
        self.messages = list(messages)
        self.data = data


class InvalidRequestError(EngineError):
    """Bad input or bad credentials (400)."""

    code = "invalid-request"


class BadFieldError(InvalidRequestError):
    """A value that its field does not take (400); told also to those who may not write there."""

    code = "bad-field"


class PermissionDeniedError(EngineError):
    """A valid token whose policies say no, or no valid token (403)."""

    code = "permission-denied"


class NotFoundInEngineError(EngineError):
    """Nothing there, or no such path (404)."""

    code = "engine-not-found"


class UnsupportedOperationError(EngineError):
    """The path exists, the operation does not (405)."""

    code = "unsupported-operation"


class EngineSealedError(EngineError):
    """Vault is sealed (503)."""

    code = "engine-sealed"


class InternalEngineError(EngineError):
    """Our fault or the storage's (500)."""

    code = "engine-internal"


class CodedError(EngineError):
    """An answer with a status of its own (412, 415, 429, …)."""

    code = "coded"

    def __init__(self, status: int, *messages: str) -> None:
        super().__init__(*messages)
        self.status = status


def permission_denied() -> PermissionDeniedError:
    """The text Vault gives to a valid token whose policies say no."""
    return PermissionDeniedError("1 error occurred:\n\t* permission denied\n\n")
