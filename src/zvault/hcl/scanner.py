"""HCL 1 text to tokens.

What lives here: comments, strings with escapes, heredocs, numbers, identifiers. Pure.
Invariant: never another exception than HclError, linear time, no value in a message.
Source: behaviour of HCL 1 as Vault uses it (``docs/formats/hcl.md``); ``${…}`` stays literal.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from zvault.hcl.errors import HclError


class Token(Enum):
    """Kinds of token; the value is how an error names them."""

    IDENTIFIER = "an identifier"
    STRING = "a string"
    NUMBER = "a number"
    BOOL = "a boolean"
    LEFT_BRACE = "'{'"
    RIGHT_BRACE = "'}'"
    LEFT_BRACKET = "'['"
    RIGHT_BRACKET = "']'"
    ASSIGN = "'='"
    COMMA = "','"
    END = "the end of the text"


@dataclass(frozen=True, slots=True)
class Lexeme:
    """A token with its value and place."""

    token: Token
    value: str | int | float | bool
    line: int
    column: int


_PUNCTUATION = {
    "{": Token.LEFT_BRACE,
    "}": Token.RIGHT_BRACE,
    "[": Token.LEFT_BRACKET,
    "]": Token.RIGHT_BRACKET,
    "=": Token.ASSIGN,
    ",": Token.COMMA,
}
_SPACE = re.compile(r"(?:[ \t\r\n\ufeff]+|#[^\n]*|//[^\n]*)+")
_IDENTIFIER = re.compile(r"[^\W\d][\w.\-]*")
_NUMBER = re.compile(
    r"-?(?:(?P<hex>0[xX][0-9a-fA-F]+)|(?P<float>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+)"
    r"|(?P<integer>\d+))(?![\w.])"
)
_HEREDOC = re.compile(r"<<(?P<indented>-?)(?P<marker>\w+)[ \t\r]*\n")
_STRING_RUN = re.compile(r'[^"\\\n${}]+')
_SIMPLE_ESCAPES = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    '"': '"',
}
_NUMERIC_ESCAPE = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})")
_MAX_NUMBER_CHARACTERS = 400


class Scanner:
    """Walks over one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._line = 1
        self._line_start = 0

    def lexemes(self) -> Iterator[Lexeme]:
        """All tokens, the last one END. Raises HclError."""
        while True:
            self._skip_space()
            line, column = self._line, self._position - self._line_start + 1
            if self._position >= len(self._text):
                yield Lexeme(Token.END, "", line, column)
                return
            token, value = self._next()
            yield Lexeme(token, value, line, column)

    def _error(self, problem: str) -> HclError:
        return HclError(problem, self._line, self._position - self._line_start + 1)

    def _advance(self, end: int) -> str:
        """Consume up to ``end`` and keep count of lines."""
        piece = self._text[self._position : end]
        lines = piece.count("\n")
        if lines:
            self._line += lines
            self._line_start = self._position + piece.rindex("\n") + 1
        self._position = end
        return piece

    def _skip_space(self) -> None:
        while True:
            match = _SPACE.match(self._text, self._position)
            if match:
                self._advance(match.end())
            if not self._text.startswith("/*", self._position):
                return
            end = self._text.find("*/", self._position + 2)
            if end < 0:
                raise self._error("comment not terminated")
            self._advance(end + 2)

    def _next(self) -> tuple[Token, str | int | float | bool]:
        character = self._text[self._position]
        if character in _PUNCTUATION:
            self._advance(self._position + 1)
            return _PUNCTUATION[character], character
        if character == '"':
            return Token.STRING, self._string()
        if character == "<":
            return Token.STRING, self._heredoc()
        match = _IDENTIFIER.match(self._text, self._position)
        if match:
            word = self._advance(match.end())
            return (
                (Token.BOOL, word == "true")
                if word in ("true", "false")
                else (
                    Token.IDENTIFIER,
                    word,
                )
            )
        if character.isdigit() or character in "-.":
            return Token.NUMBER, self._number()
        raise self._error("illegal character")

    def _number(self) -> int | float:
        match = _NUMBER.match(self._text, self._position)
        if match is None or match.end() - match.start() > _MAX_NUMBER_CHARACTERS:
            raise self._error("not a number")
        text = self._advance(match.end())
        try:
            if match["float"]:
                return float(text)
            if match["hex"]:
                return int(text, 16)
            digits = match["integer"]
            is_octal = len(digits) > 1 and digits.startswith("0")
            return int(text, 8 if is_octal else 10)
        except ValueError:
            raise self._error("not a number") from None

    def _string(self) -> str:
        """A quoted string. Inside ``${ }`` quotes and line ends belong to the text."""
        self._advance(self._position + 1)
        parts: list[str] = []
        depth = 0
        after_dollar = False
        while True:
            match = _STRING_RUN.match(self._text, self._position)
            if match:
                parts.append(self._advance(match.end()))
                after_dollar = False
            character = self._text[self._position : self._position + 1]
            if character == "" or (character == "\n" and depth == 0):
                raise self._error("string not terminated")
            if character == '"' and depth == 0:
                self._advance(self._position + 1)
                return "".join(parts)
            if character == "\\":
                parts.append(self._escape(keep=depth > 0))
                after_dollar = False
                continue
            if character == "{":
                depth += depth > 0 or after_dollar
            elif character == "}" and depth:
                depth -= 1
            after_dollar = character == "$"
            parts.append(self._advance(self._position + 1))

    def _escape(self, *, keep: bool) -> str:
        """One backslash sequence, decoded, or as it stands (``keep``: inside ``${ }``)."""
        following = self._text[self._position + 1 : self._position + 2]
        if following in _SIMPLE_ESCAPES and following:
            sequence = self._advance(self._position + 2)
            return sequence if keep else _SIMPLE_ESCAPES[following]
        match = _NUMERIC_ESCAPE.match(self._text, self._position + 1)
        if match is None:
            raise self._error("unknown escape sequence")
        base = 8 if match[4] else 16
        code = int(match[1] or match[2] or match[3] or match[4], base)
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise self._error("escape sequence is no character")
        sequence = self._advance(match.end())
        return sequence if keep else chr(code)

    def _heredoc(self) -> str:
        match = _HEREDOC.match(self._text, self._position)
        if match is None:
            raise self._error("heredoc needs a marker and a new line")
        closing = re.compile(rf"^(?P<indent>[ \t]*){match['marker']}[ \t]*\r?$", re.MULTILINE)
        end = closing.search(self._text, match.end())
        if end is None:
            raise self._error("heredoc not terminated")
        content = self._text[match.end() : end.start()]
        self._advance(end.end())
        return _unindented(content, end["indent"]) if match["indented"] else content


def _unindented(content: str, indent: str) -> str:
    """Cut the closing marker's indentation off every line, if every line has it."""
    lines = content.splitlines(keepends=True)
    if indent and all(line.startswith(indent) for line in lines):
        return "".join(line[len(indent) :] for line in lines)
    return content
