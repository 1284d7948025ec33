"""``random`` and ``hash``: help that needs no key.

What lives here: two helpers without state. Source: ``docs/api/transit.md``.
"""

import base64
import hashlib
import re
from collections.abc import Callable

from zvault.base.gobase64 import GoBase64Error, decode
from zvault.engine.api import Request, Response
from zvault.engine.backends.framework import FieldData
from zvault.engine.backends.transit.signatures import HASHES
from zvault.engine.errors import InvalidRequestError

MAX_RANDOM_BYTES = 128 * 1024
_SOURCES = ("platform", "seal", "all")
_NUMBER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_ENCODINGS = 'must be "hex" or "base64"'


class Helpers:
    """The two operations."""

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes

    async def random(self, request: Request, data: FieldData) -> Response:
        """Random bytes."""
        source, count = data["source"].removeprefix("/"), data["urlbytes"].removeprefix("/")
        if not count and source not in ("", *_SOURCES):
            source, count = "", source
        if count and _NUMBER.fullmatch(count) is None:
            raise InvalidRequestError(
                f'error parsing url-set byte count: strconv.Atoi: parsing "{count}": invalid syntax'
            )
        number = int(count) if count else data["bytes"]
        if number < 1:
            raise InvalidRequestError('"bytes" cannot be less than 1')
        if number > MAX_RANDOM_BYTES:
            raise InvalidRequestError(f'"bytes" should be less than {MAX_RANDOM_BYTES}')
        form = data["format"]
        if form not in ("hex", "base64"):
            raise InvalidRequestError(f'unsupported encoding format "{form}"; {_ENCODINGS}')
        if source not in ("", *_SOURCES):
            raise InvalidRequestError(
                f'unsupported entropy source "{source}"; must be "platform" or "seal", or "all"'
            )
        warnings = (
            ["no seal/entropy augmentation available, using platform entropy source"]
            if source == "seal"
            else []
        )
        content = self._random_bytes(number)
        return Response(data={"random_bytes": _encoded(content, form)}, warnings=warnings)

    async def hash(self, request: Request, data: FieldData) -> Response:
        """A digest."""
        if "input" not in request.data:
            raise InvalidRequestError("input missing")
        try:
            content = decode(data["input"])
        except GoBase64Error as error:
            raise InvalidRequestError(f"unable to decode input as base64: {error}") from None
        name = data["urlalgorithm"].removeprefix("/") or data["algorithm"]
        form = data["format"]
        if form not in ("hex", "base64"):
            raise InvalidRequestError(f"unsupported encoding format {form}; {_ENCODINGS}")
        if name == "sha1" or name not in HASHES:
            raise InvalidRequestError(f"unsupported algorithm {name}")
        digest = hashlib.new(HASHES[name][0], content).digest()
        return Response(data={"sum": _encoded(digest, form)})


def _encoded(content: bytes, form: str) -> str:
    return content.hex() if form == "hex" else base64.b64encode(content).decode()
