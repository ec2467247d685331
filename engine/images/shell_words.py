"""The words of a Dockerfile instruction: quotes, escapes and variables, as Docker's own little shell reads them.

Beside ``$name`` and ``${name}`` it knows ``${name:-word}``, ``:+`` and ``:?`` (each also without the colon), and the
shell's patterns (``*``, ``?``): ``${name#p}``, ``##``, ``%`` and ``%%`` cut, ``${name/p/word}`` and ``//`` replace.
"""

from __future__ import annotations

import re
from typing import Mapping, Sequence

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?!$-]")
_OPERATOR = re.compile(r":?[-+?]|##?|%%?|//?")
_DEEPEST = 50


def split_words(text: str, environment: Mapping[str, str], escape: str = "\\") -> list[str]:
    """Words parted by white space outside of quotes, each unquoted and substituted. Raises ValueError."""
    return _Reader(text, environment, escape).words()


def substitute(text: str, environment: Mapping[str, str], escape: str = "\\", *, quotes: bool = True) -> str:
    """The whole text as one word, unquoted and substituted; white space stays. Without ``quotes`` they are text like
    any other. Raises ValueError."""
    return _Reader(text, environment, escape, quotes).word("")


def raw_words(text: str, escape: str = "\\") -> list[str]:
    """Words parted by white space outside of quotes, as they are written: quotes, escapes and variables stay in."""
    words, word, quote, at = [], "", "", 0
    while at < len(text):
        char = text[at]
        if not quote and char.isspace():
            words += [word] if word else []
            word, at = "", at + 1
            continue
        taken = text[at : at + 2] if char == escape and quote != "'" else char
        if taken in ("'", '"') and quote in ("", taken):
            quote = "" if quote else taken
        word, at = word + taken, at + len(taken)
    return words + [word] if word else words


class _Reader:
    """Reads a text once, from its start to its end."""

    def __init__(self, text: str, environment: Mapping[str, str], escape: str, quotes: bool = True) -> None:
        self._text = text
        self._quotes = quotes
        self._environment = environment
        self._escape = escape
        self._at = 0
        self._depth = 0

    def words(self) -> list[str]:
        found = []
        while True:
            while self._peek().isspace():
                self._at += 1
            if not self._peek():
                return found
            found.append(self.word("", split=True))

    def word(self, stop: str, *, split: bool = False) -> str:
        """Up to one of the characters of ``stop`` or, with ``split``, to white space; that is not consumed."""
        word = ""
        while (char := self._peek()) and char not in stop and not (split and char.isspace()):
            word += self._piece(char)
        return word

    def _piece(self, char: str) -> str:
        self._at += 1
        if char == "'" and self._quotes:
            return self._single_quoted()
        if char == '"' and self._quotes:
            return self._double_quoted()
        if char == "$":
            return self._variable()
        return self._next() if char == self._escape else char

    def _single_quoted(self) -> str:
        end = self._text.find("'", self._at)
        if end < 0:
            raise ValueError("the quote ' is not closed")
        start, self._at = self._at, end + 1
        return self._text[start:end]

    def _double_quoted(self) -> str:
        word = ""
        while (char := self._next()) != '"':
            if not char:
                raise ValueError('the quote " is not closed')
            if char == "$":
                word += self._variable()
            elif char == self._escape:
                following = self._next()
                word += following if following in ('"', "$", self._escape) and following else char + following
            else:
                word += char
        return word

    # --- variables ---

    def _variable(self) -> str:
        """What stands for the variable behind a ``$``."""
        if self._peek() == "{":
            self._at += 1
            return self._braced()
        match = _NAME.match(self._text, self._at)
        if match is None:
            return "$"
        self._at = match.end()
        return self._environment.get(match[0]) or ""

    def _braced(self) -> str:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError(f"variables are nested deeper than {_DEEPEST} times")
        match = _NAME.match(self._text, self._at)
        if match is None:
            raise ValueError("a variable in braces has no name: ${name} is expected")
        self._at = match.end()
        name, value, operator = match[0], self._environment.get(match[0]), ""
        if self._peek() not in ("}", ""):
            operator = self._operator()
        replaced = self._operated(name, value, operator)
        if self._next() != "}":
            raise ValueError(f"the variable in braces ${{{name} is not closed")
        self._depth -= 1
        return replaced

    def _operator(self) -> str:
        match = _OPERATOR.match(self._text, self._at)
        if match is None:
            shown = self._text[self._at : self._at + 2]
            raise ValueError(f"{shown!r} is no operator of a variable in braces")
        self._at = match.end()
        return match[0]

    def _operated(self, name: str, value: str | None, operator: str) -> str:
        if not operator:
            return value or ""
        if operator[0] in "#%":
            return _cut(value or "", self._pattern("}"), operator)
        if operator[0] == "/":
            pattern = self._pattern("/}")
            self._at += self._peek() == "/"
            word = self.word("}")
            count = 0 if operator == "//" else 1
            return re.sub(_regex(pattern), lambda _: word, value or "", count=count) if pattern else value or ""
        word = self.word("}")
        is_given = bool(value) if operator.startswith(":") else value is not None
        if operator.endswith("+"):
            return word if is_given else ""
        if operator.endswith("?") and not is_given:
            raise ValueError(f"the variable {name} is not set: {word}".removesuffix(": "))
        return (value or "") if is_given else word

    def _pattern(self, stop: str) -> str:
        """A pattern with its escapes: a backslash makes the next character stand for itself."""
        pattern = ""
        while (char := self._peek()) and char not in stop:
            self._at += 1
            if char == self._escape:
                pattern += "\\" + self._next()
            elif char in "'\"$":
                self._at -= 1
                pattern += self._piece(self._peek())
            else:
                pattern += char
        return pattern

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        char = self._peek()
        self._at += 1
        return char


def _regex(pattern: str) -> str:
    """The regular expression of a shell pattern. All stars but the last take as little as they can and give nothing
    back: the match is the same, and no pattern takes longer than its length times that of the value."""
    segments = [""]
    characters = iter(pattern)
    for char in characters:
        if char == "*":
            segments.append("")
        else:
            literal = next(characters, "\\") if char == "\\" else char
            segments[-1] += "." if char == "?" else re.escape(literal)
    first, *others = segments
    if not others:
        return f"(?s:{first})"
    middle = "".join(f"(?>.*?{segment})" for segment in others[:-1] if segment)
    return f"(?s:{first}{middle}.*{others[-1]})"


def _cut(value: str, pattern: str, operator: str) -> str:
    """Without the shortest (``#``, ``%``) or longest (``##``, ``%%``) start or end that the pattern matches."""
    matches = re.compile(_regex(pattern)).fullmatch
    at_start = operator[0] == "#"
    lengths: Sequence[int] = range(len(value) + 1)
    for length in lengths if len(operator) == 1 else reversed(lengths):
        if at_start and matches(value[:length]):
            return value[length:]
        if not at_start and matches(value[len(value) - length :]):
            return value[: len(value) - length]
    return value
