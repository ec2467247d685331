"""Variables in texts: ``$A``, ``${A}``, ``${A:-default}``, ``${A-default}``, ``${A:?message}``, ``${A?message}``,
``${A:+instead}``, ``${A+instead}``, nested in each other; ``$$`` is a dollar sign, and so is one
that nothing of this follows."""

from __future__ import annotations

import re

from engine.compose.model.positions import Path, Positions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator, Mapping

_NAME = r"[_a-zA-Z][_a-zA-Z0-9]*"
_OPERATORS = (":-", ":?", ":+", "-", "?", "+")


class InterpolationError(ValueError):
    """What is wrong with a text that has a dollar sign in it."""


def substitute(text: str, environment: Mapping[str, str], unset: Callable[[str], None]) -> str:
    """The text with its variables' values. ``unset`` is told each name that has no value and no default.

    Raises InterpolationError."""
    if "$" not in text:
        return text
    found, at = [], 0
    while (dollar := text.find("$", at)) >= 0:
        found.append(text[at:dollar])
        at = dollar + 1
        if text.startswith("$", at):
            found.append("$")
            at += 1
        elif text.startswith("{", at):
            end = _closing(text, at)
            found.append(_braced(text[at + 1 : end], environment, unset))
            at = end + 1
        elif name := re.compile(_NAME).match(text, at):
            found.append(_lookup(name.group(), environment, unset))
            at = name.end()
        else:
            found.append("$")
    return "".join(found) + text[at:]


def _closing(text: str, opening: int) -> int:
    """The index of the brace that closes the one at ``opening``; those of nested variables are skipped."""
    depth, at = 0, opening
    while at < len(text):
        if text[at] == "{" and (at == opening or text[at - 1] == "$"):
            depth += 1
        elif text[at] == "}":
            depth -= 1
            if not depth:
                return at
        at += 1
    raise InterpolationError(f"invalid interpolation format {text!r}: a brace is not closed")


def _braced(inside: str, environment: Mapping[str, str], unset: Callable[[str], None]) -> str:
    name = re.match(_NAME, inside)
    if name is None:
        raise InterpolationError(
            f"invalid interpolation format '${{{inside}}}': you may need to escape any $ with another $"
        )
    key, rest = name.group(), inside[name.end() :]
    if not rest:
        return _lookup(key, environment, unset)
    operator = next((operator for operator in _OPERATORS if rest.startswith(operator)), None)
    if operator is None:
        raise InterpolationError(f"invalid interpolation format '${{{inside}}}'")
    word, value = rest[len(operator) :], environment.get(key)
    given = value is not None and not (operator[0] == ":" and not value)
    if operator[-1] == "+":
        return substitute(word, environment, unset) if given else ""
    if given:
        return value or ""
    if operator[-1] == "-":
        return substitute(word, environment, unset)
    message = substitute(word, environment, unset)
    raise InterpolationError(f"required variable {key} is missing a value" + (f": {message}" if message else ""))


def _lookup(name: str, environment: Mapping[str, str], unset: Callable[[str], None]) -> str:
    value = environment.get(name)
    if value is None:
        unset(name)
        return ""
    return value


def mentioned(text: str) -> Iterator[tuple[str, bool, str, str]]:
    """Name, whether it must be there, default and alternate value of each variable in a text, inner ones after the one
    that they are in. Raises InterpolationError."""
    at = 0
    while (dollar := text.find("$", at)) >= 0:
        at = dollar + 1
        if text.startswith("$", at):
            at += 1
        elif text.startswith("{", at):
            end = _closing(text, at)
            yield from _mentioned_in(text[at + 1 : end])
            at = end + 1
        elif name := re.compile(_NAME).match(text, at):
            yield name.group(), False, "", ""
            at = name.end()


def _mentioned_in(inside: str) -> Iterator[tuple[str, bool, str, str]]:
    if (name := re.match(_NAME, inside)) is None:
        return
    operator = next((one for one in _OPERATORS if inside.startswith(one, name.end())), "")
    word = inside[name.end() + len(operator) :]
    kind = operator[-1:]
    yield name.group(), kind == "?", word if kind == "-" else "", word if kind == "+" else ""
    yield from mentioned(word)


class Interpolation:
    """Substitutes in all texts of a document, and remembers the names that had no value, in the order they came."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.unset: dict[str, None] = {}

    def apply(self, value: Any, positions: Positions, path: Path = ()) -> Any:
        """The same structure with its texts substituted. Raises ComposeError with the place."""
        if isinstance(value, str):
            try:
                return substitute(value, self._environment, self._note)
            except InterpolationError as error:
                raise positions.error(path, str(error)) from error
        if isinstance(value, dict):
            return {key: self.apply(item, positions, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.apply(item, positions, (*path, index)) for index, item in enumerate(value)]
        return value

    def _note(self, name: str) -> None:
        self.unset[name] = None
