"""What obstore says went wrong, in our words. Pure.

What lives here: reading status, S3 error code and kind of failure out of obstore's text (it gives
no fields), and the table from there to our errors. What never does: showing obstore's text, which
quotes requests. Invariant: only ``NoSuchKey`` means "absent"; a missing bucket or a proxy's 404
does not.
"""

import re
from dataclasses import dataclass

from obstore.exceptions import InvalidPathError

from zvault.storage import errors
from zvault.storage.errors import StorageError

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z0-9_.]{1,80})</Code>")
_MESSAGE = re.compile(r"<Message>([^<]{1,300})</Message>")
_KIND = re.compile(r"kind: (Connect|Timeout|Request|Interrupted|Decode|Unknown)\b")

_ABSENT = frozenset({"NoSuchKey"})
_REGION = frozenset(
    {
        "PermanentRedirect",
        "TemporaryRedirect",
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
        "InvalidRegionName",
    }
)
_TRANSIENT_CODES = frozenset(
    {
        "SlowDown",
        "InternalError",
        "InternalFailure",
        "ServiceUnavailable",
        "RequestTimeout",
        "ThrottlingException",
        "TooManyRequests",
        "OperationAborted",
    }
)
_TRANSIENT_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
_CLASSES: dict[str, type[StorageError]] = {
    "NoSuchBucket": errors.NoSuchBucketError,
    "InvalidBucketName": errors.NoSuchBucketError,
    "InvalidAccessKeyId": errors.UnknownKeyIdError,
    "SignatureDoesNotMatch": errors.WrongSecretError,
    "AccessDenied": errors.AccessDeniedError,
    "AllAccessDisabled": errors.AccessDeniedError,
    "ExpiredToken": errors.AccessDeniedError,
    "InvalidToken": errors.AccessDeniedError,
    **dict.fromkeys(_REGION, errors.WrongRegionError),
}
_CAUSES = {
    "NoSuchBucket": "the bucket does not exist",
    "InvalidBucketName": "the provider does not take this bucket name",
    "InvalidAccessKeyId": "the access key id is not known to the provider",
    "SignatureDoesNotMatch": "the secret key does not fit the access key id",
    "AccessDenied": "the access key may not do this",
    "ExpiredToken": "the session token has expired",
    "RequestTimeTooSkewed": "this machine's clock is wrong by more than the provider allows",
    **dict.fromkeys(_REGION, "the bucket or endpoint is in another region"),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed request. ``status`` 0 and ``code`` "" when no answer came.

    ``transient`` is worth another attempt; ``hint`` when the cause has a better one than its kind.
    """

    status: int
    code: str
    cause: str
    transient: bool
    hint: str = ""

    @property
    def absent(self) -> bool:
        """True when the provider said that there is no such key."""
        return self.code in _ABSENT


class AlteredError(Exception):
    """The provider holds other bytes than were sent to it."""


def classify(error: Exception) -> Failure:
    """What obstore's exception, or ours about an altered object, means."""
    if isinstance(error, AlteredError):
        return Failure(0, "", "the provider stored other bytes than were sent", transient=True)
    text = str(error)
    if isinstance(error, InvalidPathError) or "Encountered empty segment" in text:
        return Failure(
            0,
            "",
            "the listing shows an object whose name is no clean path",
            transient=False,
            hint="something else writes below this prefix; choose a prefix of its own",
        )
    status_match, code_match = _STATUS.search(text), _CODE.search(text)
    status = int(status_match[1]) if status_match else 0
    code = code_match[1] if code_match else ""
    if status or code:
        transient = status in _TRANSIENT_STATUSES or code in _TRANSIENT_CODES
        hint = "set the clock (NTP) and run again" if code == "RequestTimeTooSkewed" else ""
        return Failure(status, code, _answered(status, code, text), transient, hint)
    return _unanswered(text)


def _answered(status: int, code: str, text: str) -> str:
    known = _CAUSES.get(code)
    if known is not None:
        return known
    message = _MESSAGE.search(text)
    said = f" {code}" if code else ""
    words = " ".join(message[1].split()) if message else ""
    return f"the provider answered {status}{said}" + (f": {words}" if words.isprintable() else "")


def _unanswered(text: str) -> Failure:
    if "invalid peer certificate" in text or "InvalidCertificate" in text:
        cause = "the endpoint's TLS certificate is not trusted"
        return Failure(
            0, "", cause, transient=False, hint="name the CA's file, or correct the endpoint"
        )
    kind = _KIND.search(text)
    word = kind[1] if kind else ""
    if "dns error" in text or "failed to lookup" in text:
        cause = "the endpoint's name is unknown"
    elif word == "Connect":
        cause = "no connection to the endpoint"
    elif word == "Timeout":
        cause = "the endpoint did not answer in time"
    else:
        cause = "the connection broke or the answer was cut off"
    return Failure(0, "", cause, transient=True)


def to_error(failure: Failure, *, provider: str, store: str, key: str) -> StorageError:
    """Our error for a failure that is not retried, or not any more."""
    kind = _CLASSES.get(failure.code)
    if kind is None and failure.status == 403:
        kind = errors.AccessDeniedError
    if kind is None and not failure.status:
        kind = errors.StoreUnreachableError
    if kind is None and failure.transient:
        kind = errors.StoreThrottledError
    return (kind or StorageError)(
        failure.cause, provider=provider, store=store, key=key, hint=failure.hint
    )
