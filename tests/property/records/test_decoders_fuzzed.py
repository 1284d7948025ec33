"""Any bytes are a value or a typed error: every reader of what lies in a store or comes in a file.

The readers are looked up by their names, so a new ``decode_…`` is in here the day it is written.
Besides noise each gets what it would have written itself, bent: fields of other types, missing,
deep, cut off, bytes flipped, compressed.
"""

import base64
import contextlib
import importlib
import inspect
import json
import os
import pkgutil
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import zvault.barrier
import zvault.records
import zvault.storage
from zvault.barrier import keyring, record, seal
from zvault.base.errors import ZvaultError
from zvault.base.secret import Secret
from zvault.crypto.aead import new_aead
from zvault.hcl.errors import HclError
from zvault.hcl.parser import parse
from zvault.records import compress, gojson, ssc
from zvault.records.errors import RecordError

Reader = Callable[[bytes], Any]
EXAMPLES = 25
MANY = 1_000
NOISE = st.binary(max_size=120)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(["2024-01-01T00:00:00Z", "9999-99-99T00:00:00Z", "QUJD", "-1", "1h", "\x00"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


def named_readers(package: Any, *prefixes: str) -> dict[str, Reader]:
    """Functions of one ``bytes`` by their dotted names."""
    found: dict[str, Reader] = {}
    for module_info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{module_info.name}")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ != module.__name__ or not name.startswith(prefixes):
                continue
            parameters = list(inspect.signature(function).parameters.values())
            required = [p for p in parameters if p.default is p.empty]
            if required and "bytes" in str(required[0].annotation) and len(required) == 1:
                found[f"{module.__name__.removeprefix('zvault.')}.{name}"] = function
    return found


RECORDS = named_readers(zvault.records, "decode_", "parse_")
OTHERS = {
    **named_readers(zvault.barrier, "decode_"),
    **named_readers(zvault.storage, "decode_"),
    "barrier.seal.open_stored_keys": lambda data: seal.open_stored_keys(data, Secret(bytes(32))),
    "barrier.seal.unwrap_value": lambda data: seal.unwrap_value("core/x", data),
    "barrier.record.open_record": lambda data: record.open_record(
        {1: new_aead(bytes(32))}, "core/x", data
    ),
}
READERS = {**RECORDS, **OTHERS}


def field_names(source: str) -> list[str]:
    """Words a module writes in quotes: the fields of its records are among them."""
    words = {word for word in source.replace('"', "\n").split("\n") if word.isidentifier()}
    return sorted(words)


def fields_of(reader: Reader) -> st.SearchStrategy[bytes]:
    """JSON objects that look like the reader's, some of them compressed."""
    names = field_names(inspect.getsource(inspect.getmodule(reader) or seal))
    bodies = st.dictionaries(st.sampled_from([*names, "x"]), VALUES, max_size=6)
    texts = bodies.map(lambda body: json.dumps(body).encode())
    return texts | texts.map(compress.gzipped) | texts.map(compress.snappy_framed)


def harmless(name: str, data: bytes) -> None:
    """The reader takes the bytes or says what is wrong, as what it promised to raise."""
    allowed: type[Exception] = RecordError if name in RECORDS else ZvaultError
    if name.startswith("storage."):
        allowed = ValueError  # whoever reads the file knows its key and makes it a StorageError
    with contextlib.suppress(allowed):
        READERS[name](data)


def test_every_reader_is_found() -> None:
    assert len(RECORDS) >= 26, sorted(RECORDS)
    for name in ("records.tokens.decode_token", "records.kv2.parse_version"):
        assert name in RECORDS
    for name in ("barrier.keyring.decode_keyring", "storage.file_log_format.decode_segment"):
        assert name in OTHERS


def run(name: str, examples: int) -> None:
    relaxed = settings(
        deadline=None, max_examples=examples, suppress_health_check=list(HealthCheck), database=None
    )

    @relaxed
    @given(st.data())
    def fuzzed(data: st.DataObject) -> None:
        body = data.draw(NOISE | fields_of(READERS[name]))
        if data.draw(st.booleans()):
            changed = bytearray(body)
            for _ in range(data.draw(st.integers(0, 3)) if changed else 0):
                changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(
                    st.integers(0, 255)
                )
            body = bytes(changed[: data.draw(st.integers(0, len(changed)))])
        harmless(name, body)

    fuzzed()


@pytest.mark.parametrize("name", sorted(READERS))
def test_any_bytes_are_a_value_or_a_typed_error(name: str) -> None:
    run(name, EXAMPLES)


@pytest.mark.soak
@pytest.mark.parametrize("name", sorted(READERS))
def test_many_bytes_are_a_value_or_a_typed_error(name: str) -> None:
    run(name, MANY)


AWKWARD = [
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"a":' + b"[" * 700 + b"]" * 700 + b"}",
    b'{"\xff":' + b"[" * 700 + b"]" * 700 + b"}",
    b'{"\xff":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"a":' + b"9" * 100_000 + b"}",
    b'{"a":1e999999999}',
    b'{"Keys":1e400,"Term":1e400,"MasterKey":1e400,"secret_shares":1e400}',
    b'{"secret_shares":1e308,"secret_threshold":1e308}',
    b'{"MasterKey":"QQ==","Keys":[{"Term":1e308,"Value":"QQ=="}]}',
    b'{"MasterKey":"QQ==","Keys":[{"Term":-1,"Value":"QQ==","Version":1e300}]}',
    b'{"MasterKey":"QQ==","Keys":[{"Term":1,"Value":"QQ==","InstallTime":"0000-00-00T99:99:99Z"}]}',
    b'{"MasterKey":"QQ==","Keys":[null]}',
    b'{"MasterKey":"QQ==","Keys":[["Term"]]}',
    b"null",
    b"[]",
    b'"x"',
    b"\xef\xbb\xbf{}",
    b"\x00" * 5,
    b"G",
    b"L" + b"\xff" * 50,
    b"S\xff\x06\x00\x00sNaPpY\x00\xff\xff\xff",
    b"4\x04\x22\x4d\x18\x64\x40\xa7" + b"\xff" * 8,
    b"4\x04\x22\x4d\x18",
]


@pytest.mark.parametrize("name", sorted(READERS))
def test_awkward_bytes_are_a_value_or_a_typed_error(name: str) -> None:
    for body in AWKWARD:
        harmless(name, body)


@pytest.mark.parametrize("text", ["Keys", "Term", "MasterKey", "RotationConfig", "InstallTime"])
@given(value=VALUES)
@settings(deadline=None, max_examples=EXAMPLES)
def test_a_keyring_with_a_bent_field_is_a_typed_error(text: str, value: Any) -> None:
    key = {"Term": 1, "Version": 1, "Value": base64.b64encode(bytes(32)).decode()}
    body: dict[str, Any] = {"MasterKey": key["Value"], "Keys": [key], "RotationConfig": None}
    (key if text in ("Term", "InstallTime") else body)[text] = value
    with contextlib.suppress(ZvaultError):
        keyring.decode_keyring(gojson.dumps(body))


@given(st.text(max_size=60), st.binary(max_size=32))
@settings(deadline=None, max_examples=4 * EXAMPLES)
def test_no_token_text_is_more_than_a_record_error(text: str, key: bytes) -> None:
    for token in (text, "hvs." + text, "hvs." + base64.urlsafe_b64encode(text.encode()).decode()):
        with contextlib.suppress(RecordError):
            ssc.decode(token, key or os.urandom(32))


PUNCTUATION = ["}", "{", "[", "]", "=", ",", '"', "${", "/*", "*/", "#", "//", "\n", "\\", "-", "."]
ESCAPES = ["\\u12", "\\U0010ffff", "\\400", "\ufeff", "\x00", "\ud800", "\u0663"]
OTHER_PIECES = [
    'path "a" {',
    "<<E\n",
    "\nE\n",
    "<<-E\n",
    "0x",
    "1e9",
    "1e999",
    "true",
    '["x"]',
    "a.b-c",
]
HCL_PIECES = st.sampled_from([*PUNCTUATION, *ESCAPES, *OTHER_PIECES])


def hcl_is_harmless(text: str) -> None:
    with contextlib.suppress(HclError):
        parse(text).to_python()


@given(st.lists(HCL_PIECES, max_size=25).map("".join))
@settings(deadline=None, max_examples=8 * EXAMPLES)
def test_any_hcl_is_a_document_or_an_hcl_error(text: str) -> None:
    hcl_is_harmless(text)


@pytest.mark.soak
@given(st.lists(HCL_PIECES, max_size=60).map("".join))
@settings(deadline=None, max_examples=10 * MANY)
def test_much_hcl_is_a_document_or_an_hcl_error(text: str) -> None:
    hcl_is_harmless(text)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 50_000,
        "a = " + "[" * 50_000,
        "a {" * 50_000,
        '{"a":' * 50_000,
        "/*" * 50_000,
        "a=<<A\n" * 20_000,
        'a = "' + "${" * 50_000,
        "a = " + "9" * 100_000,
        '{"a":' + "9" * 5_000 + "}",
        "a=1\n" * 10_000,
        '"a" ' * 50_000 + "{}",
        "#" * 100_000,
    ],
    ids=lambda text: text[:12],
)
def test_large_hcl_is_a_document_or_an_hcl_error(text: str) -> None:
    hcl_is_harmless(text)
