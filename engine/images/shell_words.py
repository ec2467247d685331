"""The words of a Dockerfile instruction: quotes, backslashes and variables, as Docker's own little shell reads them."""

from __future__ import annotations

import re
from typing import Mapping

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9@*#]")
_BRACED = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(?:(:?[-+?])((?:[^{}]|\{[^{}]*\})*))?\}")


def split_words(text: str, environment: Mapping[str, str]) -> list[str]:
    """Words parted by white space outside of quotes, each unquoted and substituted. Raises ValueError."""
    return _read(text, environment, split=True)


def substitute(text: str, environment: Mapping[str, str]) -> str:
    """The whole text as one word, unquoted and substituted; white space stays. Raises ValueError."""
    return "".join(_read(text, environment, split=False))


def _read(text: str, environment: Mapping[str, str], *, split: bool) -> list[str]:
    words: list[str] = []
    word: str | None = None
    quote = ""
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if split and not quote and char.isspace():
            if word is not None:
                words.append(word)
            word = None
            continue
        word = word or ""
        if quote == "'" and char != "'":
            word += char
        elif char in "'\"" and quote in ("", char):
            quote = "" if quote else char
        elif char == "\\":
            escaped, at = text[at : at + 1], at + 1
            word += escaped if not quote or escaped in ('"', "$", "\\") else "\\" + escaped
        elif char == "$":
            value, at = _variable(text, at, environment)
            word += value
        else:
            word += char
    if quote:
        raise ValueError(f"the quote {quote} is not closed")
    return words if word is None else [*words, word]


def _variable(text: str, at: int, environment: Mapping[str, str]) -> tuple[str, int]:
    """What stands for the variable behind a ``$``, and where the text goes on."""
    if text[at : at + 1] == "{":
        match = _BRACED.match(text, at)
        if match is None:
            raise ValueError("a variable in braces is not understood: use ${name}, ${name:-word} or ${name:+word}")
        return _braced(match[1], match[2] or "", match[3] or "", environment), match.end()
    match = _NAME.match(text, at)
    if match is None:
        return "$", at
    return environment.get(match[0], ""), match.end()


def _braced(name: str, operator: str, word: str, environment: Mapping[str, str]) -> str:
    value = environment.get(name)
    is_given = bool(value) if operator.startswith(":") else value is not None
    if operator.endswith("-"):
        return value or "" if is_given else substitute(word, environment)
    if operator.endswith("+"):
        return substitute(word, environment) if is_given else ""
    if operator.endswith("?") and not is_given:
        raise ValueError(f"the variable {name} is not set: {word}")
    return value or ""
