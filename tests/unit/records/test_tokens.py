"""Token entries of all ages."""

import json
from typing import Any

import pytest

from zvault.base.gotime import ZERO_NS
from zvault.records import leases, ssc, tokens
from zvault.records.errors import RecordError
from zvault.records.tokens import TokenEntry, decode_token, encode_token, parent_key, salt_id

HEADER_KEY = b"11111111-2222-3333-4444-555555555555"
INNER = "hvs.abcdefghijklmnopqrstuvwx"


def old(**fields: Any) -> TokenEntry:
    return decode_token(json.dumps({"id": "x", **fields}).encode())


@pytest.mark.parametrize(
    ("stored", "expected"),
    [(0, 1), (1, 1), (2, 2), (None, 1), ("", 1), ("default", 1), ("service", 1), ("batch", 2)],
)
def test_the_type_is_a_number_whatever_was_stored(stored: Any, expected: int) -> None:
    assert old(type=stored).type == expected


def test_deprecated_twins_are_folded_in_and_written_empty() -> None:
    entry = old(DisplayName="d", NumUses=3, CreationTime=100, ExplicitMaxTTL=7, num_uses=5)
    assert (entry.display_name, entry.num_uses, entry.creation_time) == ("d", 3, 100)
    assert entry.explicit_max_ttl_ns == 7
    body = json.loads(encode_token(entry))
    assert [body[n] for n in ("DisplayName", "NumUses", "CreationTime", "ExplicitMaxTTL")] == [
        "",
        0,
        0,
        0,
    ]
    assert body["display_name"] == "d"


def test_the_larger_twin_does_not_loosen_a_limit() -> None:
    entry = old(NumUses=9, num_uses=2, DisplayName="old", display_name="new")
    assert (entry.num_uses, entry.display_name) == (2, "new")


def test_a_missing_namespace_is_root() -> None:
    assert old().namespace_id == old(namespace_id="").namespace_id == "root"


def test_only_exactly_root_is_root() -> None:
    assert old(policies=["root"]).is_root
    assert not old(policies=["default", "root"]).is_root
    assert not old().is_root


def test_the_parent_index_joins_two_salted_ids() -> None:
    assert parent_key(salt_id("s", "a.b"), salt_id("s", "c")) == (
        f"sys/token/parent/{salt_id('s', 'a.b')}/{salt_id('s', 'c')}"
    )


def test_an_accessor_from_before_json_is_the_bare_id() -> None:
    assert tokens.decode_accessor(b"some-token-id").token_id == "some-token-id"


def test_a_lease_id_is_path_and_salted_token() -> None:
    assert leases.lease_id_of_token("auth/token/create", salt_id("s", "a.b")) == (
        f"auth/token/create/{salt_id('s', 'a.b')}"
    )


def test_a_leases_zero_times_mean_never() -> None:
    lease = leases.decode_lease(b'{"lease_id":"a","expire_time":"0001-01-01T00:00:00Z"}')
    assert lease.expire_time_ns == lease.issue_time_ns == ZERO_NS
    assert b'"expire_time":"0001-01-01T00:00:00Z"' in leases.encode_lease(lease)


@pytest.mark.parametrize("auth", [b'"x"', b"[]", b"1"])
def test_a_leases_auth_of_another_shape_is_named(auth: bytes) -> None:
    with pytest.raises(RecordError, match="auth"):
        leases.decode_lease(b'{"auth":' + auth + b"}")


def test_short_ids_pass_through_undecoded() -> None:
    for token_id in (INNER, "s.abc", "root", "hvb.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"):
        assert ssc.decode(token_id) == token_id


@pytest.mark.parametrize("position", range(7, 94))
def test_no_changed_character_of_the_signed_part_goes_unseen(position: int) -> None:
    external = ssc.encode(INNER, HEADER_KEY)
    changed = (
        external[:position] + ("A" if external[position] != "A" else "B") + external[position + 1 :]
    )
    with pytest.raises(RecordError):
        ssc.decode(changed, HEADER_KEY)


def test_an_id_signed_by_another_vault_is_refused() -> None:
    external = ssc.encode(INNER, b"another key")
    assert ssc.decode(external) == INNER
    with pytest.raises(RecordError, match="signature"):
        ssc.decode(external, HEADER_KEY)


@pytest.mark.parametrize("tail", ["A" * 40, "!" * 40, "я" * 40, "CAES" + "_" * 60])
def test_rubbish_in_external_form_is_refused(tail: str) -> None:
    with pytest.raises(RecordError):
        ssc.decode("hvs." + tail)
