"""Options of ``zvault store``: where a store is and what opens it.

What lives here: options and what they mean. What never does: the work, a secret in argv.
"""

from pathlib import Path
from typing import Annotated

import typer

from zvault.app.stores import S3Access
from zvault.base.errors import UsageError
from zvault.base.secret import Secret
from zvault.cli.unseal_options import password_source
from zvault.offline.threshold import threshold_of
from zvault.ops.unseal.material import KeyFileMaterial
from zvault.ops.unseal.shares import prompt_shares, read_shares_file
from zvault.storage.api import Storage

UrlArgument = Annotated[
    str, typer.Argument(help="file:PATH, s3://BUCKET/PREFIX or raft-snapshot:FILE.")
]
EndpointOption = Annotated[str, typer.Option("--endpoint", help="S3 endpoint (empty: AWS).")]
RegionOption = Annotated[str, typer.Option("--region", help="S3 region.")]
ProviderOption = Annotated[
    str, typer.Option("--provider", help="aws, b2, seaweedfs or generic (empty: by endpoint).")
]
CredentialsFileOption = Annotated[
    Path | None,
    typer.Option("--credentials-file", help="S3 credentials, mode at most 0600."),
]
AllowHttpOption = Annotated[
    bool, typer.Option("--allow-http", help="Permit an http endpoint that is not this machine.")
]
KeyFileOption = Annotated[
    Path | None, typer.Option("--key-file", help="Open with this key file and its password.")
]


async def key_source(
    storage: Storage,
    shares_file: Path | None,
    key_file: Path | None,
    password_file: Path | None,
    password_fd: int | None,
) -> list[Secret]:
    """The shares: from the file that was named, from the key file, else asked for.

    Raises UsageError for two sources, and what the sources raise.
    """
    if shares_file is not None and key_file is not None:
        raise UsageError("shares come from one place", hint="give --shares-file or --key-file")
    if key_file is None and (password_file is not None or password_fd is not None):
        raise UsageError("a password opens a key file", hint="add --key-file")
    if shares_file is not None:
        return read_shares_file(shares_file)
    if key_file is not None:
        password = password_source(password_file, password_fd, None)
        return KeyFileMaterial(key_file, password).shares()
    return prompt_shares(await threshold_of(storage))


def s3_access(
    endpoint: str, region: str, provider: str, credentials_file: Path | None, allow_http: bool
) -> S3Access:
    """The S3 options as one value."""
    return S3Access(endpoint, region, provider, credentials_file, allow_http)
