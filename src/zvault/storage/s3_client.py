"""One bucket through obstore: single requests, no retry, no cache.

What lives here: the client's configuration and each request as one coroutine. What never does:
keys without their prefix outside, what is repeated (``s3_retry.py``). Invariant: a put returns
only when the provider's ETag is the MD5 of what was sent, or the object was read back equal.
"""

import asyncio
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import obstore
from obstore.store import S3Store

from zvault.storage.listing import ObjectInfo
from zvault.storage.s3_errors import AlteredError
from zvault.storage.s3_options import S3Options

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ClientConfig, S3Config, S3Credential

PAGE = 1000
_MD5 = re.compile(r"[0-9a-f]{32}")
_CONNECT_SECONDS = 10.0
_ASKED_ONE_BY_ONE = 32


class Bucket:
    """Requests below one prefix. Each may raise any of ``s3_retry.FAILURES``."""

    def __init__(self, options: S3Options) -> None:
        self._store = connect(options)
        self._prefix = options.prefix + "/" if options.prefix else ""
        self._habits = options.habits

    async def get(self, key: str) -> bytes:
        """The object's body."""
        result = await obstore.get_async(self._store, self._prefix + key)
        return bytes(await result.bytes_async())

    async def put(self, key: str, value: bytes, md5: str) -> None:
        """Store ``value`` (``md5`` in hex). Raises AlteredError when other bytes are there."""
        name = self._prefix + key
        result = await obstore.put_async(self._store, name, value, use_multipart=False)
        if self._md5(result["e_tag"]) != md5 and await self.get(key) != value:
            raise AlteredError

    async def delete(self, key: str) -> None:
        """Remove one object, in a request of its own."""
        await obstore.delete_async(self._store, self._prefix + key)

    async def folder(self, prefix: str) -> list[str]:
        """Names of folders (with ``/``) and objects directly below ``prefix``, unsorted."""
        path = (self._prefix + prefix).rstrip("/")
        found = await obstore.list_with_delimiter_async(self._store, path or None)
        folders: Sequence[str] = found["common_prefixes"]
        if self._habits.ghost_folders:
            folders = await self._without_ghosts(path, folders)
        start = len(path) + 1 if path else 0
        names = [folder[start:] + "/" for folder in folders]
        # A ghost folder lists itself as an object; its name here would be empty.
        names += [entry["path"][start:] for entry in found["objects"] if entry["path"] != path]
        return names

    async def page(self, prefix: str, after: str | None) -> Sequence[ObjectInfo]:
        """Up to 1,000 objects below ``prefix`` that follow ``after`` in the provider's order."""
        path = (self._prefix + prefix).rstrip("/")
        offset = self._prefix + after if after is not None else None
        pages = obstore.list(self._store, path or None, offset=offset, chunk_size=PAGE)
        async for page in pages:
            return [self._info(entry) for entry in page]
        return []

    async def all(self, prefix: str) -> list[ObjectInfo]:
        """Every object below ``prefix`` in the provider's order."""
        path = (self._prefix + prefix).rstrip("/")
        pages = obstore.list(self._store, path or None, chunk_size=PAGE)
        return [self._info(entry) async for page in pages for entry in page]

    async def _without_ghosts(self, path: str, folders: Sequence[str]) -> list[str]:
        """The folders that hold an object: each one asked, or all of them read off one listing."""
        if len(folders) <= _ASKED_ONE_BY_ONE:
            filled = await asyncio.gather(*(self._holds_objects(folder) for folder in folders))
            return [folder for folder, full in zip(folders, filled, strict=True) if full]
        start = len(path) + 1 if path else 0
        pages = obstore.list(self._store, path or None, chunk_size=PAGE)
        names = [entry["path"] async for page in pages for entry in page]
        seen = {name[:start] + name[start:].partition("/")[0] for name in names}
        return [folder for folder in folders if folder in seen]

    async def _holds_objects(self, folder: str) -> bool:
        async for page in obstore.list(self._store, folder, chunk_size=1):
            return len(page) > 0
        return False

    def _info(self, entry: "ObjectMeta") -> ObjectInfo:
        key = entry["path"][len(self._prefix) :]
        return ObjectInfo(key, entry["size"], self._md5(entry["e_tag"]))

    def _md5(self, tag: str | None) -> str | None:
        """The MD5 in an ETag, None when it is none (multipart: ``…-N``)."""
        bare = (tag or "").strip('"').lower()
        return bare if self._habits.etag_is_md5 and _MD5.fullmatch(bare) else None


def connect(options: S3Options) -> S3Store:
    """obstore's client: no retries of its own, no credential in anything it can print."""
    config: S3Config = {
        "region": options.region,
        "virtual_hosted_style_request": options.virtual_hosted,
        "skip_signature": False,
        "disable_bulk_delete": True,
    }
    if options.endpoint:
        config["endpoint"] = options.endpoint.rstrip("/")
    if options.kms_key_id:
        config["server_side_encryption"] = "aws:kms"
        config["sse_kms_key_id"] = options.kms_key_id
    client: ClientConfig = {
        "allow_http": options.endpoint.startswith("http://"),
        "timeout": timedelta(seconds=options.timeout_seconds),
        "connect_timeout": timedelta(seconds=min(_CONNECT_SECONDS, options.timeout_seconds)),
    }
    if options.ca_file is not None:
        client["root_certificate"] = options.ca_file.read_bytes()

    def provide() -> "S3Credential":
        token = options.credentials.session_token
        return {
            "access_key_id": options.credentials.access_key_id,
            "secret_access_key": options.credentials.secret_access_key.reveal_text(),
            "token": token.reveal_text() if token is not None else None,
            "expires_at": None,
        }

    return S3Store(
        options.bucket,
        config=config,
        client_options=client,
        retry_config={"max_retries": 0},
        credential_provider=provide,
    )
