"""What can go wrong between a service and its secrets.

What lives here: the errors, each with a cause in one sentence, a hint and a stable ``code``.
Invariant: no message carries a secret, and none is raised with hvac's own error behind it, whose
frames hold credentials.
"""

from collections.abc import Mapping
from typing import ClassVar


class VaultClientError(Exception):
    """The root: ``code`` is a stable slug, ``message`` names the cause, ``hint`` what to do."""

    code: ClassVar[str] = "vault"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(f"{message} ({hint})" if hint else message)
        self.message = message
        self.hint = hint


class SettingsError(VaultClientError):
    """What the service was told is incomplete or unsafe; waiting does not help."""

    code = "settings"


class VaultUnavailableError(VaultClientError):
    """No answer, or one that says "later": unreachable, hung, overloaded. Waiting may help."""

    code = "unavailable"

    retry_after: float = 0.0
    """Seconds that the server asked to be left alone; 0 when it did not say."""


class VaultSealedError(VaultUnavailableError):
    """Vault is sealed or not initialised."""

    code = "sealed"


class AnswerError(VaultUnavailableError):
    """Something answered that does not speak as a Vault does, or redirects elsewhere."""

    code = "answer"


class CertificateError(AnswerError):
    """The server's certificate is not trusted."""

    code = "certificate"


class RequestRefusedError(VaultClientError):
    """Vault refuses the request as such (HTTP 400)."""

    code = "refused"


class LoginRefusedError(VaultClientError):
    """role_id or secret_id is wrong, expired or used up, or the token in the file is dead."""

    code = "login-refused"


class WrappingTokenSpentError(LoginRefusedError):
    """The wrapped secret_id cannot be opened: somebody else opened it, or it expired."""

    code = "wrapping-token-spent"


class PermissionDeniedError(VaultClientError):
    """A good token is not allowed to do this: a policy says so, no renewal changes it."""

    code = "denied"


class SecretAbsentError(VaultClientError):
    """There is nothing at this path, or it was deleted, or the key is not in it."""

    code = "absent"


class WrongTypeError(VaultClientError):
    """The secret is there, but not of the type that was declared."""

    code = "wrong-type"


class StartError(VaultClientError):
    """The service cannot start: ``missing`` names each secret that is not there, and why."""

    code = "start"

    def __init__(self, message: str, *, hint: str = "", missing: Mapping[str, str]) -> None:
        super().__init__(message, hint=hint)
        self.missing = dict(missing)


class StaleSecretError(VaultClientError):
    """Vault has been away for longer than this secret may be served without being read again."""

    code = "stale"


class NotDeclaredError(VaultClientError, KeyError):
    """The program asks for a secret that it did not declare."""

    code = "not-declared"
    __str__ = Exception.__str__


class RotationError(VaultClientError):
    """A secret_id was not replaced as a whole; the message says which one works now."""

    code = "rotation"
