"""From a template's text to pieces of text and actions, and from an action to tokens (Go's text/template/parse)."""

from __future__ import annotations

from engine.cli.output import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SPACE = " \t\r\n"
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_MARKS = {"|": "pipe", "(": "open", ")": "close", ",": "comma"}


class Token:
    """A piece of an action. ``glued``: no space before it; ``column``: its place in the line, from 0."""

    __slots__ = ("column", "glued", "kind", "text", "value")

    def __init__(self, kind: str, text: str, column: int, *, glued: bool, value: Any = None) -> None:
        self.kind = kind
        self.text = text
        self.column = column
        self.glued = glued
        self.value = value


class Action:
    """What stands between ``{{`` and ``}}``."""

    __slots__ = ("line", "tokens")
    END: Action

    def __init__(self, tokens: list[Token], line: int) -> None:
        self.tokens = tokens
        self.line = line

    @property
    def keyword(self) -> str:
        return self.tokens[0].text if self.tokens and self.tokens[0].kind == "word" else ""


Action.END = Action([Token("word", "end", 0, glued=False)], 0)


def lex(text: str) -> list[str | Action]:
    """Texts and actions in order; trim marks are applied, comments gone. Raises CommandError."""
    items: list[str | Action] = []
    at, trim_next = 0, False
    while at < len(text):
        start = text.find("{{", at)
        piece = text[at:] if start < 0 else text[at:start]
        if trim_next:
            piece = piece.lstrip(_SPACE)
        if start < 0:
            items.append(piece)
            break
        inside = start + 2
        if text[inside : inside + 1] == "-" and text[inside + 1 : inside + 2] in tuple(_SPACE):
            piece, inside = piece.rstrip(_SPACE), inside + 2
        items.append(piece)
        line = text.count("\n", 0, start) + 1
        tokens, at, trim_next = _lex_action(text, inside, line)
        if tokens:
            items.append(Action(tokens, line))
    return [item for item in items if item != ""]


def _error(line: int, detail: str) -> CommandError:
    return CommandError(f"failed to parse template: template: :{line}: {detail}")


def _lex_action(text: str, at: int, line: int) -> tuple[list[Token], int, bool]:
    """The tokens, the place behind ``}}``, and whether the text that follows is trimmed."""
    tokens: list[Token] = []
    line_start = text.rfind("\n", 0, at) + 1
    glued = False
    while True:
        if text.startswith("}}", at):
            return tokens, at + 2, False
        if text[at : at + 1] in tuple(_SPACE) and text.startswith("-}}", at + 1):
            return tokens, at + 4, True
        if at >= len(text):
            raise _error(line, "unclosed action")
        if text[at] in _SPACE:
            at, glued = at + 1, False
            continue
        if text.startswith("/*", at):
            end = text.find("*/", at)
            if end < 0:
                raise _error(line, "unclosed comment")
            at = end + 2
            continue
        token, at = _lex_token(text, at, line, at - line_start, glued=glued)
        tokens.append(token)
        glued = True


def _lex_token(text: str, at: int, line: int, column: int, *, glued: bool) -> tuple[Token, int]:
    mark = text[at]
    if mark in _MARKS:
        return Token(_MARKS[mark], mark, column, glued=glued), at + 1
    if text.startswith(":=", at):
        return Token("assign", ":=", column, glued=glued), at + 2
    if mark == "=":
        return Token("assign", "=", column, glued=glued), at + 1
    if mark in "\"`'":
        value, end = _lex_string(text, at, line)
        return Token("literal", text[at:end], column, glued=glued, value=value), end
    end = at + 1
    dots = mark in ".$0123456789+-"  # field chains and fractions
    while end < len(text) and (text[end].isalnum() or text[end] == "_" or (text[end] == "." and dots)):
        end += 1
    word = text[at:end]
    if mark == "." and (word == "." or not word[1].isdigit()):
        return Token("dot" if word == "." else "field", word, column, glued=glued), end
    if mark == "$":
        name = word.partition(".")[0]  # its fields are a token of their own
        return Token("variable", name, column, glued=glued), at + len(name)
    if mark.isalpha() or mark == "_":
        return Token("word", word, column, glued=glued), end
    return Token("literal", word, column, glued=glued, value=_number(word, line)), end


def _number(word: str, line: int) -> int | float:
    try:
        return int(word, 0)
    except ValueError:
        pass  # a fraction, then
    try:
        return float(word)
    except ValueError as error:
        raise _error(line, f'unexpected "{word[0]}" in command') from error


def _lex_string(text: str, at: int, line: int) -> tuple[Any, int]:
    """A string ("..." or `...`) or a character constant, which is a number, and the place behind it."""
    quote = text[at]
    end = at + 1
    pieces: list[str] = []
    while end < len(text) and text[end] != quote:
        if text[end] == "\\" and quote != "`":
            if text[end + 1 : end + 2] not in _ESCAPES or end + 1 >= len(text):
                raise _error(line, "invalid escape in a quoted string")
            pieces.append(_ESCAPES[text[end + 1]])
            end += 2
        else:
            pieces.append(text[end])
            end += 1
    if end >= len(text):
        raise _error(line, "unterminated quoted string")
    value = "".join(pieces)
    return (ord(value) if quote == "'" and len(value) == 1 else value), end + 1
