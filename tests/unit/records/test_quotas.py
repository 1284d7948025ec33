"""Rules as OpenBao 2.6.2 stored them are read and written back byte for byte."""

import pytest

from zvault.records.errors import RecordError
from zvault.records.quotas import (
    decode_config,
    decode_rate_limit,
    encode_config,
    encode_rate_limit,
)

STORED = (
    b'{"id":"f2489d7b-6b77-4f6c-81fc-e25a1d6c5b50","type":"rate-limit","name":"a",'
    b'"namespace_path":"","mount_path":"","role":"","path_suffix":"","rate":1000.5,'
    b'"interval":1000000000,"block_interval":0,"inheritable":true}\n',
    b'{"id":"2cd5ba9f-aa0f-2012-3492-99397f94b349","type":"rate-limit","name":"g",'
    b'"namespace_path":"root","mount_path":"auth/approle/","role":"web","path_suffix":"",'
    b'"rate":1000,"interval":60000000000,"block_interval":30000000000,"inheritable":false}\n',
)
CONFIG = (
    b'{"enable_rate_limit_audit_logging":false,"enable_rate_limit_response_headers":true,'
    b'"rate_limit_exempt_paths":["kv2/data/ex"]}\n'
)


@pytest.mark.parametrize("stored", STORED)
def test_a_stored_rule_comes_back_byte_for_byte(stored: bytes) -> None:
    assert encode_rate_limit(decode_rate_limit(stored)) == stored


def test_the_configuration_comes_back_byte_for_byte() -> None:
    assert encode_config(decode_config(CONFIG)) == CONFIG


def test_what_a_newer_server_adds_is_kept() -> None:
    newer = STORED[0].replace(b'"inheritable":true', b'"inheritable":true,"later":[1]')
    assert encode_rate_limit(decode_rate_limit(newer)) == newer


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"1000.5", b'"many"'),
        (b"1000.5", b"-1"),
        (b"1000.5", b"true"),
        (b'"interval":1000000000', b'"interval":0'),
        (b'"interval":1000000000', b'"interval":"1s"'),
        (b'"role":""', b'"role":5'),
        (b'"name":"a"', b'"name":""'),
    ],
)
def test_a_rule_that_says_nothing_sensible_is_an_error(old: bytes, new: bytes) -> None:
    with pytest.raises(RecordError):
        decode_rate_limit(STORED[0].replace(old, new))
