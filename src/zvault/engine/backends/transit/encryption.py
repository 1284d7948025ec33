"""``encrypt``, ``decrypt``, ``rewrap`` and ``datakey``.

What lives here: items in, results out, one or many. What never does: ciphers (``ciphers``).
Invariants: one bad item of a batch spoils no other; work with RSA keys, which takes long, is done
in a thread; a key is made on the way only for a request that was allowed to create it.
Source: ``docs/api/transit.md``.
"""

import asyncio
import base64
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from zvault.base.gobase64 import GoBase64Error, decode
from zvault.engine.api import MountContext, Operation, Request, Response
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import FieldData
from zvault.engine.backends.transit import ciphers, types, words
from zvault.engine.backends.transit.batch import Item, loose_items, strict_items
from zvault.engine.backends.transit.ciphers import Extras
from zvault.engine.backends.transit.keys import Keys
from zvault.engine.backends.transit.settings import MountSettings
from zvault.engine.backends.transit.store import TransitStore
from zvault.engine.backends.transit.types import Family
from zvault.engine.backends.transit.versions import Key
from zvault.engine.backends.transit.words import FailedError, MistakeError, internal
from zvault.engine.errors import InvalidRequestError
from zvault.records.transit import TransitPolicy

_NO_PLAINTEXT = "missing plaintext to encrypt"
_NO_CIPHERTEXT = "missing ciphertext to decrypt"
_UPSERTED = (
    "Attempted creation of the key during the encrypt operation, but it was created beforehand"
)
_ITEM_FIELDS = ("context", "nonce", "associated_data", "key_version")
_REWRAP_ITEM = {
    "ciphertext": FieldKind.STRING,
    "context": FieldKind.STRING,
    "nonce": FieldKind.STRING,
    "key_version": FieldKind.INT,
    "reference": FieldKind.STRING,
}
_ITEMS_A_TURN = 64
_BITS = (128, 256, 512)


@dataclass(slots=True)
class Outcome:
    """What became of one item."""

    result: dict[str, Any]
    error: str = ""
    is_internal: bool = False


def tried(act: Callable[[Item], dict[str, Any]], item: Item) -> Outcome:
    """Do one item; a refusal stays with it."""
    try:
        return Outcome(act(item))
    except (MistakeError, GoBase64Error) as mistake:
        return Outcome({}, str(mistake))
    except FailedError as failure:
        return Outcome({}, str(failure), is_internal=True)


async def all_tried(
    key: Key, act: Callable[[Item], dict[str, Any]], items: list[Item]
) -> list[Outcome]:
    """Do every item, off the event loop where each takes milliseconds."""
    if key.kind.family is Family.RSA:
        return await asyncio.to_thread(lambda: [tried(act, item) for item in items])
    outcomes = []
    for start in range(0, len(items), _ITEMS_A_TURN):
        if start:
            # A long batch must not keep other requests waiting.
            await asyncio.sleep(0)
        outcomes += [tried(act, item) for item in items[start : start + _ITEMS_A_TURN]]
    return outcomes


def usable(key: Key | None, missing: str = words.NO_ENCRYPTION_KEY) -> Key:
    """The key, if it is there and not set aside. Raises InvalidRequestError."""
    if key is None:
        raise InvalidRequestError(missing)
    if key.policy.soft_deleted:
        raise InvalidRequestError("refusing to use soft-deleted key")
    return key


def single_item(data: FieldData, request: Request, name: str, missing: str) -> Item:
    """The request's own fields as the one item of a batch. Raises InvalidRequestError."""
    if name not in request.data:
        raise InvalidRequestError(missing)
    return {name: data[name], **{field: data[field] for field in _ITEM_FIELDS}}


def _extras(key: Key, item: Item) -> Extras:
    """What comes with the text. Raises GoBase64Error, MistakeError, FailedError."""
    context = decode(item.get("context") or "")
    nonce = decode(item.get("nonce") or "")
    given, index = item.get("associated_data") or "", item["index"]
    if given and key.kind.family is not Family.AEAD:
        raise MistakeError(
            f"'[{index}].associated_data' provided for non-AEAD cipher suite {key.kind.name}"
        )
    try:
        return Extras(context, nonce, decode(given) if given else None)
    except GoBase64Error as error:
        raise FailedError(
            f"unable to get associated_data/additional_data from factory[{index}]: {error}"
        ) from None


def one_answer(outcome: Outcome) -> Response:
    """The answer of a request without batch. Raises EngineError."""
    if outcome.is_internal:
        raise internal(outcome.error)
    if outcome.error:
        raise InvalidRequestError(outcome.error)
    return Response(data=outcome.result)


def batch_answer(
    outcomes: list[Outcome], items: list[Item], partial_code: int, before: dict[str, Any]
) -> Response:
    """The answer of a batch: 200, or with failures what the caller wants, else 400 or 500.

    ``before`` are fields that results of failed items have too.
    """
    results = []
    for outcome, item in zip(outcomes, items, strict=True):
        result = dict(outcome.result)
        if outcome.error:
            result = {**before, "error": outcome.error}
        results.append({**result, "reference": item.get("reference") or ""})
    response = Response(data={"batch_results": results})
    failed = [outcome for outcome in outcomes if outcome.error]
    if failed:
        response.status = 500 if any(outcome.is_internal for outcome in failed) else 400
        if partial_code and len(failed) < len(outcomes):
            response.status = partial_code
    return response


def _numbered(items: list[Item]) -> list[Item]:
    return [{**item, "index": index} for index, item in enumerate(items)]


class Encryption:
    """The four operations on the keys of one mount."""

    def __init__(
        self, context: MountContext, store: TransitStore, keys: Keys, settings: MountSettings
    ) -> None:
        self._context = context
        self._store = store
        self._keys = keys
        self._settings = settings

    async def exists(self, request: Request, data: FieldData) -> bool:
        """Encryption with a key that is not there asks to create it."""
        return await self._store.key(data["name"]) is not None

    async def encrypt(self, request: Request, data: FieldData) -> Response:
        """One plaintext or a batch."""
        is_batch = "batch_input" in data
        if is_batch:
            items = strict_items(data["batch_input"], "plaintext", _NO_PLAINTEXT)
        else:
            items = [single_item(data, request, "plaintext", _NO_PLAINTEXT)]
        with_context = bool(items[0].get("context"))
        if any(bool(item.get("context")) != with_context for item in items):
            raise InvalidRequestError(
                "context should be set either in all the request blocks or in none"
            )
        key, was_there = await self._key_to_encrypt(request, data, with_context)
        act = partial(self._encrypt_item, key)
        outcomes = await all_tried(key, act, _numbered(items))
        response = (
            batch_answer(outcomes, items, data["partial_failure_response_code"], {})
            if is_batch
            else one_answer(outcomes[0])
        )
        if was_there:
            response.warnings.append(_UPSERTED)
        return response

    async def _key_to_encrypt(
        self, request: Request, data: FieldData, with_context: bool
    ) -> tuple[Key, bool]:
        """The key, made if need be; and whether a request to create found it there."""
        name = data["name"]
        if request.operation is not Operation.CREATE:
            return usable(await self._store.key(name)), False
        if data["convergent_encryption"] and not with_context:
            raise InvalidRequestError(
                "convergent encryption requires derivation to be enabled, so context is required"
            )
        kind = types.named(data["type"], self._context.family)
        if kind is not None and kind.family is Family.ECDSA:
            raise InvalidRequestError(f"key type {kind.name} not supported for this operation")
        if kind is None or kind.family is not Family.AEAD:
            raise InvalidRequestError(f"unknown key type {data['type']}")
        async with self._store.hold(name):
            key = await self._store.key(name)
            if key is None and not await self._settings.is_upsert_disabled():
                policy = TransitPolicy(
                    name=name,
                    derived=with_context,
                    convergent_encryption=data["convergent_encryption"],
                )
                return await self._keys.make(policy, kind), False
        return usable(key), key is not None

    def _encrypt_item(self, key: Key, item: Item) -> dict[str, Any]:
        plaintext = decode(item["plaintext"])
        extras = _extras(key, item)
        _refuse_nonce(key, extras)
        text, version = ciphers.encrypt(
            key, item.get("key_version") or 0, plaintext, extras, self._context.random_bytes
        )
        return {"ciphertext": text, "key_version": version}

    async def decrypt(self, request: Request, data: FieldData) -> Response:
        """One ciphertext or a batch."""
        is_batch = "batch_input" in data
        if is_batch:
            items = strict_items(data["batch_input"], "ciphertext", _NO_CIPHERTEXT)
        else:
            items = [single_item(data, request, "ciphertext", _NO_CIPHERTEXT)]
            if not items[0]["ciphertext"]:
                raise InvalidRequestError(_NO_CIPHERTEXT)
        key = usable(await self._store.key(data["name"]))
        outcomes = await all_tried(key, partial(_decrypt_item, key), _numbered(items))
        if not is_batch:
            return one_answer(outcomes[0])
        return batch_answer(
            outcomes, items, data["partial_failure_response_code"], {"plaintext": ""}
        )

    async def rewrap(self, request: Request, data: FieldData) -> Response:
        """One ciphertext or a batch, encrypted anew; failures of a batch leave its status alone."""
        is_batch = "batch_input" in data
        if is_batch:
            items = loose_items(data["batch_input"], "", _REWRAP_ITEM)
        else:
            if not data["ciphertext"]:
                raise InvalidRequestError(_NO_CIPHERTEXT)
            items = [single_item(data, request, "ciphertext", _NO_CIPHERTEXT)]
            items[0].pop("associated_data")
        key = usable(await self._store.key(data["name"]))
        outcomes = await all_tried(key, partial(self._rewrap_item, key), _numbered(items))
        if not is_batch:
            return one_answer(outcomes[0])
        for outcome in outcomes:
            if outcome.is_internal:
                raise internal(outcome.error)
        response = batch_answer(outcomes, items, 0, {})
        response.status = 0
        return response

    def _rewrap_item(self, key: Key, item: Item) -> dict[str, Any]:
        if not item.get("ciphertext"):
            raise MistakeError(_NO_CIPHERTEXT)
        extras = _extras(key, item)
        plaintext = ciphers.decrypt(key, item["ciphertext"], extras)
        text, version = ciphers.encrypt(
            key, item.get("key_version") or 0, plaintext, extras, self._context.random_bytes
        )
        return {"ciphertext": text, "key_version": version}

    async def data_key(self, request: Request, data: FieldData) -> Response:
        """A fresh key, encrypted, and on wish in clear."""
        shown = data["plaintext"]
        if shown not in ("plaintext", "wrapped"):
            raise InvalidRequestError("Invalid path, must be 'plaintext' or 'wrapped'")
        for name in ("context", "nonce"):
            try:
                decode(data[name])
            except GoBase64Error:
                raise InvalidRequestError(f"failed to base64-decode {name}") from None
        key = usable(await self._store.key(data["name"]))
        if data["bits"] not in _BITS:
            raise InvalidRequestError("invalid bit length")
        fresh = self._context.random_bytes(data["bits"] // 8)
        item = {
            "plaintext": base64.b64encode(fresh).decode(),
            "context": data["context"],
            "nonce": data["nonce"],
            "associated_data": data["associated_data"],
            "key_version": data["key_version"],
            "index": 0,
        }
        response = one_answer((await all_tried(key, partial(self._encrypt_item, key), [item]))[0])
        if shown == "plaintext" and response.data is not None:
            response.data["plaintext"] = item["plaintext"]
        return response


def _refuse_nonce(key: Key, extras: Extras) -> None:
    """A nonce of the caller's own is for the oldest convergent keys only."""
    policy = key.policy
    is_oldest = policy.convergent_encryption and policy.convergent_version == 1
    if extras.nonce and not is_oldest:
        raise MistakeError("provided nonce not allowed for this key")


def _decrypt_item(key: Key, item: Item) -> dict[str, Any]:
    if not item["ciphertext"]:
        raise MistakeError(_NO_CIPHERTEXT)
    extras = _extras(key, item)
    plaintext = ciphers.decrypt(key, item["ciphertext"], extras)
    return {"plaintext": base64.b64encode(plaintext).decode()}
