"""Identity store: entities, aliases and groups in packed, snappy-framed buckets.

What lives here: reading and writing a bucket, and which bucket an id belongs to. Pure.
Invariant: items of a kind this version does not know stay in their bucket as they are.
"""

import hashlib
from collections.abc import Sequence

import cramjam
from google.protobuf.message import DecodeError

from zvault.base.gotime import SECOND_NS
from zvault.records import compress
from zvault.records.errors import RecordError
from zvault.records.identity_messages import (
    Alias,
    Any,
    Bucket,
    Entity,
    Group,
    Item,
    LocalAliases,
    Timestamp,
)

__all__ = [
    "ENTITY_BUCKETS",
    "GROUP_BUCKETS",
    "LOCAL_ALIASES_URL",
    "LOCAL_ALIAS_BUCKETS",
    "Alias",
    "Bucket",
    "Entity",
    "Group",
    "LocalAliases",
    "Timestamp",
    "bucket_key",
    "decode_bucket",
    "encode_bucket",
    "entities_of",
    "groups_of",
    "make_timestamp",
    "put_entity",
    "put_group",
    "put_local_aliases",
    "remove_item",
    "timestamp_ns",
]

ENTITY_BUCKETS = "packer/buckets/"
GROUP_BUCKETS = "packer/group/buckets/"
LOCAL_ALIAS_BUCKETS = "packer/local-aliases/buckets/"
_ENTITY_URL = "type.googleapis.com/identity.Entity"
_GROUP_URL = "type.googleapis.com/identity.Group"
LOCAL_ALIASES_URL = "type.googleapis.com/identity.LocalAliases"


def bucket_key(prefix: str, item_id: str) -> str:
    """The bucket of an item, below the identity mount: first byte of MD5 of its id, decimal."""
    number = hashlib.md5(item_id.encode(), usedforsecurity=False).digest()[0]
    return f"{prefix}{number}"


def decode_bucket(data: bytes) -> Bucket:
    """Raises RecordError."""
    plain = compress.expand(data)
    try:
        return Bucket.FromString(plain)
    except (DecodeError, cramjam.DecompressionError):
        raise RecordError("identity bucket: it is no such protobuf message") from None


def encode_bucket(bucket: Bucket) -> bytes:
    """Snappy-framed, as servers write it."""
    return compress.snappy_framed(bucket.SerializeToString())


def entities_of(bucket: Bucket) -> list[Entity]:
    """The entities in a bucket. Raises RecordError."""
    return [
        _parse_entity(item.message.value)
        for item in bucket.items
        if item.message.type_url == _ENTITY_URL
    ]


def groups_of(bucket: Bucket) -> list[Group]:
    """The groups in a bucket. Raises RecordError."""
    return [
        _parse_group(item.message.value)
        for item in bucket.items
        if item.message.type_url == _GROUP_URL
    ]


def _parse_entity(data: bytes) -> Entity:
    try:
        return Entity.FromString(data)
    except DecodeError:
        raise RecordError("identity bucket: an entity does not parse") from None


def _parse_group(data: bytes) -> Group:
    try:
        return Group.FromString(data)
    except DecodeError:
        raise RecordError("identity bucket: a group does not parse") from None


def put_entity(bucket: Bucket, entity: Entity) -> None:
    """Add or replace an entity."""
    _put(bucket, entity.id, Any(type_url=_ENTITY_URL, value=entity.SerializeToString()))


def put_group(bucket: Bucket, group: Group) -> None:
    """Add or replace a group."""
    _put(bucket, group.id, Any(type_url=_GROUP_URL, value=group.SerializeToString()))


def put_local_aliases(bucket: Bucket, entity_id: str, aliases: Sequence[Alias]) -> None:
    """Add or replace an entity's aliases of local mounts."""
    message = LocalAliases(aliases=aliases).SerializeToString()
    _put(bucket, entity_id, Any(type_url=LOCAL_ALIASES_URL, value=message))


def _put(bucket: Bucket, item_id: str, message: Any) -> None:
    for item in bucket.items:
        if item.id == item_id:
            item.message.CopyFrom(message)
            return
    bucket.items.append(Item(id=item_id, message=message))


def remove_item(bucket: Bucket, item_id: str) -> bool:
    """Remove an item; False when it was not there."""
    for index, item in enumerate(bucket.items):
        if item.id == item_id:
            del bucket.items[index]
            return True
    return False


def timestamp_ns(stamp: Timestamp) -> int:
    """Nanoseconds since the epoch."""
    return stamp.seconds * SECOND_NS + stamp.nanos


def make_timestamp(ns: int) -> Timestamp:
    """Of nanoseconds since the epoch."""
    seconds, nanos = divmod(ns, SECOND_NS)
    return Timestamp(seconds=seconds, nanos=nanos)
