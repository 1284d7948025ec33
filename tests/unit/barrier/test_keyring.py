"""The keyring's JSON, its active term, rotation and counting."""

import base64
import json
from typing import Any

import pytest

from zvault.barrier.errors import UnreadableEntryError
from zvault.barrier.keyring import (
    MAX_OPERATIONS,
    DataKey,
    Keyring,
    RotationConfig,
    decode_keyring,
)
from zvault.base.gotime import SECOND_NS, ZERO_NS
from zvault.base.secret import Secret

DAY_NS = 24 * 3600 * SECOND_NS
NOW_NS = 1_795_290_926_972_583_623


def stored(**changes: Any) -> bytes:
    body: dict[str, Any] = {
        "MasterKey": base64.b64encode(b"r" * 32).decode(),
        "Keys": [
            {
                "Term": 2,
                "Version": 1,
                "Value": base64.b64encode(b"b" * 32).decode(),
                "InstallTime": "2026-11-21T19:55:26.972583623Z",
                "encryptions": 7,
            },
            {
                "Term": 1,
                "Version": 1,
                "Value": base64.b64encode(b"a" * 32).decode(),
                "InstallTime": "0001-01-01T00:00:00Z",
            },
        ],
        "RotationConfig": {"Disabled": False, "MaxOperations": 3865470566, "Interval": 0},
    }
    return json.dumps(body | changes).encode()


def test_the_active_term_is_the_highest_whatever_the_order() -> None:
    keyring = decode_keyring(stored())
    assert [key.term for key in keyring.keys] == [1, 2]
    assert keyring.active.value == Secret(b"b" * 32)
    assert keyring.active.install_time_ns == NOW_NS
    assert keyring.active.encryptions == 7
    assert keyring.keys[0].install_time_ns == ZERO_NS


def test_what_is_written_is_read_back_and_has_gos_names() -> None:
    keyring = decode_keyring(stored())
    assert decode_keyring(keyring.encode()) == keyring
    body = json.loads(keyring.encode())
    assert list(body) == ["MasterKey", "Keys", "RotationConfig"]
    assert body["Keys"][1]["encryptions"] == 7
    assert "encryptions" not in body["Keys"][0]


def test_fields_nobody_here_knows_are_kept() -> None:
    body = json.loads(stored(NewField=[1]))
    body["Keys"][0]["NewerField"] = {"a": 1}
    again = json.loads(decode_keyring(json.dumps(body).encode()).encode())
    assert again["NewField"] == [1]
    assert again["Keys"][1]["NewerField"] == {"a": 1}


def test_rotation_adds_the_next_term_and_resets_older_counts() -> None:
    rotated = decode_keyring(stored()).rotated(Secret(b"c" * 32), NOW_NS)
    assert [key.term for key in rotated.keys] == [1, 2, 3]
    assert [key.encryptions for key in rotated.keys] == [0, 0, 0]
    assert rotated.active.install_time_ns == NOW_NS


def test_counting_touches_only_the_active_key() -> None:
    counted = decode_keyring(stored()).counted(5)
    assert [key.encryptions for key in counted.keys] == [0, 12]


def test_a_keyring_without_rotation_settings_gets_the_limits() -> None:
    assert decode_keyring(stored(RotationConfig=None)).rotation == RotationConfig()
    low = {"Disabled": False, "MaxOperations": 5, "Interval": 1}
    rotation = decode_keyring(stored(RotationConfig=low)).rotation
    assert (rotation.max_operations, rotation.interval_ns) == (1_000_000, DAY_NS)
    high = {"Disabled": True, "MaxOperations": 2**40, "Interval": 0}
    assert decode_keyring(stored(RotationConfig=high)).rotation.max_operations == MAX_OPERATIONS


@pytest.mark.parametrize(
    ("age_days", "encryptions", "rotation", "due"),
    [
        (366, 0, RotationConfig(), True),
        (364, 0, RotationConfig(), False),
        (366, 1, RotationConfig(), False),
        (0, MAX_OPERATIONS + 1, RotationConfig(), True),
        (0, MAX_OPERATIONS, RotationConfig(), False),
        (3, 1, RotationConfig(interval_ns=2 * DAY_NS), True),
        (1, 1, RotationConfig(interval_ns=2 * DAY_NS), False),
        (9999, MAX_OPERATIONS + 1, RotationConfig(disabled=True), False),
    ],
)
def test_rotation_is_due_as_vault_sees_it(
    age_days: int, encryptions: int, rotation: RotationConfig, due: bool
) -> None:
    key = DataKey(1, Secret(b"a" * 32), NOW_NS)
    keyring = Keyring(Secret(b"r" * 32), (key,), rotation)
    assert keyring.rotation_due(NOW_NS + age_days * DAY_NS, encryptions) is due


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        stored(Keys=[]),
        stored(Keys=None),
        stored(Keys=[{"Term": 1}]),
        stored(MasterKey="!"),
        stored(MasterKey=None),
        stored(Keys=2 * json.loads(stored())["Keys"]),
    ],
)
def test_anything_else_is_refused_without_a_value(data: bytes) -> None:
    with pytest.raises(UnreadableEntryError) as caught:
        decode_keyring(data)
    assert caught.value.key == "core/keyring"


def test_no_key_shows_in_a_repr() -> None:
    shown = repr(decode_keyring(stored(NewField="s3cr3t")))
    for key in (b"r", b"a", b"b"):
        assert base64.b64encode(key * 32).decode() not in shown
        assert (key * 32).decode() not in shown
    assert "s3cr3t" not in shown
