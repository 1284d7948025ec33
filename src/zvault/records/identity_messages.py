"""Identity store: the protobuf messages, as upb classes built at import.

What lives here: field numbers and names. Unknown fields survive a rewrite. Types for readers and
mypy are in the ``.pyi`` beside.
"""

from zvault.base.protobuf import build_messages

_messages = build_messages(
    "zvault.identity",
    {
        "Timestamp": ["1 seconds int64", "2 nanos int32"],
        "Any": ["1 type_url string", "2 value bytes"],
        "Item": ["1 id string", "2 message Any"],
        "Bucket": ["1 key string", "2 items repeated Item"],
        "Alias": [
            "1 id string",
            "2 canonical_id string",
            "3 mount_type string",
            "4 mount_accessor string",
            "5 mount_path string",
            "6 metadata map<string, string>",
            "7 name string",
            "8 creation_time Timestamp",
            "9 last_update_time Timestamp",
            "10 merged_from_canonical_ids repeated string",
            "11 namespace_id string",
            "12 custom_metadata map<string, string>",
            "13 local bool",
            "14 local_bucket_key string",
        ],
        "LocalAliases": ["1 aliases repeated Alias"],
        "Entity": [
            "1 aliases repeated Alias",
            "2 id string",
            "3 name string",
            "4 metadata map<string, string>",
            "5 creation_time Timestamp",
            "6 last_update_time Timestamp",
            "7 merged_entity_ids repeated string",
            "8 policies repeated string",
            "9 bucket_key string",
            "11 disabled bool",
            "12 namespace_id string",
        ],
        "Group": [
            "1 id string",
            "2 name string",
            "3 policies repeated string",
            "4 parent_group_ids repeated string",
            "5 member_entity_ids repeated string",
            "6 metadata map<string, string>",
            "7 creation_time Timestamp",
            "8 last_update_time Timestamp",
            "9 modify_index uint64",
            "10 bucket_key string",
            "11 alias Alias",
            "12 type string",
            "13 namespace_id string",
        ],
    },
)
Timestamp = _messages["Timestamp"]
Any = _messages["Any"]
Item = _messages["Item"]
Bucket = _messages["Bucket"]
Alias = _messages["Alias"]
LocalAliases = _messages["LocalAliases"]
Entity = _messages["Entity"]
Group = _messages["Group"]
