"""KV version 2: the protobuf messages, as upb classes built at import.

What lives here: field numbers and names. Unknown fields (newer plugins) survive a rewrite, also in
nested messages. Types for readers and mypy are in the ``.pyi`` beside.
Fields 400 and 401 are OpenBao's, since 2.4.
"""

from zvault.base.protobuf import build_messages

_messages = build_messages(
    "zvault.kv2",
    {
        "Timestamp": ["1 seconds int64", "2 nanos int32"],
        "Duration": ["1 seconds int64", "2 nanos int32"],
        "Configuration": [
            "1 max_versions uint32",
            "2 cas_required bool",
            "3 delete_version_after Duration",
            "400 metadata_cas_required bool",
        ],
        "VersionMetadata": [
            "1 created_time Timestamp",
            "2 deletion_time Timestamp",
            "3 destroyed bool",
        ],
        "KeyMetadata": [
            "1 key string",
            "2 versions map<uint64, VersionMetadata>",
            "3 current_version uint64",
            "4 oldest_version uint64",
            "5 created_time Timestamp",
            "6 updated_time Timestamp",
            "7 max_versions uint32",
            "8 cas_required bool",
            "9 delete_version_after Duration",
            "10 custom_metadata map<string, string>",
            "400 metadata_cas_required bool",
            "401 current_metadata_version uint64",
        ],
        "Version": [
            "1 data bytes",
            "2 created_time Timestamp",
            "3 deletion_time Timestamp",
        ],
        "UpgradeInfo": ["1 started_time Timestamp", "2 done bool"],
    },
)
Timestamp = _messages["Timestamp"]
Duration = _messages["Duration"]
Configuration = _messages["Configuration"]
VersionMetadata = _messages["VersionMetadata"]
KeyMetadata = _messages["KeyMetadata"]
Version = _messages["Version"]
UpgradeInfo = _messages["UpgradeInfo"]
