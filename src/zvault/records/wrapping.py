"""What a response-wrapping token keeps in its cubbyhole.

What lives here: the two entries, ``response`` and ``wrapinfo``, and the framing of answers that are
not plain envelopes. Pure. What never does: tokens, storage.
Source: ``docs/formats/records.md``. Units: ``*_ns`` are nanoseconds.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from zvault.base.gotime import format_time
from zvault.records import gojson
from zvault.records.errors import RecordError

RESPONSE_KEY = "response"
WRAP_INFO_KEY = "wrapinfo"
_PLAIN = "zvault_plain"
_STATUS, _TYPE, _BODY = "http_status_code", "http_content_type", "http_raw_body"


@dataclass(frozen=True, slots=True)
class WrapRecord:
    """The entry ``wrapinfo``."""

    creation_path: str
    creation_time: str
    """RFC 3339, as it was written."""
    creation_ttl_ns: int
    is_plain: bool = False
    """The data in it is data, whatever it looks like; only this server says so."""


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """An answer with a status or a body of its own."""

    status: int
    content_type: str
    body: bytes


def encode_wrap_info(
    creation_path: str, creation_time_ns: int, ttl_ns: int, *, is_plain: bool
) -> bytes:
    """JSON as Vault stores it, and what it leaves open: whether the data stands for an answer."""
    body = {
        "creation_path": creation_path,
        "creation_time": format_time(creation_time_ns),
        "creation_ttl": ttl_ns,
    }
    return gojson.dumps({**body, _PLAIN: True} if is_plain else body)


def decode_wrap_info(data: bytes) -> WrapRecord:
    """Raises RecordError."""
    body = gojson.loads_object(data)
    path, time, ttl = (body.get(f"creation_{name}") for name in ("path", "time", "ttl"))
    if not (isinstance(path, str) and isinstance(time, str) and type(ttl) is int):
        raise RecordError("wrapinfo: a field is not as it must be")
    return WrapRecord(path, time, ttl, body.get(_PLAIN) is True)


def encode_response(text: bytes) -> bytes:
    """The entry ``response``: the envelope's text as one JSON string."""
    return gojson.dumps({"response": text.decode("utf-8", "replace")})


def decode_response(data: bytes) -> str:
    """The envelope's text. Raises RecordError."""
    text = gojson.loads_object(data).get("response")
    if not isinstance(text, str):
        raise RecordError("response: the entry holds no wrapped response")
    return text


def raw_data(answer: RawAnswer) -> dict[str, Any]:
    """``data`` that stands for an answer which is no plain envelope."""
    try:
        text = answer.body.decode()
        is_plain = _from_base64(text) is None
    except UnicodeDecodeError:
        is_plain = False
    body = text if is_plain else base64.b64encode(answer.body).decode()
    return {_TYPE: answer.content_type, _BODY: body, _STATUS: answer.status}


def raw_answer(data: object) -> RawAnswer | None:
    """The reverse of ``raw_data``; None for ``data`` that is just data."""
    if not isinstance(data, dict) or data.keys() != {_STATUS, _TYPE, _BODY}:
        return None
    status, kind, body = data[_STATUS], data[_TYPE], data[_BODY]
    if type(status) is not int or not 200 <= status <= 599:
        return None
    if not isinstance(kind, str) or not kind.isascii() or not kind.isprintable():
        return None
    if not isinstance(body, str):
        return None
    decoded = _from_base64(body)
    return RawAnswer(status, kind, body.encode() if decoded is None else decoded)


def _from_base64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True) if text else None
    except (binascii.Error, ValueError):
        return None
