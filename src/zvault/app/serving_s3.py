"""S3 storage for the embedded server: Vault's stanza and the environment to options.

What lives here: whose credentials count. What never does: requests. Imported only by a server
that uses S3.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from zvault.server.settings import S3Settings
from zvault.storage.errors import S3OptionsError
from zvault.storage.s3 import DEFAULT_CACHE_BYTES, S3Storage
from zvault.storage.s3_options import (
    S3Credentials,
    S3Options,
    credentials_from_environment,
    credentials_from_file,
)

CREDENTIALS_FILE_VARIABLE = "AWS_SHARED_CREDENTIALS_FILE"


def build_s3_storage(settings: S3Settings, *, disable_cache: bool = False) -> S3Storage:
    """The storage; nothing is sent yet. Raises S3OptionsError, PreconditionError."""
    options = s3_options(settings, os.environ)
    return S3Storage.open(options, cache_bytes=0 if disable_cache else DEFAULT_CACHE_BYTES)


def s3_options(settings: S3Settings, environment: Mapping[str, str]) -> S3Options:
    """What the stanza means. Raises S3OptionsError."""
    endpoint = settings.endpoint
    if endpoint and "://" not in endpoint:
        endpoint = ("http://" if settings.disable_ssl else "https://") + endpoint
    return S3Options(
        bucket=settings.bucket,
        credentials=_credentials(settings, environment),
        prefix=settings.path,
        endpoint=endpoint,
        region=settings.region or environment.get("AWS_REGION", ""),
        allow_http=settings.disable_ssl,
    )


def _credentials(settings: S3Settings, environment: Mapping[str, str]) -> S3Credentials:
    """From the stanza, else the environment, else the file that the environment names."""
    if settings.access_key is not None and settings.secret_key is not None:
        return S3Credentials(
            settings.access_key.reveal_text(), settings.secret_key, settings.session_token
        )
    found = credentials_from_environment(environment)
    if found is not None:
        return found
    file = environment.get(CREDENTIALS_FILE_VARIABLE, "")
    if not file:
        raise S3OptionsError(
            "the S3 storage has no credentials",
            hint=f"set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or {CREDENTIALS_FILE_VARIABLE}",
        )
    return credentials_from_file(Path(file))
