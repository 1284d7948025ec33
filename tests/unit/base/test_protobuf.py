"""Messages from lines of text."""

import pytest

from zvault.base.protobuf import build_messages


def test_scalars_messages_lists_and_maps_round_trip() -> None:
    messages = build_messages(
        "test.builder",
        {
            "Inner": ["1 name string"],
            "Outer": [
                "1 flag bool",
                "2 items repeated Inner",
                "3 by_number map<uint64, Inner>",
                "4 words map<string, string>",
                "400 late int64",
            ],
        },
    )
    outer = messages["Outer"](flag=True, late=-5, items=[messages["Inner"](name="a")])
    outer.by_number[7].name = "seven"
    outer.words["k"] = "v"
    again = messages["Outer"].FromString(outer.SerializeToString())
    assert again == outer
    assert (again.by_number[7].name, again.words["k"], again.late) == ("seven", "v", -5)


@pytest.mark.parametrize("line", ["", "name string", "1 name", "1 name map<string>", "x y z"])
def test_a_line_that_is_no_field_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="not a field"):
        build_messages("test.bad", {"M": [line]})
