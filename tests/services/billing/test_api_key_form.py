"""The form of API keys: unguessable, checkable without a query, kept only as a keyed hash."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zakupai_billing.api_key import LENGTH, new_key, read_key
from zakupai_common.secret import Secret

PEPPER = Secret("pepper")


def test_a_key_is_read_back_and_tells_nothing_in_a_repr() -> None:
    key = new_key()
    text = key.text().reveal()
    assert len(text) == LENGTH
    assert text.startswith(f"zk_{key.key_id}_")
    assert read_key(text) == key
    assert key.secret.reveal() not in repr(key)


@given(st.integers(0, LENGTH - 1), st.sampled_from(string.ascii_letters + string.digits + "_- "))
def test_a_key_with_one_wrong_character_is_no_key(place: int, character: str) -> None:
    text = new_key().text().reveal()
    wrong = text[:place] + character + text[place + 1 :]
    assert wrong == text or read_key(wrong) is None


@given(st.text(max_size=100))
def test_no_other_text_is_a_key(text: str) -> None:
    assert read_key(text) is None


@pytest.mark.parametrize(
    "spoil", [str.lower, str.upper, lambda key: key + "\n", lambda key: key[1:]]
)
def test_a_key_is_taken_as_it_is_or_not_at_all(spoil: object) -> None:
    assert read_key(spoil(new_key().text().reveal())) is None  # type: ignore[operator]


def test_the_hash_depends_on_pepper_id_and_secret() -> None:
    key, other = new_key(), new_key()
    hashes = {
        key.keyed_hash(PEPPER),
        key.keyed_hash(Secret("another")),
        other.keyed_hash(PEPPER),
        type(key)(other.key_id, key.secret).keyed_hash(PEPPER),
    }
    assert len(hashes) == 4
    assert key.keyed_hash(PEPPER) == type(key)(key.key_id, key.secret).keyed_hash(PEPPER)
