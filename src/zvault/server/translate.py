"""What an HTTP request asks of the engine.

What lives here: target, verb, query and body become path, operation and data, by Vault's rules;
pure. What never does: tokens judged, answers.
Invariant: a path is percent-decoded exactly once; nothing unprintable, no ``..`` segment and no
empty one gets past here.
Source: ``vault-api.md`` 1.1, 1.2; texts as a real Vault answered them.
"""

import json
import re
from typing import Any
from urllib.parse import parse_qsl, quote, unquote_to_bytes

from zvault.base.gotime import SECOND_NS, parse_duration
from zvault.engine.api import Operation
from zvault.engine.errors import CodedError, InvalidRequestError
from zvault.records import gojson
from zvault.records.errors import RecordError

MERGE_PATCH = b"application/merge-patch+json"
FORM = b"application/x-www-form-urlencoded"
PREFIX = "/v1/"
Query = dict[str, list[str]]

_BAD_JSON = "error parsing JSON"
_JSON_SPACE = " \t\r\n"
_SCANNER = json.JSONDecoder()
_TRUE = {"1", "t", "T", "TRUE", "true", "True"}
_FALSE = {"0", "f", "F", "FALSE", "false", "False"}
_WRITES = {"POST": Operation.UPDATE, "PUT": Operation.UPDATE, "PATCH": Operation.PATCH}


class MovedError(Exception):
    """The path has empty, ``.`` or ``..`` segments; ``location`` is where it belongs."""

    def __init__(self, location: str, *, climbs: bool) -> None:
        super().__init__("moved")
        self.location = location
        self.climbs = climbs
        """There was a ``..``: only a read may be sent elsewhere."""


def read_target(target: bytes) -> tuple[str, Query]:
    """The decoded path and the query of a request target.

    Raises InvalidRequestError (400) and MovedError (301, 307).
    """
    if target[:1] != b"/":
        target = _origin_form(target)
    raw_path, _, raw_query = target.partition(b"?")
    try:
        path = (unquote_to_bytes(raw_path) if b"%" in raw_path else raw_path).decode()
    except UnicodeDecodeError:
        raise InvalidRequestError("the path is not UTF-8") from None
    if b"%" in raw_path:
        _check_escapes(raw_path)
    if not path.isprintable():
        raise InvalidRequestError("the path holds characters that cannot be printed")
    if "//" in path or "/." in path:
        _check_clean(path, raw_query)
    return path, read_query(raw_query) if raw_query else {}


def _check_clean(path: str, raw_query: bytes) -> None:
    """Raises MovedError where Go's multiplexer sends a client to the tidied path."""
    clean: list[str] = []
    parts = path.split("/")
    for part in parts:
        if part == "..":
            clean = clean[:-1]
        elif part not in ("", "."):
            clean.append(part)
    tail = "/" if parts[-1] == "" and clean else ""
    wanted = "/" + "/".join(clean) + tail
    if wanted != path:
        query = b"?" + raw_query if raw_query else b""
        location = quote(wanted, safe="$&+,/:;=@~") + query.decode("latin-1")
        raise MovedError(location, climbs=".." in parts)


def _origin_form(target: bytes) -> bytes:
    """The path of an absolute-form target (RFC 9112 3.2.2)."""
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        raise InvalidRequestError("malformed request target")
    return b"/" + rest.partition(b"/")[2]


def _check_escapes(raw: bytes) -> None:
    for part in raw.split(b"%")[1:]:
        if len(part) < 2 or part[:2].strip(b"0123456789abcdefABCDEF"):
            raise InvalidRequestError("malformed percent escape")


def read_query(raw: bytes) -> Query:
    """Name to values. Raises InvalidRequestError."""
    result: Query = {}
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict")
    except (UnicodeDecodeError, ValueError):
        raise InvalidRequestError("malformed query") from None
    for name, value in pairs:
        result.setdefault(name, []).append(value)
    return result


def read_operation(method: str, path: str, query: Query) -> tuple[Operation, str]:
    """The operation and its path; ``list`` and ``help`` are taken out of the query.

    ``path`` is without ``/v1/``. Raises CodedError (400, 405).
    """
    if method == "GET":
        if "help" in query and is_true(query.pop("help")[0]):
            return Operation.HELP, path
        if "list" in query and is_true(query.pop("list")[0]):
            method = "LIST"
        else:
            return Operation.READ, path
    if method == "LIST":
        return Operation.LIST, path if path.endswith("/") else path + "/"
    if method in _WRITES:
        return _WRITES[method], path
    if method == "DELETE":
        return Operation.DELETE, path
    if method == "HELP":
        return Operation.HELP, path
    if method == "HEAD":
        raise CodedError(405, "1 error occurred:\n\t* unsupported operation\n\n")
    raise CodedError(405)


def is_true(text: str) -> bool:
    """Go's ParseBool. Raises CodedError (400, without a text, as Vault has it)."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise CodedError(400)


def query_data(query: Query) -> dict[str, Any]:
    """The data of a request without body: a repeated name is a list."""
    return {name: values[0] if len(values) == 1 else values for name, values in query.items()}


def body_data(method: str, content_type: bytes, body: bytes) -> dict[str, Any]:
    """The data of a request with a body. Raises InvalidRequestError, CodedError (415)."""
    media_type = content_type.partition(b";")[0].strip()
    if method == "PATCH" and not media_type:
        raise InvalidRequestError("mime: no media type")
    if method == "PATCH" and media_type != MERGE_PATCH:
        raise CodedError(
            415,
            f"PATCH requires Content-Type of {MERGE_PATCH.decode()}, "
            f"provided {media_type.decode('latin-1')}",
        )
    if not body:
        return {}
    if media_type == FORM and body.lstrip()[:1] not in (b"{", b"["):
        form = read_query(body.strip())
        return {name: ",".join(values) for name, values in form.items()}
    return read_json(body)


def read_json(body: bytes) -> dict[str, Any]:
    """A JSON object, or null, which means no data; what follows it is not looked at, as in Vault.

    Raises InvalidRequestError.
    """
    try:
        data = gojson.loads(body)
    except (RecordError, ValueError, RecursionError):
        data = _first_value(body)
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise InvalidRequestError(_BAD_JSON)
    return data


def _first_value(body: bytes) -> Any:
    """The JSON value that a body begins with. Raises InvalidRequestError."""
    try:
        text = body.decode("utf-8", "replace").lstrip(_JSON_SPACE)
        _, end = _SCANNER.raw_decode(text)
        return gojson.loads(text[:end])
    except (RecordError, ValueError, RecursionError):
        raise InvalidRequestError(_BAD_JSON) from None


def read_wrap_ttl(text: str) -> int:
    """Seconds of an ``X-Vault-Wrap-TTL`` header. Raises InvalidRequestError."""
    start = "error parsing X-Vault-Wrap-TTL header: "
    try:
        nanoseconds = parse_duration(text)
    except ValueError:
        raise InvalidRequestError(start + _not_a_duration(text)) from None
    if nanoseconds < 0:
        raise InvalidRequestError(start + "requested wrap ttl cannot be negative")
    return -(-nanoseconds // SECOND_NS)


_NO_UNIT = re.compile(r"[+-]?(?:[\d.]+(?:ns|us|µs|μs|ms|s|m|h|d))*[\d.]+")
_A_UNIT = re.compile(r"[+-]?(?:[\d.]+(?:ns|us|µs|μs|ms|s|m|h|d))*[\d.]+([^\d.]+)")


def _not_a_duration(text: str) -> str:
    """Go's words about a duration that is none."""
    if len(text) > 100 or not text.isprintable() or '"' in text or "\\" in text:
        return "time: invalid duration"
    if text.strip("+-.") and _NO_UNIT.fullmatch(text):
        return f'time: missing unit in duration "{text}"'
    unit = _A_UNIT.match(text)
    if unit is not None:
        return f'time: unknown unit "{unit.group(1)}" in duration "{text}"'
    return f'time: invalid duration "{text}"'
