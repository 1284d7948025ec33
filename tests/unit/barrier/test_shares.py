"""Shares as text."""

import pytest

from zvault.barrier.shares import decode_share, encode_share
from zvault.base.secret import Secret
from zvault.crypto.errors import ShareError

SHARE = Secret(bytes(range(33)))


@pytest.mark.parametrize(
    "text", [SHARE.reveal().hex(), encode_share(SHARE), f" {encode_share(SHARE)}\n"]
)
def test_hex_and_base64_are_understood(text: str) -> None:
    assert decode_share(text) == SHARE


@pytest.mark.parametrize("text", ["", "s3cr3t!", "QUJD", "00" * 15, "00" * 34, "Zm9v" * 12])
def test_anything_else_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ShareError) as caught:
        decode_share(text)
    assert not text or text not in str(caught.value)
