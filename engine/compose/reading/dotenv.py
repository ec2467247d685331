"""Files of variables, by Docker's rules: ``.env``, ``--env-file`` and a service's ``env_file``.

``NAME=value``, ``NAME: value`` or ``export NAME=value``; a name alone takes the value of the environment. Without
quotes a value ends at the line's end or at `` #``; within double quotes it may have several lines, escapes and
variables; within single quotes everything stands for itself.
"""

from __future__ import annotations

import re

from engine.compose.model.positions import shown_file
from engine.compose.project import ComposeError
from engine.compose.reading.interpolation import InterpolationError, substitute

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Mapping

_SPACE = " \t\v\f\r\x85\xa0"
_NAME = r"[\w.\-\[\]]+$"
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", '"': '"', "\\": "\\"}


def read_variables(
    file: str, environment: Mapping[str, str], unset: Callable[[str], None], *, raw: bool = False,
    before: Mapping[str, str] = {},
) -> dict[str, str]:
    """The variables of a file; values refer to ``environment``, to the lines above them for what that doesn't have, and
    to ``before`` for what neither has. Raises ComposeError."""
    try:
        with open(file, encoding="utf-8", errors="surrogateescape") as opened:
            text = opened.read()
    except OSError as error:
        raise ComposeError(f"env file {shown_file(file)}: {error.strerror}") from error
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    if raw:
        return _raw(text, file, {**before, **environment})
    return _Parser(text, file, environment, before, unset).parse()


def _raw(text: str, file: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The format ``raw`` (that of ``docker run --env-file``): what follows the equals sign is the value as it is."""
    found = {}
    for number, line in enumerate(text.split("\n"), 1):
        name, has_value, value = line.lstrip(_SPACE).partition("=")
        if not name or name.startswith("#"):
            continue
        if re.search(r"\s", name):
            raise ComposeError(f"{shown_file(file)}:{number}: variable '{name}' contains whitespaces")
        if has_value:
            found[name] = value
        elif name in environment:
            found[name] = environment[name]
    return found


class _Parser:
    def __init__(
        self, text: str, file: str, environment: Mapping[str, str], before: Mapping[str, str],
        unset: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._text = text
        self._file = file
        self._environment = environment
        self._before = before
        self._unset = unset
        self._at = 0
        self._found: dict[str, str] = {}

    def parse(self) -> dict[str, str]:
        while self._to_statement():
            start = self._at
            name, inherited = self._name()
            if inherited:
                if (value := {**self._before, **self._environment}.get(name)) is not None:
                    self._found[name] = value
            else:
                self._found[name] = self._value(start)
        return self._found

    def _error(self, at: int, problem: str) -> ComposeError:
        return ComposeError(f"{shown_file(self._file)}:{self._text.count(chr(10), 0, at) + 1}: {problem}")

    def _to_statement(self) -> bool:
        """Go to the next thing that is neither space nor comment; False at the end."""
        while self._at < len(self._text):
            if self._text[self._at] == "#":
                self._at = self._line_end()
            elif self._text[self._at].isspace():
                self._at += 1
            else:
                return True
        return False

    def _line_end(self) -> int:
        end = self._text.find("\n", self._at)
        return len(self._text) if end < 0 else end

    def _name(self) -> tuple[str, bool]:
        """The name, and whether it stands alone on its line."""
        start, end = self._at, self._line_end()
        line = self._text[start:end]
        cut = min((at for mark in "=:" if (at := line.find(mark)) >= 0), default=len(line))
        inherited = cut == len(line)
        name = line[:cut].split(" #")[0].rstrip() if inherited else line[:cut].rstrip()
        if name.startswith("export") and name[6:7] in tuple(_SPACE):
            name = name[6:].lstrip()
        if not re.match(_NAME, name):
            raise self._error(start, f"unexpected character in variable name {name!r}")
        self._at = end if inherited else start + cut + 1
        return name, inherited

    def _value(self, start: int) -> str:
        while self._at < len(self._text) and self._text[self._at] in _SPACE:
            self._at += 1
        quote = self._text[self._at : self._at + 1]
        if quote in ('"', "'"):
            return self._quoted(quote, start)
        end = self._line_end()
        value = self._text[self._at : end].partition(" #")[0]
        self._at = end
        return self._expanded(value.rstrip(), start)

    def _quoted(self, quote: str, start: int) -> str:
        end = self._at + 1
        while end < len(self._text) and self._text[end] != quote:
            end += 2 if self._text[end] == "\\" else 1
        if end >= len(self._text):
            raise self._error(start, f"unterminated quoted value {self._text[self._at : self._line_end()]}")
        inside = self._text[self._at + 1 : end]
        self._at = end + 1
        if quote == "'":
            return inside.replace("\\'", "'")
        return self._expanded(_unescaped(inside), start)

    def _expanded(self, value: str, start: int) -> str:
        try:
            return substitute(value, {**self._before, **self._found, **self._environment}, self._unset)
        except InterpolationError as error:
            raise self._error(start, str(error)) from error


def _unescaped(text: str) -> str:
    """Escapes of double quotes; an escaped dollar sign becomes one that stands for itself."""
    return re.sub(r"\\(.)", lambda found: "$$" if found[1] == "$" else _ESCAPES.get(found[1], found[0]), text)
