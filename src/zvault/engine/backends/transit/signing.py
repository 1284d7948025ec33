"""``sign``, ``verify`` and ``hmac``.

What lives here: requests and batches read, the manner of signing worked out, results shown. What
never does: signatures themselves (``signatures``).
Invariant: failures of single items never change the status of a batch.
Source: ``docs/api/transit.md``.
"""

import base64
from functools import partial
from typing import Any

from zvault.base.gobase64 import GoBase64Error, decode
from zvault.crypto import rsa
from zvault.engine.api import Request, Response
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import FieldData
from zvault.engine.backends.transit.batch import Item, loose_items
from zvault.engine.backends.transit.encryption import (
    Outcome,
    all_tried,
    batch_answer,
    one_answer,
    usable,
)
from zvault.engine.backends.transit.signatures import (
    HASHES,
    NO_HASH,
    Manner,
    checked_hmac_version,
    hmac_of,
    sign,
    verify,
    verify_hmac,
)
from zvault.engine.backends.transit.store import TransitStore
from zvault.engine.backends.transit.versions import Key
from zvault.engine.backends.transit.words import MistakeError
from zvault.engine.errors import InvalidRequestError

_TEXT_ITEM = {"input": FieldKind.STRING, "reference": FieldKind.STRING}
_SIGN_ITEM = {**_TEXT_ITEM, "context": FieldKind.STRING}
_VERIFY_ITEM = {**_SIGN_ITEM, "signature": FieldKind.STRING, "hmac": FieldKind.STRING}
_NO_INPUT = "missing input for HMAC"


def _in_path(data: FieldData, name: str = "urlalgorithm") -> str:
    return str(data[name]).removeprefix("/")


def manner_of(data: FieldData) -> Manner:
    """How a request wants to sign or verify. Raises InvalidRequestError."""
    name = _in_path(data) or data["hash_algorithm"] or "sha2-256"
    if name not in HASHES and name != NO_HASH:
        raise InvalidRequestError(f'invalid hash algorithm "{name}"')
    marshaling = data["marshaling_algorithm"] or "asn1"
    if marshaling not in ("asn1", "jws"):
        raise InvalidRequestError(f'invalid marshaling type "{marshaling}"')
    scheme = data["signature_algorithm"] or "pss"
    if name == NO_HASH and not (data["prehashed"] and scheme == "pkcs1v15"):
        raise InvalidRequestError(
            "hash_algorithm=none requires both prehashed=true and signature_algorithm=pkcs1v15"
        )
    return Manner(
        hash=name,
        prehashed=data["prehashed"],
        scheme=scheme,
        salt=_salt(data["salt_length"]),
        jws=marshaling == "jws",
    )


def _salt(text: str) -> rsa.Salt | int:
    if text in ("", "auto", "0"):
        return rsa.Salt.AUTO
    if text in ("hash", "-1"):
        return rsa.Salt.HASH
    try:
        number = int(text, 10)
    except ValueError:
        raise InvalidRequestError(
            f"salt length neither 'auto', 'hash', nor an int: {text}"
        ) from None
    if number < 0:
        raise InvalidRequestError(f"salt length is invalid: {number}")
    return number or rsa.Salt.AUTO


def _input(item: Item) -> bytes:
    if "input" not in item:
        raise MistakeError("missing input")
    try:
        return decode(item["input"])
    except GoBase64Error as error:
        raise MistakeError(f"unable to decode input as base64: {error}") from None


def _context(item: Item) -> bytes:
    try:
        return decode(item.get("context") or "")
    except GoBase64Error:
        raise MistakeError("failed to base64-decode context") from None


class Signing:
    """The three operations on the keys of one mount."""

    def __init__(self, store: TransitStore) -> None:
        self._store = store

    async def sign(self, request: Request, data: FieldData) -> Response:
        """One signature or a batch."""
        how = manner_of(data)
        key = usable(await self._store.key(data["name"]), "signing key not found")
        if not key.kind.signs:
            raise InvalidRequestError(f"key type {key.kind.name} does not support signing")
        is_batch = "batch_input" in data
        items = (
            loose_items(data["batch_input"], "transit.batchRequestSignItem", _SIGN_ITEM)
            if is_batch
            else [{"input": data["input"], "context": data["context"]}]
        )
        act = partial(_signed, key, data["key_version"], how, is_batch=is_batch)
        outcomes = await all_tried(key, act, items)
        if not is_batch:
            return one_answer(outcomes[0])
        return _calm(outcomes, items, {"key_version": 0})

    async def verify(self, request: Request, data: FieldData) -> Response:
        """Whether signatures, or HMACs, are those of their inputs."""
        is_batch = "batch_input" in data
        items = (
            loose_items(data["batch_input"], "transit.batchRequestVerifyItem", _VERIFY_ITEM)
            if is_batch
            else [{name: data[name] for name in ("input", "context", "signature", "hmac")}]
        )
        if _is_about_hmacs(items, is_batch):
            return await self._verify_hmacs(data, items, is_batch)
        how = manner_of(data)
        key = usable(await self._store.key(data["name"]), "signature verification key not found")
        if not key.kind.signs:
            raise InvalidRequestError(f"key type {key.kind.name} does not support verification")
        outcomes = await all_tried(key, partial(_verified, key, how), items)
        return _calm(outcomes, items, {"valid": False}) if is_batch else one_answer(outcomes[0])

    async def _verify_hmacs(self, data: FieldData, items: list[Item], is_batch: bool) -> Response:
        how = manner_of(data)
        key = usable(await self._store.key(data["name"]))
        name = _hmac_hash(how.hash)
        outcomes = await all_tried(key, partial(_hmac_verified, key, name), items)
        return _calm(outcomes, items, {"valid": False}) if is_batch else one_answer(outcomes[0])

    async def hmac(self, request: Request, data: FieldData) -> Response:
        """One HMAC or a batch."""
        is_batch = "batch_input" in data
        key = usable(await self._store.key(data["name"]))
        version = data["key_version"]
        try:
            checked_hmac_version(key, version)
        except MistakeError as mistake:
            raise InvalidRequestError(str(mistake)) from None
        name = _hmac_hash(_in_path(data) or data["algorithm"] or "sha2-256")
        if is_batch:
            what = "transit.batchRequestHMACItem"
            items = loose_items(data["batch_input"], what, _TEXT_ITEM)
        elif "input" in request.data:
            items = [{"input": data["input"]}]
        else:
            raise InvalidRequestError(_NO_INPUT)
        outcomes = await all_tried(key, partial(_hmac_made, key, version, name), items)
        return _calm(outcomes, items, {}) if is_batch else one_answer(outcomes[0])


def _calm(outcomes: list[Outcome], items: list[Item], before: dict[str, Any]) -> Response:
    """The answer of a batch whose failures are only told in their items."""
    response = batch_answer(outcomes, items, 0, before)
    response.status = 0
    return response


def _signed(key: Key, version: int, how: Manner, item: Item, *, is_batch: bool) -> dict[str, Any]:
    message = _input(item)
    made = sign(key, version, message, _context(item), how)
    result: dict[str, Any] = {"signature": made.text, "key_version": made.version}
    if made.public_key:
        public = base64.b64encode(made.public_key).decode()
        result["publickey" if is_batch else "public_key"] = public
    return result


def _verified(key: Key, how: Manner, item: Item) -> dict[str, Any]:
    message = _input(item)
    return {"valid": verify(key, message, item.get("signature") or "", _context(item), how)}


def _is_about_hmacs(items: list[Item], is_batch: bool) -> bool:
    """What the items bring to be verified; all the same. Raises InvalidRequestError."""
    signatures = sum(bool(item.get("signature")) for item in items)
    hmacs = sum(not item.get("signature") and bool(item.get("hmac")) for item in items)
    if not is_batch:
        if not signatures and not hmacs:
            raise InvalidRequestError("neither a 'signature' nor an 'hmac' were given to verify")
        return not signatures
    if signatures and hmacs:
        raise InvalidRequestError(
            "elements of batch_input must all provide 'signature' or all provide 'hmac'"
        )
    if not signatures and not hmacs:
        raise InvalidRequestError("no batch_input elements have 'signature' or 'hmac'")
    if signatures + hmacs < len(items):
        missing = "signature" if signatures else "hmac"
        raise InvalidRequestError(f"some elements of batch_input are missing '{missing}'")
    return bool(hmacs)


def _hmac_hash(name: str) -> str:
    if name not in HASHES:
        raise InvalidRequestError("unsupported algorithm '\\x00'")
    return name


def _hmac_made(key: Key, version: int, name: str, item: Item) -> dict[str, Any]:
    if "input" not in item:
        raise MistakeError(_NO_INPUT)
    return {"hmac": hmac_of(key, version, _input(item), name)}


def _hmac_verified(key: Key, name: str, item: Item) -> dict[str, Any]:
    return {"valid": verify_hmac(key, _input(item), item.get("hmac") or "", name)}
