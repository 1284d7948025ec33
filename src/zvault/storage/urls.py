"""Stores as URLs: ``file:PATH``, ``s3://BUCKET/PREFIX``, ``raft-snapshot:FILE``.

What lives here: text to value and back. What never does: opening (``app/wiring.py``),
credentials: a URL that carries a user or a password is refused, because URLs are printed and
journalled.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zvault.storage.errors import StoreUrlError

Kind = Literal["file", "s3", "raft-snapshot"]
_HINT = "write file:PATH, s3://BUCKET/PREFIX or raft-snapshot:FILE"


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """Where a store is. ``path`` for file and raft-snapshot, ``bucket`` and ``prefix`` for s3."""

    kind: Kind
    path: Path = Path()
    bucket: str = ""
    prefix: str = ""

    def __str__(self) -> str:
        if self.kind == "s3":
            return f"s3://{self.bucket}/{self.prefix}" if self.prefix else f"s3://{self.bucket}"
        return f"{self.kind}:{self.path}"


def parse_store_url(text: str) -> StoreUrl:
    """The store that ``text`` names. Raises StoreUrlError.

    The path is literal: no percent-decoding, no ``~``, no query.
    """
    scheme, colon, rest = text.partition(":")
    if not colon or not rest:
        raise StoreUrlError(f"{text!r} is no store URL", hint=_HINT)
    if "\0" in rest:
        raise StoreUrlError("a store URL cannot hold a NUL character", hint=_HINT)
    if scheme == "file":
        return StoreUrl("file", path=Path(_local_path(text, rest)))
    if scheme == "raft-snapshot":
        return StoreUrl("raft-snapshot", path=Path(_local_path(text, rest)))
    if scheme == "s3":
        return _parse_s3(text, rest)
    raise StoreUrlError(f"{text!r} names an unknown kind of store: {scheme!r}", hint=_HINT)


def _local_path(text: str, rest: str) -> str:
    if not rest.startswith("//"):
        return rest
    host, slash, path = rest[2:].partition("/")
    if host or not slash or not path:
        raise StoreUrlError(f"{text!r} names a host, not a local path", hint=_HINT)
    return "/" + path


def _parse_s3(text: str, rest: str) -> StoreUrl:
    if not rest.startswith("//"):
        raise StoreUrlError(f"{text!r} lacks the // after s3:", hint=_HINT)
    bucket, _, prefix = rest[2:].partition("/")
    if "@" in bucket or ":" in bucket:
        raise StoreUrlError(
            "an s3 URL carries no credential and no endpoint",
            hint="credentials come from the environment or a 0600 file, the endpoint from options",
        )
    if not bucket:
        raise StoreUrlError(f"{text!r} names no bucket", hint=_HINT)
    prefix = prefix.rstrip("/")
    if ".." in prefix or "//" in prefix or prefix.startswith("/"):
        raise StoreUrlError(f"the prefix of {text!r} is no clean path", hint=_HINT)
    return StoreUrl("s3", bucket=bucket, prefix=prefix)
