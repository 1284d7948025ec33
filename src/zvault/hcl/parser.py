"""HCL 1 or JSON text to values.

What lives here: ``parse``. Pure. Invariant: bad text is an HclError with line and column, whatever
it is; two stanzas of one name stay two stanzas.
"""

import json
from collections.abc import Iterator
from typing import Any

from zvault.hcl.errors import HclError
from zvault.hcl.scanner import Lexeme, Scanner, Token
from zvault.hcl.values import Item, Object, Value

_MAX_DEPTH = 100


def parse(text: str) -> Object:
    """The document. Text whose first character is ``{`` is JSON. Raises HclError."""
    if text.lstrip().startswith("{"):
        return _parse_json(text)
    return _Parser(Scanner(text).lexemes()).document()


class _Parser:
    """Recursive descent with one token of look-ahead."""

    def __init__(self, lexemes: Iterator[Lexeme]) -> None:
        self._lexemes = lexemes
        self._current = next(lexemes)
        self._depth = 0

    def document(self) -> Object:
        return self._items(Token.END)

    def _take(self) -> Lexeme:
        taken = self._current
        if taken.token is not Token.END:
            self._current = next(self._lexemes)
        return taken

    def _at(self, token: Token) -> bool:
        return self._current.token is token

    def _unexpected(self, expected: str) -> HclError:
        found = self._current
        return HclError(f"expected {expected}, found {found.token.value}", found.line, found.column)

    def _unclosed(self) -> HclError:
        """In the words of real Vault's parser, which counts the end as one column further."""
        place = self._current
        text = "object expected closing RBRACE got: EOF"
        return HclError(text, place.line, place.column + 1)

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            place = self._current
            raise HclError(f"nested deeper than {_MAX_DEPTH} levels", place.line, place.column)

    def _items(self, closing: Token) -> Object:
        self._enter()
        items = []
        while not self._at(closing):
            if self._at(Token.END):
                raise self._unclosed()
            items.append(self._item())
            if self._at(Token.COMMA):
                self._take()
        self._take()
        self._depth -= 1
        return Object(tuple(items))

    def _item(self) -> Item:
        first = self._current
        keys: list[str] = []
        while self._current.token in (Token.IDENTIFIER, Token.STRING):
            keys.append(str(self._take().value))
            if len(keys) > _MAX_DEPTH:
                raise HclError(f"more than {_MAX_DEPTH} labels", first.line, first.column)
        if not keys:
            raise self._unexpected("a key")
        value: Value
        if self._current.token is Token.LEFT_BRACE:
            self._take()
            value = self._items(Token.RIGHT_BRACE)
        elif self._current.token is Token.ASSIGN and len(keys) == 1:
            self._take()
            value = self._value()
        else:
            raise self._unexpected("'=' or '{'" if len(keys) == 1 else "'{'")
        return Item(keys[0], tuple(keys[1:]), value, first.line, first.column)

    def _value(self) -> Value:
        token = self._current.token
        if token in (Token.STRING, Token.NUMBER, Token.BOOL):
            return self._take().value
        if token is Token.LEFT_BRACE:
            self._take()
            return self._items(Token.RIGHT_BRACE)
        if token is Token.LEFT_BRACKET:
            return self._list()
        raise self._unexpected("a value")

    def _list(self) -> tuple[Value, ...]:
        self._enter()
        self._take()
        elements: list[Value] = []
        while not self._at(Token.RIGHT_BRACKET):
            elements.append(self._value())
            if self._at(Token.COMMA):
                self._take()
            elif not self._at(Token.RIGHT_BRACKET):
                raise self._unexpected("',' or ']'")
        self._take()
        self._depth -= 1
        return tuple(elements)


def _parse_json(text: str) -> Object:
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise HclError("not valid JSON", error.lineno, error.colno) from None
    except (RecursionError, ValueError):
        raise HclError("not valid JSON: nested too deep, or a number out of range") from None
    if not isinstance(value, Object):
        raise HclError("not a JSON object")
    _check_depth(value)
    return value


def _check_depth(document: Object) -> None:
    """Without recursion, because the text may have been written to exhaust it."""
    level: list[Value] = [document]
    for _ in range(_MAX_DEPTH):
        level = [inner for value in level for inner in _children(value)]
        if not level:
            return
    raise HclError(f"nested deeper than {_MAX_DEPTH} levels")


def _children(value: Value) -> tuple[Value, ...]:
    if isinstance(value, Object):
        return tuple(item.value for item in value.items)
    return value if isinstance(value, tuple) else ()


def _object(pairs: list[tuple[str, Any]]) -> Object:
    return Object(tuple(Item(key, (), _value_of_json(value)) for key, value in pairs))


def _value_of_json(value: Any) -> Value:
    if isinstance(value, list):
        return tuple(_value_of_json(element) for element in value)
    assert value is None or isinstance(value, str | int | float | Object)
    return value


def _refuse_constant(_: str) -> None:
    raise ValueError
