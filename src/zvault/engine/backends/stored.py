"""Users' JSON on its way into storage."""

from typing import Any

from zvault.engine.errors import InvalidRequestError
from zvault.records import gojson
from zvault.records.errors import RecordError


def stored_json(data: dict[str, Any] | None) -> bytes:
    """What is stored of a JSON object. Raises InvalidRequestError for one nested too deeply."""
    try:
        return gojson.dumps(data)
    except (RecordError, RecursionError):
        raise InvalidRequestError("the data is nested too deeply to be stored") from None
