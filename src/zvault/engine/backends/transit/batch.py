"""``batch_input``: items read as strictly, or as loosely, as Vault reads them.

What lives here: the two readers. Encryption and decryption take items of exactly the right types;
the other operations convert what they can. What never does: what an item means.
Invariant: an error names places and types, never a value.
Source: ``docs/api/transit.md``.
"""

from typing import Any

from zvault.engine.backends.fields import FieldKind, coerce
from zvault.engine.backends.transit import words
from zvault.engine.errors import InvalidRequestError

Item = dict[str, Any]
_PARSE = "failed to parse batch input: "
_TEXTS = ("plaintext", "ciphertext", "context", "nonce", "associated_data", "reference")


def go_type(value: Any) -> str:
    """What Go calls the type of a parsed JSON value."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int | float):
        return "json.Number"
    return "map[string]interface {}" if isinstance(value, dict) else "[]interface {}"


def strict_items(batch: Any, needed: str, missing: str) -> list[Item]:
    """Items for encryption (``needed`` is ``plaintext``) or decryption (``ciphertext``).

    Raises InvalidRequestError for an empty batch, InternalEngineError for what is no batch.
    """
    if not isinstance(batch, list):
        problem = f"source data must be an array or slice, got {go_type(batch)}"
        raise words.internal(_PARSE + problem)
    if not batch:
        raise InvalidRequestError(words.NO_BATCH)
    for index, item in enumerate(batch):
        if not isinstance(item, dict):
            problem = f"[{index}] expected a map, got '{go_type(item)}'"
            raise words.internal(_PARSE + problem)
    for index, item in enumerate(batch):
        problem = _strict_problem(item, index, needed, missing)
        if problem:
            raise words.internal(_PARSE + problem)
    return batch


def _strict_problem(item: Item, index: int, needed: str, missing: str) -> str:
    if needed not in item:
        return f"'[{index}].{needed}' {missing}"
    for name in _TEXTS:
        if name in item and not isinstance(item[name], str):
            kind = go_type(item[name])
            return f"'[{index}].{name}' expected type 'string', got unconvertible type '{kind}'"
    version = item.get("key_version", 0)
    if not isinstance(version, int) or isinstance(version, bool):
        kind = go_type(version)
        return f"'[{index}].key_version' expected type 'int', got unconvertible type '{kind}'"
    return ""


def loose_items(batch: Any, what: str, fields: dict[str, FieldKind]) -> list[Item]:
    """Items with their known fields converted; ``what`` is Vault's name of the item's type
    ("": a plain map).

    Raises as ``strict_items`` does.
    """
    if not isinstance(batch, list):
        kind = "map" if isinstance(batch, dict) else go_type(batch)
        raise words.internal(f"{_PARSE}'' source data must be an array or slice, got {kind}")
    if not batch:
        raise InvalidRequestError(words.NO_BATCH)
    problems = [
        _wrong_item(index, what, go_type(item))
        for index, item in enumerate(batch)
        if item is not None and not isinstance(item, dict)
    ]
    if not problems:
        return [_converted(item or {}, index, fields) for index, item in enumerate(batch)]
    found = "\n".join(problems)
    raise words.internal(f"{_PARSE}decoding failed due to the following error(s):\n\n{found}")


def _wrong_item(index: int, what: str, kind: str) -> str:
    if not what:
        return f"'[{index}]' expected a map or struct, got \"{kind}\""
    return f"'[{index}]' expected type '{what}', got unconvertible type '{kind}'"


def _converted(item: Item, index: int, fields: dict[str, FieldKind]) -> Item:
    found: Item = {}
    for name, kind in fields.items():
        if name not in item:
            continue
        value = item[name]
        try:
            found[name] = coerce(kind, "" if value is None else value)
        except (ValueError, TypeError):
            problem = f"'[{index}].{name}' got unconvertible type '{go_type(value)}'"
            raise words.internal(
                f"{_PARSE}decoding failed due to the following error(s):\n\n{problem}"
            ) from None
    return found
