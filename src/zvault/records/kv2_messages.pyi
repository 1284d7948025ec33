"""Types of the messages that ``kv2_messages.py`` builds; a test keeps the two in step."""

# ruff: noqa: N802 - names of protobuf's API

from abc import ABCMeta
from collections.abc import MutableMapping
from typing import Any, Self

class _Message:
    @classmethod
    def FromString(cls, data: bytes) -> Self: ...
    def SerializeToString(self) -> bytes: ...
    def HasField(self, field_name: str) -> bool: ...
    def ClearField(self, field_name: str) -> None: ...
    def CopyFrom(self, other: Self) -> None: ...
    def SetInParent(self) -> None: ...

class Timestamp(_Message):
    seconds: int
    nanos: int
    def __init__(self, *, seconds: int = ..., nanos: int = ...) -> None: ...

class Duration(_Message):
    seconds: int
    nanos: int
    def __init__(self, *, seconds: int = ..., nanos: int = ...) -> None: ...

class Configuration(_Message):
    max_versions: int
    cas_required: bool
    metadata_cas_required: bool
    @property
    def delete_version_after(self) -> Duration: ...
    def __init__(
        self,
        *,
        max_versions: int = ...,
        cas_required: bool = ...,
        delete_version_after: Duration = ...,
        metadata_cas_required: bool = ...,
    ) -> None: ...

class VersionMetadata(_Message):
    destroyed: bool
    @property
    def created_time(self) -> Timestamp: ...
    @property
    def deletion_time(self) -> Timestamp: ...
    def __init__(
        self,
        *,
        created_time: Timestamp = ...,
        deletion_time: Timestamp = ...,
        destroyed: bool = ...,
    ) -> None: ...

class _VersionMap(MutableMapping[int, VersionMetadata], metaclass=ABCMeta):
    """Reading a number that is not there creates it; use ``in`` or ``get`` first."""

class KeyMetadata(_Message):
    key: str
    current_version: int
    oldest_version: int
    max_versions: int
    cas_required: bool
    metadata_cas_required: bool
    current_metadata_version: int
    @property
    def versions(self) -> _VersionMap: ...
    @property
    def created_time(self) -> Timestamp: ...
    @property
    def updated_time(self) -> Timestamp: ...
    @property
    def delete_version_after(self) -> Duration: ...
    @property
    def custom_metadata(self) -> MutableMapping[str, str]: ...
    def __init__(self, *, key: str = ..., **fields: Any) -> None: ...

class Version(_Message):
    data: bytes
    @property
    def created_time(self) -> Timestamp: ...
    @property
    def deletion_time(self) -> Timestamp: ...
    def __init__(
        self,
        *,
        data: bytes = ...,
        created_time: Timestamp = ...,
        deletion_time: Timestamp = ...,
    ) -> None: ...

class UpgradeInfo(_Message):
    done: bool
    @property
    def started_time(self) -> Timestamp: ...
    def __init__(self, *, started_time: Timestamp = ..., done: bool = ...) -> None: ...
