"""``.dockerignore``: which paths of a context are left out, by Docker's rules.

One pattern a line; the last that matches decides, ``!`` takes a path back in. ``*`` and ``?`` don't match a slash,
``**`` matches any number of folders; a pattern that matches a folder matches all that is in it.
"""

from __future__ import annotations

import posixpath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Sequence

    Matches = tuple[bool, ...]

TEXT_LIMIT_BYTES = 1 << 20


class Pattern:
    """One line. ``is_exception``: it began with ``!``."""

    __slots__ = ("fixed", "is_exception", "matches", "text")

    def __init__(self, line: str) -> None:
        """Raises ValueError."""
        import re

        self.is_exception = line.startswith("!")
        text = line[1:].strip() if self.is_exception else line
        if not text:
            raise ValueError(f'illegal exclusion pattern: "{line}"')
        text = posixpath.normpath(text)
        self.text = text.lstrip("/") if len(text) > 1 else text
        self.fixed = re.split(r"[*?\[\\]", self.text, maxsplit=1)[0]
        try:
            self.matches = re.compile(expression(self.text)).fullmatch
        except re.error as error:
            raise ValueError(f"syntax error in pattern {line!r}") from error

    def may_match_below(self, folder: str) -> bool:
        """Whether something in this folder could match."""
        inside = folder + "/"
        return inside.startswith(self.fixed) if self.fixed != self.text else self.text.startswith(inside)


def expression(pattern: str) -> str:
    """The regular expression of a pattern. All stars of a component but its last, and all ``**`` but the last, take as
    little as they can and give nothing back: the match is the same, and hostile patterns take no exponential time."""
    from re import escape

    segments, pieces, at = [""], [""], 0  # parts between "**", and of the component that is read between its stars
    while at < len(pattern):
        char = pattern[at]
        if pattern.startswith("**", at):
            at = _end_of_stars(pattern, at)
            segments[-1] += _component(pieces)
            segments, pieces = [*segments, ""], [""]
            continue
        at += 1
        if char == "/":
            segments[-1] += _component(pieces) + "/"
            pieces = [""]
        elif char == "*":
            pieces.append("")
        elif char == "[" and (end := pattern.find("]", at + 1)) > 0:
            pieces[-1] += "[" + pattern[at:end].replace("[", "\\[") + "]"
            at = end + 1
        elif char == "\\":
            pieces[-1] += escape(pattern[at : at + 1] or "\\")
            at += 1
        else:
            pieces[-1] += "[^/]" if char == "?" else escape(char)
    segments[-1] += _component(pieces)
    first, *others = segments
    if not others:
        return f"(?s:{first})"
    middle = "".join(f"(?>(?:.*?/)??{segment})" for segment in others[:-1])
    return f"(?s:{first}{middle}{f'(?:.*/)?{others[-1]}' if others[-1] else '.*'})"


def _component(pieces: Sequence[str]) -> str:
    first, *others = pieces
    if not others:
        return first
    return first + "".join(f"(?>[^/]*?{piece})" for piece in others[:-1]) + f"[^/]*{others[-1]}"


def _end_of_stars(pattern: str, at: int) -> int:
    """Where the text goes on behind ``**``, ``**/`` and repetitions of them, which mean no more than one."""
    while pattern.startswith("**", at):
        at += 2
        at += pattern.startswith("/", at)
    return at


class Ignored:
    """All patterns of a file."""

    def __init__(self, lines: Iterable[str]) -> None:
        """Raises ValueError."""
        self.patterns: Sequence[Pattern] = [Pattern(line) for line in lines]
        self._exceptions = [pattern for pattern in self.patterns if pattern.is_exception]
        self.nothing: Matches = (False,) * len(self.patterns)

    def match(self, path: str, above: Matches) -> Matches:
        """Which patterns match a path or a folder that it lies in; ``above`` is the answer for its folder."""
        return tuple(
            inherited or bool(pattern.matches(path)) for pattern, inherited in zip(self.patterns, above, strict=True)
        )

    def decide(self, matches: Matches) -> bool:
        """Whether what has these matches is left out."""
        ignored = False
        for pattern, matched in zip(self.patterns, matches, strict=True):
            if matched:
                ignored = not pattern.is_exception
        return ignored

    def ignores(self, path: str) -> bool:
        """Whether a path, relative to the context, is left out."""
        matches, end = self.nothing, 0
        while end >= 0:
            end = path.find("/", end + 1)
            matches = self.match(path[:end] if end >= 0 else path, matches)
        return self.decide(matches)

    def may_take_back(self, folder: str) -> bool:
        """Whether an exception could match something in an ignored folder: else it needs no look."""
        return any(pattern.may_match_below(folder) for pattern in self._exceptions)


def read_lines(content: bytes) -> list[str]:
    """The patterns of a file. Raises ValueError."""
    if len(content) > TEXT_LIMIT_BYTES:
        raise ValueError(f"the file is larger than {TEXT_LIMIT_BYTES >> 20} MB")
    lines = content.decode("utf-8-sig", "surrogateescape").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]
