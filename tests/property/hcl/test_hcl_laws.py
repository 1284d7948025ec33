"""HCL: what is written is read again, and no text breaks the parser."""

import contextlib
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from zvault.hcl.errors import HclError
from zvault.hcl.parser import parse

names = st.from_regex(r"[a-z_][a-z0-9_\-]{0,8}", fullmatch=True).filter(
    lambda name: name not in ("true", "false")
)
texts = st.text(st.characters(codec="utf-8", exclude_characters="$"), max_size=20)
scalars = st.one_of(st.booleans(), st.integers(-(2**63), 2**63), texts)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=8,
)
hostile = st.text(
    st.one_of(st.sampled_from('{}[]=,"\\\n #/*<>-$EOF0x1e.'), st.characters()), max_size=60
)


def write(value: Any) -> str:
    """A plain HCL writer."""
    if isinstance(value, dict):
        return "{ " + "\n".join(f"{k} = {write(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(write, value)) + "]"
    if isinstance(value, str):
        escaped = "".join(f"\\U{ord(c):08x}" if c in '"\\\n' else c for c in value)
        return f'"{escaped}"'
    return json.dumps(value)


@given(st.dictionaries(names, values, max_size=4))
def test_written_hcl_is_read_back(document: dict[str, Any]) -> None:
    text = "\n".join(f"{key} = {write(value)}" for key, value in document.items())
    assert parse(text).to_python() == document


@given(st.dictionaries(names, values, min_size=1, max_size=4))
def test_json_is_read_as_json(document: dict[str, Any]) -> None:
    assert parse(json.dumps(document)).to_python() == document


@given(hostile)
def test_any_text_parses_or_is_an_hcl_error(text: str) -> None:
    with contextlib.suppress(HclError):
        parse(text).to_python()


@given(hostile)
def test_any_text_that_looks_like_json_parses_or_is_an_hcl_error(text: str) -> None:
    with contextlib.suppress(HclError):
        parse("{" + text)


@given(st.binary(max_size=80))
def test_any_bytes_read_as_text_parse_or_are_an_hcl_error(data: bytes) -> None:
    with contextlib.suppress(HclError):
        parse(data.decode("utf-8", "surrogateescape"))
