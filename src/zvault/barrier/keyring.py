"""The keyring: the root key and the data keys by term.

What lives here: the JSON of ``core/keyring`` and of ``core/master``/``core/root-key``, the choice
of the active term, rotation. Pure: time and randomness are parameters.
Invariant: the active term is the highest; a key once in the keyring never leaves it; fields this
version does not know are written back as they were.
"""

import base64
import binascii
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from zvault.barrier.errors import UnreadableEntryError
from zvault.barrier.paths import KEYRING
from zvault.base.gotime import SECOND_NS, ZERO_NS, format_time, parse_time
from zvault.base.secret import Secret

MAX_OPERATIONS = 3_865_470_566
"""Vault's limit of encryptions under one key: 90 % of 2^32."""
MIN_OPERATIONS = 1_000_000
MIN_INTERVAL_NS = 24 * 3600 * SECOND_NS
_LEGACY_AGE_NS = 365 * 24 * 3600 * SECOND_NS
KEYRING_RECORD_TERM = 1
"""The term field of the keyring's own record, whatever is active."""


@dataclass(frozen=True, slots=True)
class DataKey:
    """One data key. ``encryptions`` is the persisted estimate of how often it was used."""

    term: int
    value: Secret
    install_time_ns: int = ZERO_NS
    encryptions: int = 0
    version: int = 1
    extra: dict[str, Any] = field(default_factory=dict, repr=False)

    def to_json(self) -> dict[str, Any]:
        result: dict[str, Any] = {
            "Term": self.term,
            "Version": self.version,
            "Value": base64.b64encode(self.value.reveal()).decode(),
            "InstallTime": format_time(self.install_time_ns),
        }
        if self.encryptions:
            result["encryptions"] = self.encryptions
        return result | self.extra


@dataclass(frozen=True, slots=True)
class RotationConfig:
    """When a server rotates by itself."""

    disabled: bool = False
    max_operations: int = MAX_OPERATIONS
    interval_ns: int = 0

    def clamped(self) -> "RotationConfig":
        """Within the limits that a server applies on reading."""
        operations = self.max_operations or MAX_OPERATIONS
        interval = self.interval_ns
        return replace(
            self,
            max_operations=min(max(operations, MIN_OPERATIONS), MAX_OPERATIONS),
            interval_ns=max(interval, MIN_INTERVAL_NS) if interval > 0 else interval,
        )


@dataclass(frozen=True, slots=True)
class Keyring:
    """Root key and data keys; ``keys`` is never empty and sorted by term."""

    root_key: Secret
    keys: tuple[DataKey, ...]
    rotation: RotationConfig = RotationConfig()
    extra: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def active(self) -> DataKey:
        """The key new entries are written under: the highest term."""
        return self.keys[-1]

    def rotated(self, value: Secret, now_ns: int) -> "Keyring":
        """With one more term; the counts of the older ones are reset, as Vault does."""
        older = tuple(replace(key, encryptions=0) for key in self.keys)
        fresh = DataKey(self.active.term + 1, value, now_ns)
        return replace(self, keys=(*older, fresh))

    def counted(self, encryptions: int) -> "Keyring":
        """With ``encryptions`` more on the active key."""
        active = replace(self.active, encryptions=self.active.encryptions + encryptions)
        return replace(self, keys=(*self.keys[:-1], active))

    def rotation_due(self, now_ns: int, unpersisted_encryptions: int = 0) -> bool:
        """A server with this keyring would rotate now."""
        if self.rotation.disabled:
            return False
        age_ns = now_ns - self.active.install_time_ns
        count = self.active.encryptions + unpersisted_encryptions
        if count == 0:
            return age_ns > _LEGACY_AGE_NS
        interval_ns = self.rotation.interval_ns
        return count > self.rotation.max_operations or 0 < interval_ns < age_ns

    def encode(self) -> bytes:
        """The JSON inside ``core/keyring``."""
        body = {
            "MasterKey": base64.b64encode(self.root_key.reveal()).decode(),
            "Keys": [key.to_json() for key in self.keys],
            "RotationConfig": {
                "Disabled": self.rotation.disabled,
                "MaxOperations": self.rotation.max_operations,
                "Interval": self.rotation.interval_ns,
            },
        }
        return orjson.dumps(body | self.extra)

    def encode_root_key(self) -> bytes:
        """The JSON inside ``core/master`` or ``core/root-key``: one key object, always term 1."""
        return orjson.dumps(DataKey(1, self.root_key).to_json())


def decode_keyring(data: bytes) -> Keyring:
    """The keyring of its JSON. Raises UnreadableEntryError naming the field, never its value."""
    try:
        body = dict(orjson.loads(data))
        root_key = Secret(base64.b64decode(body.pop("MasterKey"), validate=True))
        keys = [_decode_key(dict(item)) for item in body.pop("Keys")]
        rotation = _decode_rotation(body.pop("RotationConfig", None) or {})
    except KeyError as error:
        raise UnreadableEntryError(KEYRING, f"the field {error} is missing") from None
    except (ValueError, TypeError, binascii.Error, AttributeError):
        raise UnreadableEntryError(KEYRING, "it decrypts, but is no keyring") from None
    keys.sort(key=lambda key: key.term)
    terms = [key.term for key in keys]
    if not keys or len(set(terms)) != len(terms):
        raise UnreadableEntryError(KEYRING, "it has no data key, or two of one term")
    return Keyring(root_key, tuple(keys), rotation, body)


def _decode_key(item: dict[str, Any]) -> DataKey:
    return DataKey(
        term=int(item.pop("Term")),
        version=int(item.pop("Version", 1)),
        value=Secret(base64.b64decode(item.pop("Value"), validate=True)),
        install_time_ns=parse_time(item.pop("InstallTime", None) or format_time(ZERO_NS)),
        encryptions=int(item.pop("encryptions", 0)),
        extra=item,
    )


def _decode_rotation(item: dict[str, Any]) -> RotationConfig:
    return RotationConfig(
        disabled=bool(item.get("Disabled", False)),
        max_operations=int(item.get("MaxOperations", 0)),
        interval_ns=int(item.get("Interval", 0)),
    ).clamped()
