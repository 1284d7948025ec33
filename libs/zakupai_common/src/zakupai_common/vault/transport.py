"""The HTTP session below hvac: bounded in time and size, deaf to the environment.

What lives here: a requests session that uses no proxy, no .netrc and no CA bundle of the
environment, sends nothing twice, and gives up when an answer as a whole takes too long; a hung
server cannot hold its caller by sending a byte now and then. What never does: Vault's paths.
"""

import ssl
import time
from pathlib import Path
from typing import Any

import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter

from zakupai_common.vault.errors import SettingsError

MAX_ANSWER_BYTES = 8 << 20
_CHUNK_BYTES = 64 << 10


class _TrustingAdapter(HTTPAdapter):
    """Judges certificates by one context; requests would put its own bundle over it."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(max_retries=0)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, ssl_context=self._context, **options)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """The context decides."""


class BoundedSession(requests.Session):
    """Every request ends within ``seconds``: answered, or requests.Timeout.

    ``ca_file`` holds the only certificates that are trusted, the system's when None. Raises
    SettingsError when it cannot be read.
    """

    def __init__(self, seconds: float, ca_file: Path | None = None) -> None:
        super().__init__()
        self.trust_env = False
        self._seconds = seconds
        self.retry_after_seconds = 0.0
        """What the last answer's Retry-After said; 0 when it said nothing."""
        try:
            context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
        except (OSError, ssl.SSLError):
            raise SettingsError(
                f"the CA file {ca_file} cannot be read", hint="name a PEM file"
            ) from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        adapter = _TrustingAdapter(context)
        self.mount("http://", adapter)
        self.mount("https://", adapter)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send and read the whole answer. Raises what requests raises."""
        deadline = time.monotonic() + self._seconds
        self.retry_after_seconds = 0.0
        options.update(stream=True, timeout=self._seconds)
        response = super().send(request, **options)
        try:
            response._content = _read_all(response, deadline)
        except BaseException:
            response.close()
            raise
        response._content_consumed = True  # type: ignore[attr-defined]
        self.retry_after_seconds = _seconds(response.headers.get("Retry-After", ""))
        return response


def _read_all(response: requests.Response, deadline: float) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
            parts.append(chunk)
            size += len(chunk)
            if size > MAX_ANSWER_BYTES:
                raise requests.exceptions.ContentDecodingError("the answer is too large")
            if time.monotonic() > deadline:
                raise requests.exceptions.ReadTimeout("the answer takes too long")
    except urllib3.exceptions.ReadTimeoutError:
        raise requests.exceptions.ReadTimeout("the answer stopped half-way") from None
    except (urllib3.exceptions.HTTPError, OSError) as cause:
        if isinstance(cause, requests.exceptions.RequestException):
            raise
        raise requests.exceptions.ConnectionError("the answer broke off") from None
    return b"".join(parts)


def _seconds(text: str) -> float:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0.0
