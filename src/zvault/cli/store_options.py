"""Options of ``zvault store``: where a store is and what opens it.

What lives here: options and what they mean. What never does: the work, a secret in argv.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from zvault.app.stores import S3Access
from zvault.base.errors import UsageError
from zvault.base.secret import Secret
from zvault.cli.unseal_options import (
    PasswordFdOption,
    PasswordFileOption,
    SharesFileOption,
    password_source,
)
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


@dataclass(frozen=True, slots=True)
class KeyOptions:
    """What opens a store: shares, or a key file with its password."""

    shares_file: SharesFileOption = None
    key_file: KeyFileOption = None
    password_file: PasswordFileOption = None
    password_fd: PasswordFdOption = None

    @property
    def given(self) -> bool:
        """Whether a source was named; without one ``read`` asks."""
        return self.shares_file is not None or self.key_file is not None

    async def read(self, storage: Storage) -> list[Secret]:
        """The shares: from the file that was named, from the key file, else asked for.

        Raises UsageError for two sources, and what the sources raise.
        """
        if self.shares_file is not None and self.key_file is not None:
            raise UsageError("shares come from one place", hint="give --shares-file or --key-file")
        if self.key_file is None and not (self.password_file is None and self.password_fd is None):
            raise UsageError("a password opens a key file", hint="add --key-file")
        if self.shares_file is not None:
            return read_shares_file(self.shares_file)
        if self.key_file is not None:
            password = password_source(self.password_file, self.password_fd, None)
            return KeyFileMaterial(self.key_file, password).shares()
        return prompt_shares(await threshold_of(storage))


@dataclass(frozen=True, slots=True)
class S3Options:
    """What an ``s3:`` URL does not say."""

    endpoint: EndpointOption = ""
    region: RegionOption = ""
    provider: ProviderOption = ""
    credentials_file: CredentialsFileOption = None
    allow_http: AllowHttpOption = False

    @property
    def access(self) -> S3Access:
        """For the store that is named first."""
        return S3Access(
            self.endpoint, self.region, self.provider, self.credentials_file, self.allow_http
        )

    def elsewhere(self, endpoint: str, credentials_file: Path | None) -> S3Access:
        """For a second store: the same, but for what was said about it."""
        return replace(
            self.access,
            endpoint=endpoint or self.endpoint,
            credentials_file=credentials_file or self.credentials_file,
        )


S3_DEFAULT = S3Options()
KEYS_DEFAULT = KeyOptions()
