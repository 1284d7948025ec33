"""Types of the messages that ``identity_messages.py`` builds; a test keeps the two in step."""

# ruff: noqa: N802, A002 - names of protobuf's API and of the format

from abc import ABCMeta
from collections.abc import Iterable, MutableMapping, MutableSequence
from typing import Self, TypeVar

T = TypeVar("T")

class _Message:
    @classmethod
    def FromString(cls, data: bytes) -> Self: ...
    def SerializeToString(self) -> bytes: ...
    def HasField(self, field_name: str) -> bool: ...
    def ClearField(self, field_name: str) -> None: ...
    def CopyFrom(self, other: Self) -> None: ...

class _Messages(MutableSequence[T], metaclass=ABCMeta):
    def add(self) -> T: ...

class Timestamp(_Message):
    seconds: int
    nanos: int
    def __init__(self, *, seconds: int = ..., nanos: int = ...) -> None: ...

class Any(_Message):
    type_url: str
    value: bytes
    def __init__(self, *, type_url: str = ..., value: bytes = ...) -> None: ...

class Item(_Message):
    id: str
    @property
    def message(self) -> Any: ...
    def __init__(self, *, id: str = ..., message: Any = ...) -> None: ...

class Bucket(_Message):
    key: str
    @property
    def items(self) -> _Messages[Item]: ...
    def __init__(self, *, key: str = ..., items: Iterable[Item] = ...) -> None: ...

class Alias(_Message):
    id: str
    canonical_id: str
    mount_type: str
    mount_accessor: str
    mount_path: str
    name: str
    namespace_id: str
    local: bool
    local_bucket_key: str
    @property
    def metadata(self) -> MutableMapping[str, str]: ...
    @property
    def creation_time(self) -> Timestamp: ...
    @property
    def last_update_time(self) -> Timestamp: ...
    @property
    def merged_from_canonical_ids(self) -> MutableSequence[str]: ...
    @property
    def custom_metadata(self) -> MutableMapping[str, str]: ...
    def __init__(
        self,
        *,
        id: str = ...,
        canonical_id: str = ...,
        mount_type: str = ...,
        mount_accessor: str = ...,
        mount_path: str = ...,
        name: str = ...,
        namespace_id: str = ...,
        local: bool = ...,
        metadata: dict[str, str] = ...,
        creation_time: Timestamp = ...,
        last_update_time: Timestamp = ...,
    ) -> None: ...

class LocalAliases(_Message):
    @property
    def aliases(self) -> _Messages[Alias]: ...
    def __init__(self, *, aliases: Iterable[Alias] = ...) -> None: ...

class Entity(_Message):
    id: str
    name: str
    bucket_key: str
    disabled: bool
    namespace_id: str
    @property
    def aliases(self) -> _Messages[Alias]: ...
    @property
    def metadata(self) -> MutableMapping[str, str]: ...
    @property
    def creation_time(self) -> Timestamp: ...
    @property
    def last_update_time(self) -> Timestamp: ...
    @property
    def merged_entity_ids(self) -> MutableSequence[str]: ...
    @property
    def policies(self) -> MutableSequence[str]: ...
    def __init__(
        self,
        *,
        id: str = ...,
        name: str = ...,
        bucket_key: str = ...,
        disabled: bool = ...,
        namespace_id: str = ...,
        aliases: Iterable[Alias] = ...,
        metadata: dict[str, str] = ...,
        policies: Iterable[str] = ...,
        creation_time: Timestamp = ...,
        last_update_time: Timestamp = ...,
    ) -> None: ...

class Group(_Message):
    id: str
    name: str
    modify_index: int
    bucket_key: str
    type: str
    namespace_id: str
    @property
    def policies(self) -> MutableSequence[str]: ...
    @property
    def parent_group_ids(self) -> MutableSequence[str]: ...
    @property
    def member_entity_ids(self) -> MutableSequence[str]: ...
    @property
    def metadata(self) -> MutableMapping[str, str]: ...
    @property
    def creation_time(self) -> Timestamp: ...
    @property
    def last_update_time(self) -> Timestamp: ...
    @property
    def alias(self) -> Alias: ...
    def __init__(
        self, *, id: str = ..., name: str = ..., policies: Iterable[str] = ...
    ) -> None: ...
