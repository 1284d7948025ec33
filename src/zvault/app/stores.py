"""From a store URL to an open store.

What lives here: which class a URL means, where S3 credentials come from. What never does: what is
done with the store. S3 is imported only when a URL asks for it.
"""

import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from zvault.storage.api import Storage
from zvault.storage.errors import (
    ReadOnlyStoreError,
    S3OptionsError,
    StoreNotFoundError,
    StoreUrlError,
)
from zvault.storage.file import FileStorage
from zvault.storage.raft_snapshot import RaftSnapshotStorage
from zvault.storage.urls import StoreUrl, parse_store_url


@dataclass(frozen=True, slots=True)
class S3Access:
    """What an ``s3:`` URL does not say. Empty: the default, or the environment's."""

    endpoint: str = ""
    region: str = ""
    provider: str = ""
    credentials_file: Path | None = None
    allow_http: bool = False


def open_store(
    url: str,
    access: S3Access | None = None,
    *,
    read_only: bool = True,
    environment: Mapping[str, str] | None = None,
) -> Storage:
    """The store that ``url`` names; for reading it needs no lock and a server may be running.

    Raises StoreUrlError, StoreNotFoundError, StoreLockedError, S3OptionsError, PreconditionError,
    SnapshotError, ReadOnlyStoreError, StorageError.
    """
    place = parse_store_url(url)
    if place.kind == "file":
        return FileStorage.open(place.path, read_only=read_only)
    if place.kind == "s3":
        environment = os.environ if environment is None else environment
        return _open_s3(place, access or S3Access(), environment, read_only=read_only)
    if not read_only:
        raise ReadOnlyStoreError(str(place))
    return RaftSnapshotStorage.open(place.path)


async def settle_store(url: str) -> int:
    """Bring back what a dead server's log holds; how many batches. Then the tree is whole.

    Raises StoreUrlError, StoreNotFoundError, StoreLockedError (a server serves it),
    UnreplayedLogError, DamagedLogError, StorageError.
    """
    place = parse_store_url(url)
    if place.kind != "file":
        raise StoreUrlError(f"{place} has no log", hint="only a file store has one: file:PATH")
    if not place.path.is_dir():
        raise StoreNotFoundError(f"{place.path} is no directory", hint="name the data directory")
    storage = FileStorage.open(place.path)
    replayed = storage.replayed
    await storage.close()
    await FileStorage.open(place.path, read_only=True).close()
    return replayed


def _open_s3(
    place: StoreUrl, access: S3Access, environment: Mapping[str, str], *, read_only: bool
) -> Storage:
    from zvault.storage.s3 import S3Storage
    from zvault.storage.s3_options import (
        S3Options,
        credentials_from_environment,
        credentials_from_file,
        provider_of,
    )

    endpoint = access.endpoint or environment.get("AWS_ENDPOINT_URL_S3", "")
    if access.credentials_file is not None:
        credentials = credentials_from_file(access.credentials_file)
    else:
        provider = access.provider or provider_of(endpoint)
        found = credentials_from_environment(environment, provider)
        if found is None:
            raise S3OptionsError(
                f"no credentials for {place}",
                hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or --credentials-file",
            )
        credentials = found
    options = S3Options(
        bucket=place.bucket,
        credentials=credentials,
        prefix=place.prefix,
        endpoint=endpoint,
        region=access.region or environment.get("AWS_REGION", ""),
        provider=access.provider,
        allow_http=access.allow_http,
    )
    return S3Storage.open(options, read_only=read_only)


@contextlib.asynccontextmanager
async def opened(
    url: str, access: S3Access | None = None, *, read_only: bool = True
) -> AsyncIterator[Storage]:
    """``open_store``, closed at the end. Raises as ``open_store``."""
    storage = open_store(url, access, read_only=read_only)
    try:
        yield storage
    finally:
        await storage.close()
