"""Every token of HCL 1, and every way to get one wrong."""

import pytest

from zvault.hcl.errors import HclError
from zvault.hcl.parser import parse


def value(text: str) -> object:
    return parse(f"x = {text}").to_python()["x"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1),
        ("-17", -17),
        ("0x1F", 31),
        ("010", 8),
        ("0", 0),
        ("1.5", 1.5),
        ("1.5e3", 1500.0),
        ("1e3", 1000.0),
        ("-0.25", -0.25),
        ("true", True),
        ("false", False),
        ('""', ""),
        ('"a b"', "a b"),
        (r'"\n\t\r\\\"\a\b\f\v"', '\n\t\r\\"\a\b\f\v'),
        (r'"\u00e9\U0001F600\x41\101"', "é😀AA"),
        ('"пароль"', "пароль"),
        ('"${var.a}"', "${var.a}"),
        ('"a ${f("b")} c"', 'a ${f("b")} c'),
        ('"${a{b}c}"', "${a{b}c}"),
        ('"$100 {x}"', "$100 {x}"),
        ('[]', []),
        ('[1, "b", true, [2], ]', [1, "b", True, [2]]),
        ('{ a = 1 }', {"a": 1}),
    ],
)  # fmt: skip
def test_a_value_is_read(text: str, expected: object) -> None:
    result = value(text)
    assert result == expected
    assert type(result) is type(expected)


def test_a_heredoc_keeps_its_lines() -> None:
    assert value('<<EOF\n one\n\n  "two" ${x}\nEOF\n') == ' one\n\n  "two" ${x}\n'
    assert value("<<EOF\nEOF\n") == ""


def test_an_indented_heredoc_loses_the_indentation_of_its_end() -> None:
    assert value("<<-EOF\n    one\n      two\n    EOF\n") == "one\n  two\n"
    assert value("<<-EOF\n  less\n    more\n    EOF\n") == "  less\n    more\n"


def test_a_marker_inside_a_line_does_not_end_a_heredoc() -> None:
    assert value("<<EOF\nnot EOF\nEOFX\nEOF\n") == "not EOF\nEOFX\n"


def test_comments_are_passed_over_and_not_found_in_strings() -> None:
    text = '# a\n// b\n/* c\n "d" = */ x /* e */ = /**/ "# no // comment /* at all" # end'
    assert parse(text).to_python() == {"x": "# no // comment /* at all"}


@pytest.mark.parametrize(
    ("text", "line", "column", "problem"),
    [
        ('x = "abc', 1, 9, "string not terminated"),
        ('x = "abc\ny = 1"', 1, 9, "string not terminated"),
        ('a = 1\nx = "\\q"', 2, 6, "unknown escape"),
        ('x = "\\ud800"', 1, 6, "no character"),
        ("x = 1 /* never", 1, 7, "comment not terminated"),
        ("x = <<EOF\nabc\n", 1, 5, "heredoc not terminated"),
        ("x = <<\nabc\n", 1, 5, "heredoc needs a marker"),
        ("x = 12h", 1, 5, "not a number"),
        ("x = 08", 1, 7, "not a number"),
        ("x = ;", 1, 5, "illegal character"),
        ("x = \0", 1, 5, "illegal character"),
        ("x = - 1", 1, 5, "not a number"),
    ],
)
def test_a_wrong_token_is_named_with_its_place(
    text: str, line: int, column: int, problem: str
) -> None:
    with pytest.raises(HclError, match=problem) as caught:
        parse(text)
    assert (caught.value.line, caught.value.column) == (line, column)
