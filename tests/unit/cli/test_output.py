"""What reaches the terminal: any file name, any end of the pipe."""

import json
import os
import sys

import pytest
import typer

from zvault.base.errors import NotFoundError
from zvault.cli.output import emit, progress, reporting_errors

ODD = os.fsdecode(b"core/_\xff\xfe")


def test_a_name_that_is_no_utf_8_is_shown_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"keys": [ODD], ODD: (ODD,)}, as_json=True, lines=[])
    shown = ODD.encode("utf-8", "backslashreplace").decode()
    assert json.loads(capsys.readouterr().out) == {"keys": [shown], shown: [shown]}
    emit({}, as_json=False, lines=[ODD, "x"])
    progress(ODD)
    said = capsys.readouterr()
    assert (said.out, said.err) == (f"{shown}\nx\n", f"{shown}\n")


@pytest.mark.parametrize("as_json", [True, False])
def test_an_error_with_such_a_name_keeps_its_exit_code(
    capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    with pytest.raises(typer.Exit) as caught, reporting_errors(as_json=as_json):
        raise NotFoundError(f"{ODD} is gone", hint="look elsewhere")
    assert caught.value.exit_code == 10
    assert "is gone" in capsys.readouterr().err


@pytest.mark.parametrize("as_json", [True, False])
def test_what_an_unforeseen_error_says_is_not_printed_for_it_could_quote_a_value(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    monkeypatch.delenv("ZVAULT_DEBUG", raising=False)
    with pytest.raises(typer.Exit) as caught, reporting_errors(as_json=as_json):
        raise KeyError("hunter2")
    assert caught.value.exit_code == 1
    said = capsys.readouterr()
    assert "unexpected KeyError" in said.err
    assert "hunter2" not in said.out + said.err


def test_no_lines_print_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    emit({}, as_json=False, lines=[])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_closed_pipe_is_no_defect_and_no_success(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        monkeypatch.setattr(sys, name, stream)
        if name == "stderr":
            progress("nobody hears this")
            progress("nor this")
        else:
            with pytest.raises(typer.Exit) as caught, reporting_errors():
                emit({"a": 1}, as_json=True, lines=[])
            assert caught.value.exit_code == 141


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (PermissionError(13, "Permission denied", "run/site.json"), "run/site.json: Permission"),
        (OSError(28, "No space left on device"), "the system refused: No space left on device"),
        (OSError(18, "Invalid link", b"a\xff", None, "b"), "and b: Invalid link"),
        (TimeoutError(), "the system refused: TimeoutError"),
    ],
)
def test_what_the_system_refuses_is_one_sentence_and_no_defect(
    capsys: pytest.CaptureFixture[str], error: OSError, sentence: str
) -> None:
    with pytest.raises(typer.Exit) as caught, reporting_errors():
        raise error
    assert caught.value.exit_code == 8
    said = capsys.readouterr().err
    assert sentence in said
    assert "Traceback" not in said
    assert "hint: " in said


def test_standard_output_holds_one_json_object_also_when_the_result_is_bad_news(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def find_it_gone() -> None:
        with reporting_errors(as_json=True):
            emit({"ok": False}, as_json=True, lines=[])
            raise NotFoundError("it is gone", hint="look elsewhere")

    for _ in range(2):
        with pytest.raises(typer.Exit) as caught:
            find_it_gone()
        assert caught.value.exit_code == 10
        said = capsys.readouterr()
        assert json.loads(said.out) == {"ok": False}
        assert "it is gone" in said.err
    with pytest.raises(typer.Exit), reporting_errors(as_json=True):
        raise NotFoundError("it is gone", hint="look elsewhere")
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "not-found"
