"""Options that several commands share, as one parameter.

What lives here: the decorator that gives a command each field of such a parameter as an option of
its own. What never does: an option (they stand in the dataclasses that are groups).
Invariant: what a group holds is declared once, so two commands cannot differ in it.
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

Command = Callable[..., None]


def grouped(command: Command) -> Command:
    """A command for typer whose dataclass parameters are their fields.

    The fields of a group carry typer's ``Annotated`` options and have defaults; on the command line
    they stand where the group stands in the function.
    """
    hints = get_type_hints(command, include_extras=True)
    parameters: list[inspect.Parameter] = []
    groups: dict[str, type[Any]] = {}
    for name, parameter in inspect.signature(command).parameters.items():
        kind = hints[name]
        if isinstance(kind, type) and is_dataclass(kind):
            groups[name] = kind
            parameters += _parameters(kind)
        else:
            parameters.append(_keyword(name, parameter.default, kind))

    @functools.wraps(command)
    def expanded(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        command(**given)

    expanded.__dict__["__signature__"] = inspect.Signature(parameters)
    expanded.__annotations__ = {one.name: one.annotation for one in parameters}
    return expanded


def _parameters(group: type[Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [_keyword(field.name, field.default, hints[field.name]) for field in fields(group)]


def _keyword(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)
