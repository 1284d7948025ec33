"""What a Vault answers: read strictly, so that something else is never taken for a Vault."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zvault.base.secret import Secret
from zvault.vaultapi.answers import (
    KvVersion,
    read_health,
    read_kv_version,
    read_login,
    read_seal_status,
)
from zvault.vaultapi.errors import VaultAnswerError

GOOD = {"initialized": True, "sealed": True, "t": 3, "n": 5, "progress": 1, "nonce": "x"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def test_a_status_is_read() -> None:
    status = read_seal_status(GOOD)
    assert (status.sealed, status.threshold, status.shares, status.progress) == (True, 3, 5, 1)


@pytest.mark.parametrize("field", ["initialized", "sealed"])
@pytest.mark.parametrize("value", [None, "true", 0, []])
def test_sealed_is_never_guessed(field: str, value: Any) -> None:
    with pytest.raises(VaultAnswerError):
        read_seal_status(GOOD | {field: value})
    missing = {name: kept for name, kept in GOOD.items() if name != field}
    with pytest.raises(VaultAnswerError):
        read_seal_status(missing)


@pytest.mark.parametrize("value", ["3", None, True, 1.5])
def test_a_threshold_that_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(VaultAnswerError):
        read_seal_status(GOOD | {"t": value})


def test_health_carries_its_status() -> None:
    body = {"initialized": True, "sealed": False, "standby": True, "version": "1"}
    assert read_health(429, body).status == 429
    assert read_health(429, body).standby


def test_a_login_without_a_token_is_none() -> None:
    with pytest.raises(VaultAnswerError):
        read_login({"auth": {"client_token": ""}})
    with pytest.raises(VaultAnswerError):
        read_login({"auth": None})
    login = read_login({"auth": {"client_token": "t", "policies": ["p"], "lease_duration": 5}})
    assert (login.token, login.policies, login.lease_seconds) == (Secret("t"), ("p",), 5)


def test_a_secrets_data_shows_in_no_repr() -> None:
    assert "hunter2" not in repr(KvVersion({"password": "hunter2"}, 1, ""))
    assert "hunter2" not in repr(read_login({"auth": {"client_token": "hunter2"}}))


@given(JSON)
def test_whatever_is_answered_nothing_but_our_error_comes_of_it(answer: Any) -> None:
    for read in (read_seal_status, read_login, read_kv_version, lambda a: read_health(200, a)):
        try:
            read(answer)
        except VaultAnswerError as error:
            assert error.message  # noqa: PT017
