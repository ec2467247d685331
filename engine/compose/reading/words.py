"""A command in one text to its words, as Docker Compose splits it: quotes and backslashes as in a shell, without one.

Backquotes and ``$( )`` stay as they are written. At an operator of the shell (``;``, ``&``, ``|``, ``<``, ``>``) Docker
Compose stops; what stood behind it is handed back, so that the loss can be told.
"""

from __future__ import annotations

_OPERATORS = ";&|<>"


def split_words(text: str) -> tuple[list[str], str]:
    """The words, and the rest from the first operator on. Raises ValueError for a quote that isn't closed."""
    words: list[str] = []
    word, begun, at = "", False, 0
    while at < len(text):
        mark = text[at]
        if mark in " \t\r\n":
            if begun:
                words.append(word)
            word, begun = "", False
            at += 1
            continue
        if mark in _OPERATORS:
            if begun and not (mark == ">" and word[:1].isdigit()):
                words.append(word)
            return words, text[at:]
        piece, at = _piece(text, at)
        word, begun = word + piece, True
    if begun:
        words.append(word)
    return words, ""


def _piece(text: str, at: int) -> tuple[str, int]:
    """The next quoted or single mark, and where it ends."""
    mark = text[at]
    if mark == "\\":
        return text[at + 1 : at + 2], at + 2
    if mark == "'":
        end = _end(text, "'", at + 1)
        return text[at + 1 : end], end + 1
    if mark == '"':
        return _double_quoted(text, at)
    if mark == "`" or text.startswith("$(", at):
        end = _end(text, "`" if mark == "`" else ")", at + 1)
        return text[at : end + 1], end + 1
    return mark, at + 1


def _double_quoted(text: str, at: int) -> tuple[str, int]:
    found, inside = "", at + 1
    while inside < len(text) and text[inside] != '"':
        if text[inside] == "\\" and inside + 1 < len(text):
            inside += 1
        found += text[inside]
        inside += 1
    if inside >= len(text):
        raise ValueError(f"a quote is not closed in {text!r}")
    return found, inside + 1


def _end(text: str, mark: str, at: int) -> int:
    end = text.find(mark, at)
    if end < 0:
        raise ValueError(f"a quote is not closed in {text!r}")
    return end
