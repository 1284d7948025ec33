"""``zvault operator generate-root --decode``: a token out of its pad, nothing secret in argv."""

import json

import pytest

from tests.support.cli import zvault
from zvault.base.secret import Secret
from zvault.crypto.one_time_pad import encode_token


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"encoded_token": 1, "otp": "x"}'])
def test_what_is_no_encoded_token_is_a_usage_error(text: str) -> None:
    assert zvault("operator", "generate-root", "--decode", stdin=text).code == 2


def test_a_new_root_token_comes_out_of_its_pad_by_standard_input() -> None:
    token, otp = "hvs.abcdefghijklmnopqrstuvwx", "0123456789abcdefghijABCDEFGH"
    given = {"encoded_token": encode_token(Secret(token), Secret(otp)), "otp": otp}
    done = zvault("operator", "generate-root", "--decode", stdin=json.dumps(given))
    assert (done.code, done.out) == (0, token + "\n")
