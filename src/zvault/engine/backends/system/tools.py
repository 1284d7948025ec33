"""``sys/tools``: random bytes and hashes.

What lives here: two helpers that need no state. Source: ``docs/api/sys.md``.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable

from zvault.engine.api import Operation, Request, Response
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData, Route
from zvault.engine.errors import InvalidRequestError

_MAX_RANDOM_BYTES = 128 * 1024
_NO_SEAL_ENTROPY = "no seal/entropy augmentation available, using platform entropy source"
_HASHES = {
    "sha2-224": "sha224",
    "sha2-256": "sha256",
    "sha2-384": "sha384",
    "sha2-512": "sha512",
    "sha3-224": "sha3_224",
    "sha3-256": "sha3_256",
    "sha3-384": "sha3_384",
    "sha3-512": "sha3_512",
}


class Tools:
    """Routes below ``sys/tools``."""

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes

    def routes(self) -> list[Route]:
        """The path table."""
        return [
            Route(
                r"tools/random(?:/(?P<source>platform|seal|all))?(?:/(?P<urlbytes>[^/]+))?",
                {Operation.UPDATE: self._random},
                {
                    "source": Field(FieldKind.STRING, "platform"),
                    "urlbytes": Field(FieldKind.STRING, ""),
                    "bytes": Field(FieldKind.INT, 32),
                    "format": Field(FieldKind.STRING, "base64"),
                },
            ),
            Route(
                r"tools/hash(?:/(?P<urlalgorithm>[^/]+))?",
                {Operation.UPDATE: self._hash},
                {
                    "input": Field(FieldKind.STRING, ""),
                    "urlalgorithm": Field(FieldKind.STRING, ""),
                    "algorithm": Field(FieldKind.STRING, "sha2-256"),
                    "format": Field(FieldKind.STRING, "hex"),
                },
            ),
        ]

    async def _random(self, request: Request, data: FieldData) -> Response:
        in_path = data["urlbytes"]
        if in_path and not in_path.isdecimal():
            raise InvalidRequestError(
                f'error parsing url-set byte count: strconv.Atoi: parsing "{in_path[:32]}": '
                "invalid syntax"
            )
        count = int(in_path) if in_path else data["bytes"]
        if count < 1:
            raise InvalidRequestError('"bytes" cannot be less than 1')
        if count > _MAX_RANDOM_BYTES:
            raise InvalidRequestError(f"'bytes' should be less than {_MAX_RANDOM_BYTES}")
        if data["source"] not in ("platform", "seal", "all"):
            raise InvalidRequestError(f'unsupported entropy source "{data["source"]}"')
        shown = _encoded(self._random_bytes(count), data["format"], quoted=True)
        warnings = [_NO_SEAL_ENTROPY] if data["source"] == "seal" else []
        return Response(data={"random_bytes": shown}, warnings=warnings)

    async def _hash(self, request: Request, data: FieldData) -> Response:
        try:
            content = base64.b64decode(data["input"], validate=True)
        except (binascii.Error, ValueError):
            raise InvalidRequestError(
                "unable to decode input as base64: illegal base64 data at input byte 0"
            ) from None
        name = data["urlalgorithm"] or data["algorithm"]
        if name not in _HASHES:
            raise InvalidRequestError(f"unsupported algorithm {name}")
        return Response(
            data={"sum": _encoded(hashlib.new(_HASHES[name], content).digest(), data["format"])}
        )


def _encoded(content: bytes, form: str, *, quoted: bool = False) -> str:
    if form == "hex":
        return content.hex()
    if form == "base64":
        return base64.b64encode(content).decode()
    shown = f'"{form}"' if quoted else form
    raise InvalidRequestError(f'unsupported encoding format {shown}; must be "hex" or "base64"')
