"""KV v2 messages, names and states; identity buckets."""

import ast
import os
from pathlib import Path

import pytest
from google.protobuf.internal import api_implementation

from zvault.base.gotime import SECOND_NS
from zvault.base.protobuf import build_messages
from zvault.base.secret import Secret
from zvault.records import identity, identity_messages, kv2, kv2_messages
from zvault.records.errors import RecordError
from zvault.records.keysutil import decode_path_policy, new_path_policy
from zvault.records.kv2_paths import PathCodec, clean_path, from_base62

NOW_NS = 1_795_290_927 * SECOND_NS + 123
PREFIX = "686359e8-f2d2-af43-74ab-46d63e80786a"


def new_codec() -> PathCodec:
    keys = Secret(os.urandom(32)), Secret(os.urandom(32))
    return PathCodec(decode_path_policy(new_path_policy(PREFIX, *keys, NOW_NS)[0]))


def test_protobuf_runs_on_its_fast_implementation() -> None:
    assert api_implementation.Type() == "upb"


@pytest.mark.parametrize("module", [kv2_messages, identity_messages])
def test_types_and_messages_are_in_step(module: object) -> None:
    stub = Path(str(module.__file__)).with_suffix(".pyi")  # type: ignore[attr-defined]
    classes = [
        node
        for node in ast.parse(stub.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    for node in classes:
        typed = {
            name
            for item in node.body
            if isinstance(item, ast.AnnAssign | ast.FunctionDef)
            for name in [item.target.id if isinstance(item, ast.AnnAssign) else item.name]  # type: ignore[union-attr]
            if name != "__init__"
        }
        built = {field.name for field in getattr(module, node.name).DESCRIPTOR.fields}
        assert typed == built, node.name


def test_fields_of_newer_plugins_survive_a_rewrite_also_inside_versions() -> None:
    newer = build_messages(
        "test.newer",
        {
            "Attribution": ["1 actor string"],
            "VersionMetadata": ["3 destroyed bool", "4 created_by Attribution"],
            "KeyMetadata": [
                "1 key string",
                "2 versions map<uint64, VersionMetadata>",
                "11 last_updated_by Attribution",
            ],
        },
    )
    written = newer["KeyMetadata"](key="a")
    written.last_updated_by.actor = "me"
    written.versions[1].created_by.actor = "you"
    ours = kv2.parse_key_metadata(written.SerializeToString())
    ours.versions[1].destroyed = True
    ours.current_version = 1
    again = newer["KeyMetadata"].FromString(ours.SerializeToString())
    assert again.last_updated_by.actor == "me"
    assert again.versions[1].created_by.actor == "you"
    assert again.versions[1].destroyed


def test_states_of_a_version() -> None:
    metadata = kv2.KeyMetadata(key="a", current_version=4)
    for number in (1, 2, 3, 4):
        metadata.versions[number].created_time.CopyFrom(kv2.make_timestamp(NOW_NS))
    metadata.versions[1].destroyed = True
    metadata.versions[2].deletion_time.CopyFrom(kv2.make_timestamp(NOW_NS))
    metadata.versions[3].deletion_time.CopyFrom(kv2.make_timestamp(NOW_NS + 1))
    states = [kv2.version_state(metadata, number, NOW_NS).value for number in (0, 1, 2, 3, 4, 5)]
    assert states == ["readable", "destroyed", "deleted", "readable", "readable", "absent"]
    assert 5 not in metadata.versions


def test_times_and_durations_round_trip() -> None:
    assert kv2.timestamp_ns(kv2.make_timestamp(NOW_NS)) == NOW_NS
    for ns in (0, 1, SECOND_NS, -SECOND_NS, -1, -SECOND_NS - 1, 90 * SECOND_NS + 5):
        assert kv2.duration_ns(kv2.make_duration(ns)) == ns


@pytest.mark.parametrize(
    "parse",
    [kv2.parse_key_metadata, kv2.parse_version, kv2.parse_configuration, kv2.parse_upgrade_info],
)
def test_bytes_that_are_no_message_are_refused(parse: object) -> None:
    with pytest.raises(RecordError):
        parse(b"\xff\xff")  # type: ignore[operator]


@pytest.mark.parametrize(
    "path", ["a", "a/b", "тендер/лот-230", "with space/and+plus%25", "x" * 107, "a/" * 20 + "b"]
)
def test_a_name_encrypts_and_decrypts(path: str) -> None:
    codec = new_codec()
    encrypted = codec.encrypt_path(path)
    parents, plain = "", []
    for name in encrypted.split("/"):
        plain.append(codec.decrypt_component(name, parents))
        parents = "/".join(plain)
    assert parents == path


def test_encryption_of_names_is_deterministic_and_depends_on_the_parents() -> None:
    codec = new_codec()
    assert codec.encrypt_path("a/x") == codec.encrypt_path("a/x")
    assert codec.encrypt_path("a/x").split("/")[1] != codec.encrypt_path("b/x").split("/")[1]
    assert codec.encrypt_path("a").split("/")[0] == codec.encrypt_path("a/x").split("/")[0]


def test_a_folders_slash_is_kept() -> None:
    codec = new_codec()
    assert codec.decrypt_component(codec.encrypt_path("a") + "/") == "a/"


def test_names_under_another_key_or_parent_do_not_decrypt() -> None:
    codec = new_codec()
    name = codec.encrypt_path("a/x").split("/")[1]
    with pytest.raises(RecordError):
        codec.decrypt_component(name, "b")
    with pytest.raises(RecordError):
        new_codec().decrypt_component(name, "a")


@pytest.mark.parametrize("name", ["", "0", "!", "5kL5DWkT1Y", "я", "Z" * 5000])
def test_names_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(RecordError):
        new_codec().decrypt_component(name)


def test_a_component_gets_as_long_as_the_file_system_allows() -> None:
    codec = new_codec()
    assert len(codec.encrypt_path("x" * 107)) <= 249 < len(codec.encrypt_path("x" * 108)) + 6


def test_base_62_refuses_other_characters() -> None:
    with pytest.raises(ValueError, match="base 62"):
        from_base62("a-b")


@pytest.mark.parametrize(
    ("path", "cleaned"),
    [("", ""), ("/", ""), ("a//b/", "a/b"), ("/a", "a"), ("//a", "a"), ("./a", "a"), (".", "")],
)
def test_paths_are_cleaned_as_go_does(path: str, cleaned: str) -> None:
    assert clean_path(path) == cleaned


def test_a_prefix_with_a_trailing_slash_means_the_same() -> None:
    key = Secret(os.urandom(32))
    plain, _ = new_path_policy(PREFIX, key, key, NOW_NS)
    slashed, _ = new_path_policy(PREFIX + "/", key, key, NOW_NS)
    a, b = (PathCodec(decode_path_policy(text)) for text in (plain, slashed))
    assert a.encrypt_path("a/b") == b.encrypt_path("a/b")


@pytest.mark.parametrize(
    "data", [b"{}", b"[]", b'{"keys":{},"latest_version":1,"storage_prefix":""}', b'{"keys":1}']
)
def test_a_policy_of_another_shape_is_refused(data: bytes) -> None:
    with pytest.raises(RecordError):
        decode_path_policy(data)


def test_an_old_key_version_still_decrypts_names() -> None:
    old, new = Secret(os.urandom(32)), Secret(os.urandom(32))
    policy, _ = new_path_policy(PREFIX, old, old, NOW_NS)
    parsed = decode_path_policy(policy)
    name = PathCodec(parsed).encrypt_path("a")
    rotated = type(parsed)({1: old, 2: new}, 2, PREFIX)
    codec = PathCodec(rotated)
    assert codec.decrypt_component(name) == "a"
    assert codec.encrypt_path("a") != name


def test_a_bucket_keeps_items_of_unknown_kinds() -> None:
    bucket = identity.Bucket(key="packer/buckets/7")
    foreign = identity_messages.Any(type_url="type.googleapis.com/identity.New", value=b"x")
    bucket.items.append(identity_messages.Item(id="foreign", message=foreign))
    identity.put_entity(bucket, identity.Entity(id="e", name="n", policies=["p"]))
    identity.put_entity(bucket, identity.Entity(id="e", name="n2"))
    identity.put_group(bucket, identity.Group(id="g", name="team"))
    again = identity.decode_bucket(identity.encode_bucket(bucket))
    assert [item.id for item in again.items] == ["foreign", "e", "g"]
    assert again.items[0].message.value == b"x"
    assert [entity.name for entity in identity.entities_of(again)] == ["n2"]
    assert [group.name for group in identity.groups_of(again)] == ["team"]
    assert identity.remove_item(again, "e")
    assert not identity.remove_item(again, "e")
    assert identity.entities_of(again) == []


def test_an_uncompressed_bucket_is_read() -> None:
    bucket = identity.Bucket(key="packer/buckets/7")
    identity.put_entity(bucket, identity.Entity(id="e"))
    again = identity.decode_bucket(bucket.SerializeToString())
    assert [entity.id for entity in identity.entities_of(again)] == ["e"]


@pytest.mark.parametrize("data", [b"\xff\xff", b"Sxx", b"S"])
def test_a_bucket_of_another_shape_is_refused(data: bytes) -> None:
    with pytest.raises(RecordError):
        identity.decode_bucket(data)


def test_an_entity_that_does_not_parse_is_named() -> None:
    bucket = identity.Bucket()
    bad = identity_messages.Any(type_url="type.googleapis.com/identity.Entity", value=b"\xff")
    bucket.items.append(identity_messages.Item(id="e", message=bad))
    with pytest.raises(RecordError, match="entity"):
        identity.entities_of(bucket)
