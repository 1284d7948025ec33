"""From what hvac and requests raise to one of our errors with a sentence.

What lives here: the table from HTTP status to error, the search for the innermost cause, the check
of an address. What never does: a request.
Invariant: what the caller asked to hide is cut out of every text, also when a server echoes it.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import hvac.exceptions
import requests

from zvault.base.errors import ZvaultError
from zvault.base.secret import REDACTED
from zvault.vaultapi.errors import (
    VaultAddressError,
    VaultAnswerError,
    VaultNotFoundError,
    VaultPermissionError,
    VaultRefusedError,
    VaultSealedError,
    VaultTlsError,
    VaultUninitializedError,
    VaultUnreachableError,
)

_LONGEST_CAUSE = 300


def check_address(address: str) -> str:
    """The address without a trailing slash. Raises VaultAddressError."""
    try:
        parts = urlsplit(address)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
        good = good and parts.port != 0 and not parts.username and parts.path in ("", "/")
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment:
        raise VaultAddressError(
            "the Vault's address is not of the form http(s)://HOST:PORT",
            hint="for example http://127.0.0.1:8200",
        )
    return address.rstrip("/")


@contextmanager
def speaking_plainly(address: str, hide: str = "") -> Iterator[None]:
    """Turn what hvac and requests raise into our errors; ``hide`` is cut out of every text."""
    try:
        yield
    except hvac.exceptions.VaultError as cause:
        text = _reason_of(cause)
        if hide:
            text = text.replace(hide, REDACTED)
        raise _refusal(address, cause, text) from None
    except requests.exceptions.SSLError as cause:
        raise VaultTlsError(
            f"the certificate of {address} is not trusted: {plain_reason(cause)}",
            hint="name the right CA file, and an address that the certificate holds",
        ) from None
    except requests.exceptions.Timeout:
        raise VaultUnreachableError(
            f"{address} did not answer in time", hint="is the server up, or very busy?"
        ) from None
    except (requests.exceptions.RequestException, OSError) as cause:
        raise VaultUnreachableError(
            f"{address} cannot be reached: {plain_reason(cause)}", hint="is the server up?"
        ) from None
    except (AttributeError, TypeError, KeyError, ValueError):
        # hvac takes an error body's shape for granted
        raise VaultAnswerError(
            f"{address} answers in a form that no Vault uses", hint="check the address"
        ) from None


def _reason_of(cause: hvac.exceptions.VaultError) -> str:
    errors = cause.errors if isinstance(cause.errors, list) else []
    text = "; ".join(error for error in errors if isinstance(error, str))
    return text or str((cause.args or ("",))[0] or "no reason given")


def _refusal(address: str, cause: hvac.exceptions.VaultError, text: str) -> ZvaultError:
    text = " ".join(text.split())[:_LONGEST_CAUSE]
    match cause:
        case hvac.exceptions.VaultDown():
            return VaultSealedError(f"{address} is sealed: {text}", hint="unseal it first")
        case hvac.exceptions.VaultNotInitialized():
            return VaultUninitializedError(f"{address} is not initialised", hint="initialise it")
        case hvac.exceptions.Forbidden() | hvac.exceptions.Unauthorized():
            return VaultPermissionError(
                f"{address} denies this: {text}", hint="use a token whose policies allow it"
            )
        case hvac.exceptions.InvalidPath():
            return VaultNotFoundError(f"{address} has nothing there: {text}", hint="check the path")
        case hvac.exceptions.InvalidRequest():
            return VaultRefusedError(
                f"{address} refuses this: {text}", hint="the reason is the Vault's own"
            )
    return VaultAnswerError(f"{address} failed: {text}", hint="look into the server's log")


def plain_reason(cause: BaseException) -> str:
    """The innermost reason in the system's words, without class names or object addresses."""
    waiting, seen = [cause], set[int]()
    while waiting:
        error = waiting.pop(0)
        if id(error) in seen:
            continue
        seen.add(id(error))
        if isinstance(error, ssl.SSLCertVerificationError):
            return str(error.verify_message)
        if (
            isinstance(error, OSError)
            and error.strerror
            and not isinstance(error, requests.exceptions.RequestException)
        ):
            return str(error.strerror)
        nested = [getattr(error, "reason", None), *error.args, error.__cause__, error.__context__]
        waiting.extend(inner for inner in nested if isinstance(inner, BaseException))
    return "the connection broke"
