"""The Dockerfile's text, taken apart: directives, continued lines, comments, here-documents.

The grammar is that of Docker's Dockerfile reference and of its standard front ends; what the words of an instruction
mean is the business of ``instructions``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Iterable, Iterator, Mapping

from engine.domain.errors import InvalidArgument
from engine.images.shell_words import raw_words, substitute

TEXT_LIMIT_BYTES = 4 << 20
_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*")
_DIRECTIVES = ("escape", "syntax", "check")
_STANDARD_SYNTAX = re.compile(r"(?:docker\.io/)?docker/dockerfile(?:-upstream)?(?::[\w.-]+)?(?:@sha256:[0-9a-f]{64})?")
_HEREDOC = re.compile(r"(\d*)<<(-?)(?P<quote>['\"]?)([a-zA-Z_.][\w.-]*)(?P=quote)")
_WITH_HEREDOCS = ("ADD", "COPY", "RUN")


class DockerfileError(InvalidArgument):
    """What is wrong, and in which line of which file."""

    def __init__(self, line: int, message: str, file: str = "Dockerfile") -> None:
        super().__init__(f"{file}:{line}: {message}")
        self.line = line


@dataclass(frozen=True, slots=True)
class HereDocument:
    """``<<name``: the lines up to ``name``. ``expand``: variables in it stand for their values (the name unquoted)."""

    name: str
    content: str
    expand: bool
    fd: str = ""

    @property
    def is_script(self) -> bool:
        return self.content.startswith("#!")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction. ``rest`` is what follows its name in one line, ``line`` counts from 1."""

    name: str
    rest: str
    line: int
    last_line: int
    heredocs: tuple[HereDocument, ...] = ()

    @property
    def original(self) -> str:
        """In one line, as progress and history show it."""
        return f"{self.name} {self.rest}".rstrip()


@dataclass(frozen=True, slots=True)
class Dockerfile:
    instructions: tuple[Instruction, ...]
    directives: Mapping[str, str]
    warnings: tuple[str, ...] = ()

    @property
    def escape(self) -> str:
        return self.directives.get("escape", "\\")


def parse(text: bytes, file: str = "Dockerfile") -> Dockerfile:
    """Raises DockerfileError, with ``file`` in its message."""
    if len(text) > TEXT_LIMIT_BYTES:
        raise InvalidArgument(f"{file} is larger than {TEXT_LIMIT_BYTES >> 20} MB")
    try:
        decoded = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise DockerfileError(line, "the file is not UTF-8", file) from error
    if "\0" in decoded:
        raise DockerfileError(decoded[: decoded.index("\0")].count("\n") + 1, "a NUL character", file)
    lines = [line.removesuffix("\r") for line in decoded.split("\n")]
    reader = _Lines(lines, _directives(lines, file), file)
    instructions = tuple(reader.instructions())
    if not instructions:
        raise InvalidArgument(f"the Dockerfile ({file}) cannot be empty")
    return Dockerfile(instructions, reader.directives, tuple(reader.warnings))


def _directives(lines: list[str], file: str) -> dict[str, str]:
    """``# name=value`` at the very top; the first other line ends them. Raises DockerfileError."""
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        match = _DIRECTIVE.fullmatch(line)
        if match is None or (name := match[1].lower()) not in _DIRECTIVES:
            break
        if name in found:
            raise DockerfileError(number, f"only one {name} parser directive can be used", file)
        found[name] = match[2]
        if name == "escape" and match[2] not in ("\\", "`"):
            raise DockerfileError(number, f"invalid escape token {match[2]!r} does not match ` or \\", file)
        if name == "syntax" and not _STANDARD_SYNTAX.fullmatch(match[2].split()[0]):
            message = f"the front end {match[2]!r} is not supported: only docker/dockerfile's language is understood"
            raise DockerfileError(number, message, file)
    return found


class _Lines:
    """Joins the lines of each instruction."""

    def __init__(self, lines: list[str], directives: dict[str, str], file: str) -> None:
        self._lines = lines
        self._file = file
        self._at = 0
        self.directives = directives
        self.warnings: list[str] = []
        self._escape = directives.get("escape", "\\")
        token = re.escape(self._escape)
        self._continued = re.compile(rf"(?:^|(?<=[^{token}])){token}[ \t]*$")

    def instructions(self) -> Iterator[Instruction]:
        while self._at < len(self._lines):
            line = self._lines[self._at].strip()
            if not line or line.startswith("#"):
                self._at += 1
                continue
            first = self._at + 1
            text = self._joined().strip()
            if text:  # else continued lines with nothing in them
                yield self._instruction(text, first)

    def _instruction(self, text: str, first: int) -> Instruction:
        name, *more = text.split(None, 1)
        rest = more[0] if more else ""
        upper = name.upper()
        trigger, where = upper, rest
        if upper == "ONBUILD" and rest:
            trigger, _, where = rest.partition(" ")
        heredocs = self._heredocs(where, first) if trigger.upper() in _WITH_HEREDOCS else ()
        return Instruction(upper, rest, first, self._at, heredocs)

    def _joined(self) -> str:
        """The lines up to one that isn't continued; comments and empty lines between them don't count."""
        parts: list[str] = []
        while self._at < len(self._lines):
            line = self._lines[self._at]
            self._at += 1
            if parts and (not line.strip() or line.lstrip().startswith("#")):
                if not line.strip():
                    self._warn("empty continuation line: this will become an error in a later version of the language")
                continue
            ending = self._continued.search(line)
            parts.append(line if ending is None else line[: ending.start()])
            if ending is None:
                break
        return "".join(parts)

    def _warn(self, text: str) -> None:
        warning = f"{self._file}:{self._at}: {text}"
        if len(self.warnings) < 10:
            self.warnings.append(warning)

    # --- here-documents ---

    def _heredocs(self, rest: str, first: int) -> tuple[HereDocument, ...]:
        if "<<" not in rest or rest.lstrip().startswith("["):
            return ()
        matches = map(_HEREDOC.fullmatch, raw_words(rest, self._escape))
        return tuple(self._heredoc(match, first) for match in matches if match)

    def _heredoc(self, match: re.Match[str], first: int) -> HereDocument:
        fd, strip_tabs, quote, name = match[1], match[2], match["quote"], match[4]
        content = []
        while self._at < len(self._lines):
            line = self._lines[self._at]
            self._at += 1
            bare = line.lstrip("\t") if strip_tabs else line
            if bare == name:
                return HereDocument(name, "".join(f"{text}\n" for text in content), not quote, fd)
            content.append(bare)
        raise DockerfileError(first, f"unterminated heredoc: {name!r} never comes alone in a line", self._file)


def with_heredocs(text: str, heredocs: Iterable[HereDocument]) -> str:
    """An instruction's text with its here-documents below it, as shells and triggers have them."""
    return text + "".join(f"\n{document.content}{document.name}" for document in heredocs)


def trigger_of(text: str, escape: str, begins: Instruction, file: str) -> Instruction:
    """The instruction of an ONBUILD trigger, as if it stood where the stage ``begins``. Raises DockerfileError."""
    reader = _Lines(text.strip().split("\n"), {"escape": escape}, file)
    for instruction in reader.instructions():
        return replace(instruction, line=begins.line, last_line=begins.last_line)
    raise DockerfileError(begins.line, "the base image has an empty ONBUILD trigger", file)


def expanded(document: HereDocument, variables: Mapping[str, str]) -> str:
    """The content with its variables replaced, where it wants that. Raises ValueError."""
    return substitute(document.content, variables, quotes=False) if document.expand else document.content
