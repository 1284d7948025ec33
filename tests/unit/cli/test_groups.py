"""A group of options is one parameter of the command and several of the command line."""

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from zvault.cli.groups import grouped


@dataclass(frozen=True)
class Place:
    host: Annotated[str, typer.Option("--host", help="Where.")] = "here"
    port: Annotated[int, typer.Option("--port", min=1)] = 80


PLACE = Place()


def program(seen: list[object]) -> typer.Typer:
    app = typer.Typer()

    @app.command()
    @grouped
    def go(
        name: Annotated[str, typer.Argument()],
        place: Place = PLACE,
        loud: Annotated[bool, typer.Option("--loud")] = False,
    ) -> None:
        """Go there."""
        seen.append((name, place, loud))

    return app


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["a"], ("a", Place(), False)),
        (["a", "--port", "7", "--loud"], ("a", Place("here", 7), True)),
        (["--host", "there", "a"], ("a", Place("there", 80), False)),
    ],
)
def test_the_group_holds_what_was_said_and_else_its_defaults(
    arguments: list[str], expected: object
) -> None:
    seen: list[object] = []
    assert CliRunner().invoke(program(seen), arguments).exit_code == 0
    assert seen == [expected]


def test_a_field_is_checked_and_explained_like_any_option() -> None:
    runner = CliRunner()
    assert runner.invoke(program([]), ["a", "--port", "0"]).exit_code == 2
    told = runner.invoke(program([]), ["--help"]).output
    assert "--host" in told
    assert "Where." in told
    assert "Go there." in told
    assert "--place" not in told
